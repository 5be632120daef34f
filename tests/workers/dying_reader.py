"""A reading process that is killed in the middle of a frame."""

import os
import signal
import sys

sys.stdout.buffer.write((1 << 20).to_bytes(8, "big") + b"half a frame")
sys.stdout.buffer.flush()
os.kill(os.getpid(), signal.SIGKILL)
