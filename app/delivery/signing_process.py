"""The program that signs for a sender, on another core than the sender's.

In a thread of the sender's process, each signature would take Python's lock back from it: a third of an RSA signature's
time went into that. It ends when its pipe is closed, also by kill -9 of the worker, and when it has nothing to do.

Frames are a length (4 octets, big-endian) and so many octets, `marshal` of a list. Input: (private key in DER, digests)
each; output: their signatures, one list for each. The first frame of the output is empty: it is ready.
"""

import marshal
import select
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any, BinaryIO

from app.domains.dkim import sign_digest
from app.domains.key_material import open_key

IDLE_SECONDS = 60.0


def main(into: BinaryIO, out: BinaryIO) -> None:
    """Answer frames until there are no more."""
    key_of = lru_cache(maxsize=64)(open_key)
    say(out, [])
    with suppress(EOFError):
        while select.select([into], [], [], IDLE_SECONDS)[0]:
            say(out, [[sign_digest(key_of(written), digest) for digest in digests] for written, digests in hear(into)])


def say(out: BinaryIO, content: list[Any]) -> None:
    """Write one frame."""
    octets = marshal.dumps(content)
    out.write(len(octets).to_bytes(4, "big") + octets)
    out.flush()


def hear(into: BinaryIO) -> list[Any]:
    """Read one frame; raises EOFError at the end, also in the middle of one."""
    size = into.read(4)
    octets = into.read(length := int.from_bytes(size, "big"))
    if len(size) < 4 or len(octets) < length:
        raise EOFError
    content: list[Any] = marshal.loads(octets)  # noqa: S302 - of our own process
    return content


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
