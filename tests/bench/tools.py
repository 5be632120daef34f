"""Programs of other people that measure us: found on this machine, or installed from Debian's packages."""

import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.embedded.ports import free_port, listening
from app.embedded.process import Child, Service
from tests.bench.errors import BenchError
from tests.bench.processes import run_program

_WHERE = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])  # Debian's place for daemons
_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends")
SOURCE_CONNECTIONS = 20  # of smtp-source, as many as one of our workers opens by default


class MissingProgramError(BenchError):
    """A program that a measurement needs is not there and cannot be installed."""

    def __init__(self, program: str, *, package: str, why: str) -> None:
        super().__init__(f"{program} is missing ({why}); install it as root: {' '.join(_INSTALL)} {package}")


@dataclass(frozen=True, slots=True)
class SmtpTools:
    """A server that takes mail and forgets it, and the program that we are compared with."""

    sink: Service
    source: Callable[[int, int], Awaitable[None]]
    """Sends so many messages of so many octets to the sink."""


@dataclass(frozen=True, slots=True)
class Clicked:
    """What a load generator saw: answers, how many of them were no redirects, and their times."""

    answered: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float


Clicker = Callable[..., Awaitable[Clicked]]
"""(port, paths: Path, connections: int, seconds: float): requests the paths of a file, a line each, over and over."""


def find_program(name: str, *, package: str) -> str:
    """Return where a program is; as root, its Debian package is installed if need be. Raises MissingProgramError."""
    if found := shutil.which(name, path=_WHERE):
        return found
    if os.geteuid() != 0:
        raise MissingProgramError(name, package=package, why="and only root can install it")
    if shutil.which("apt-get") is None:
        raise MissingProgramError(name, package=package, why="and this is no Debian")
    with _no_daemons():
        if not _apt(*_INSTALL, package):
            _apt("apt-get", "update")
            if not _apt(*_INSTALL, package):
                raise MissingProgramError(name, package=package, why="and installing it failed")
    if found := shutil.which(name, path=_WHERE):
        return found
    raise MissingProgramError(name, package=package, why=f"even after {package} was installed")


def _apt(*command: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode == 0


@contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting their services: 101 is policy-rc.d's *forbidden*. A policy that exists stays."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    try:
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink()


def postfix(*, through: int | None = None) -> SmtpTools:
    """Return Postfix's smtp-sink and smtp-source; `through` is the port that the source sends to, if it is another."""
    sink, source = (find_program(name, package="postfix") for name in ("smtp-sink", "smtp-source"))
    port = free_port()
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    child = Child(
        name=f"smtp-sink-{port}", argv=[sink, *account, f"127.0.0.1:{port}", "1000"], ready=lambda: listening(port)
    )  # 1000 is the backlog of its socket

    async def send(messages: int, octets: int) -> None:
        # -d keeps its connections, as we do; without it smtp-source is a third slower.
        load = ["-d", "-s", str(SOURCE_CONNECTIONS), "-m", str(messages), "-l", str(octets)]
        await run_program(source, *load, f"127.0.0.1:{through or port}", within=600)

    return SmtpTools(sink=Service(f"smtp://127.0.0.1:{port}", child), source=send)


async def wrk(port: int, *, paths: Path, connections: int, seconds: float) -> Clicked:
    """Click with wrk: one thread, since PostgreSQL and the server need the other core."""
    program = find_program("wrk", package="wrk")
    load = ["--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s", "--timeout", "10s"]
    script = str(Path(__file__).with_name("click.lua"))
    url = f"http://127.0.0.1:{port}"
    output = await run_program(program, *load, "--script", script, url, "--", str(paths), within=seconds + 60)
    return Clicked(**json.loads(output.splitlines()[-1]))
