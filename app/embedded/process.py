"""Starting and stopping children that never outlive us.

Each child has a session of its own, so Ctrl-C in the terminal reaches only us, and gets a signal of its choice from the
kernel when its parent dies, even by kill -9. The kernel ties that to the *thread* that started the child: start
children from the main thread, or from one that lives as long as they should. The tie does not reach grandchildren: a
child that starts processes of its own has to end them itself.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from app.embedded import launch
from app.embedded.errors import ChildFailedError

HELD_PATH = f"/proc/self/fd/{launch.HELD}"
_LOOK_AGAIN = 0.02  # seconds between two looks at whether a child is ready
_LAST_LINES = 15
_LOG_KEPT = 20 * 1024 * 1024  # bytes; a larger log becomes <name>.log.1 at the next start


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group to run as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Child:
    """A process to run: what, as whom, how to know that it is ready, how to stop it.

    `env` is added to our own environment. `held` is a directory that the child reaches as `HELD_PATH`, even when its
    account may not enter the directories above. `stop_signals` are pairs of a signal and the seconds to wait after it;
    the last should be SIGKILL. `death_signal` is what the child gets when we die: SIGKILL, unless it has children of
    its own to end.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    account: Account | None = None
    held: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_within: float = 30.0
    stop_signals: Sequence[tuple[Signals, float]] = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))
    death_signal: Signals = signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Service:
    """A server that is prepared but not started: where it will answer, and the child to start."""

    url: str = field(repr=False)  # it holds the password
    child: Child


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that belongs to whoever started it; call `stop()`."""

    url: str = field(repr=False)
    child: Child
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return self.process.pid

    def stop(self) -> None:
        """Stop the server and wait until it is gone; harmless when it already is."""
        stop((self.child, self.process))


def log_file(data_dir: Path, name: str) -> Path:
    """Return the log file of a child, in a directory that exists; a large one from earlier runs is set aside."""
    log = data_dir / "log" / f"{name}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_KEPT:
        log.replace(log.with_name(f"{name}.log.1"))
    return log


def spawn(child: Child, *, log: Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a child and return at once; it appends to the log. Call from a thread that outlives the child."""
    account = f"{child.account.uid}:{child.account.gid}" if child.account else "-"
    # The launcher becomes the program by exec, so the pid stays the same.
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(child.death_signal)), account]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the command comes from our own code
            [*launcher, str(child.cwd or "-"), str(child.held or "-"), *child.argv],
            env={**os.environ, **child.env},
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start(service: Service, *, log: Path) -> Server:
    """Start a server and wait until it is ready; ChildFailedError when it is not, and then nothing is left running."""
    process = spawn(service.child, log=log)
    try:
        wait_until_ready(service.child, process, log=log)
    except BaseException:
        stop((service.child, process))
        raise
    return Server(service.url, service.child, process)


def run(child: Child, *, log: Path, stdin: bytes = b"", within: float = 120.0) -> None:
    """Run a command to its end; ChildFailedError when it fails or takes longer than `within` seconds."""
    with spawn(child, log=log, stdin=subprocess.PIPE) as process:
        try:
            process.communicate(stdin, timeout=within)
        except subprocess.TimeoutExpired as error:
            raise failed(child, f"took longer than {within:.0f} s", log=log) from error
        finally:
            stop((child, process))
    if process.returncode != 0:
        raise failed(child, how_it_ended(process.returncode), log=log)


def wait_until_ready(
    child: Child, process: subprocess.Popen[bytes], *, log: Path, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait for the child's own sign of readiness; ChildFailedError when it ends first or takes too long."""
    deadline = time.monotonic() + child.ready_within
    while child.ready is not None and not child.ready():
        if process.poll() is not None:
            raise failed(child, how_it_ended(process.returncode) + " before it was ready", log=log)
        if time.monotonic() > deadline:
            raise failed(child, f"was not ready within {child.ready_within:.0f} s", log=log)
        pause(_LOOK_AGAIN)


def stop(*running: tuple[Child, subprocess.Popen[bytes]]) -> None:
    """Stop children side by side and wait until all are gone, each by its own signals and time limits."""
    began = time.monotonic()
    for child, process in running:
        if process.poll() is None:
            process.send_signal(child.stop_signals[0][0])
    for child, process in running:
        _see_out(child, process, deadline=began + child.stop_signals[0][1])


def _see_out(child: Child, process: subprocess.Popen[bytes], *, deadline: float) -> None:
    """Wait for a child that got its first signal, and insist when it does not leave."""
    for number, seconds in (*child.stop_signals[1:], (signal.SIGKILL, 5.0)):
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)  # with whatever it started; it leads a session of its own
            else:
                process.send_signal(number)
            deadline = time.monotonic() + seconds
        else:
            return
    process.wait(timeout=max(0.0, deadline - time.monotonic()))


def how_it_ended(returncode: int) -> str:
    """Say how a process ended: by a signal or with an exit code."""
    if returncode < 0:
        return f"was ended by {Signals(-returncode).name}"
    return f"ended with exit code {returncode}"


def failed(child: Child, what: str, *, log: Path) -> ChildFailedError:
    """Make the error that quotes the end of the child's log."""
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - 16384))
        last = lines.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    return ChildFailedError(child.name, what=what, log=log, last_lines="\n".join(last))


def program(name: str) -> Path | None:
    """Return the program of that name on PATH, links resolved, or None."""
    found = shutil.which(name)
    return Path(found).resolve() if found else None
