"""A running `budstikke up` for tests, on a data directory and a port of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from app.embedded.ports import free_port

ROOT = Path(__file__).parent.parent


def clean_environment(**changes: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("BUDSTIKKE_")}
    return known | changes


def budstikke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT, env=clean_environment(**environment), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def wait_until(condition, within: float = 40.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


class Up:
    """A running `up`."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.port = free_port()
        self.environment = {"BUDSTIKKE_DATA_DIR": str(data_dir), "BUDSTIKKE_PORT": str(self.port)} | settings
        self.output = data_dir.parent / f"up-{self.port}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up"],
                cwd=ROOT, env=clean_environment(**self.environment), stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait_until(lambda: "Stop with Ctrl-C" in self.output.read_text() or self.process.poll() is not None, 90)
            assert self.process.poll() is None, self.output.read_text()
        except BaseException:
            self.process.kill()
            self.process.wait(10)
            raise

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0
