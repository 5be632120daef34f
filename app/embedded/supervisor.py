"""Keeps a tree of children running on one data directory, and ends all of it.

    with Supervisor(data_dir) as supervisor:
        postgres = supervisor.postgres()
        valkey = supervisor.valkey()
        supervisor.run(Child(name="migrate", argv=[...], env={...}))
        supervisor.start(Child(name="api", argv=[...], env={...}, ready=lambda: listening(8000)))
        supervisor.start(*workers)
        supervisor.wait()

The children that one call starts are a stage: ready together, stopped together. Leaving the block stops the stages in
reverse order. A child that ends by itself is started again, after a delay that grows while it keeps failing. If the
supervisor is killed, the kernel ends every child.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from app.embedded.catcher import prepare_catcher
from app.embedded.errors import DataDirectoryInUseError, DataDirectoryUnusableError, StopRequestedError
from app.embedded.postgres import prepare_postgres
from app.embedded.process import Child, Service, failed, how_it_ended, log_file, spawn, stop, wait_until_ready
from app.embedded.valkey import prepare_valkey

LONGEST_RESTART_DELAY = 30.0  # seconds
_FIRST_RESTART_DELAY = 0.5
_STEADY_AFTER = 60.0  # seconds; a child that ran this long is not failing, and its delay begins anew


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before a start after that many failures in a row: 0.5, 1, 2 ... 30."""
    return min(LONGEST_RESTART_DELAY, _FIRST_RESTART_DELAY * 2.0 ** min(failures - 1, 16))


@dataclass(slots=True)
class _Running:
    """A child with its present process; `due_at` is when to start it again, None while it runs."""

    child: Child
    process: subprocess.Popen[bytes]
    started_at: float
    failures: int = 0
    due_at: float | None = None


class Supervisor:
    """The tree of children on one data directory; use as a context manager in the main thread.

    Entering takes the directory (DataDirectoryInUseError, DataDirectoryUnusableError) and, until the block is left,
    SIGINT and SIGTERM. `say` gets each line for the operator; by default they go to standard error.
    """

    def __init__(self, data_dir: Path, *, say: Callable[[str], None] | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self._say = say or _to_standard_error
        self._stages: list[list[_Running]] = []
        self._stop_signal: signal.Signals | None = None
        self._undo = contextlib.ExitStack()
        self._wakeup: int = -1

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, _lock(self.data_dir))
            self._wakeup = _catch_signals(self._on_signal, undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Stop everything; a stop that was asked for while children were starting is no error."""
        with self._undo:
            while self._stages:
                stage = self._stages.pop()
                self._say(f"stopping {', '.join(running.child.name for running in stage)}")
                stop(*((running.child, running.process) for running in stage))
        return kind is StopRequestedError

    def postgres(self, *, port: int = 0, durable: bool = True, settings: Mapping[str, str] | None = None) -> Service:
        """Start PostgreSQL as `postgres.start_postgres` does, and return it ready, with its `url`."""
        service = prepare_postgres(self.data_dir, port=port, durable=durable, settings=settings)
        self.start(service.child)
        return service

    def valkey(self, *, port: int = 0) -> Service:
        """Start Valkey as `valkey.start_valkey` does, and return it ready, with its `url`."""
        service = prepare_valkey(self.data_dir, port=port)
        self.start(service.child)
        return service

    def catcher(self, *, port: int = 0) -> Service:
        """Start the mail catcher as `catcher.start_catcher` does, and return it ready, with its `url`."""
        service = prepare_catcher(self.data_dir, port=port)
        self.start(service.child)
        return service

    def start(self, *children: Child) -> None:
        """Start a stage and return when all its children are ready.

        ChildFailedError when one ends first or is too slow; StopRequestedError when a signal asks us to stop.
        """
        self._go_on()
        stage: list[_Running] = []
        self._stages.append(stage)
        for child in children:
            process = spawn(child, log=log_file(self.data_dir, child.name))
            stage.append(_Running(child, process, started_at=time.monotonic()))
        for running in stage:
            log = log_file(self.data_dir, running.child.name)
            wait_until_ready(running.child, running.process, log=log, pause=self._pause)

    def run(self, child: Child, *, within: float = 300.0) -> None:
        """Run a command to its end.

        ChildFailedError when it fails or takes longer than `within` seconds; StopRequestedError on a signal.
        """
        self._go_on()
        log = log_file(self.data_dir, child.name)
        process = spawn(child, log=log)
        deadline = time.monotonic() + within
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise failed(child, f"took longer than {within:.0f} s", log=log)
                self._sleep(deadline - time.monotonic(), until_one_ends=[process.pid])
                self._go_on()
        finally:
            stop((child, process))
        if process.returncode != 0:
            raise failed(child, how_it_ended(process.returncode), log=log)

    def wait(self) -> None:
        """Watch the children, starting again those that end, until SIGINT or SIGTERM."""
        while self._stop_signal is None:
            everyone = [running for stage in self._stages for running in stage]
            for running in everyone:
                self._tend(running)
            due = [running.due_at for running in everyone if running.due_at is not None]
            alive = [running.process.pid for running in everyone if running.due_at is None]
            self._sleep(min(due) - time.monotonic() if due else None, until_one_ends=alive)
        self._say(f"stopping, because of {self._stop_signal.name}")

    def _tend(self, running: _Running) -> None:
        """Notice that a child has ended, or start it again when it is time."""
        now = time.monotonic()
        if running.due_at is None and running.process.poll() is not None:
            running.failures = 1 if now - running.started_at > _STEADY_AFTER else running.failures + 1
            delay = restart_delay(running.failures)
            running.due_at = now + delay
            log = self.data_dir / "log" / f"{running.child.name}.log"
            how = how_it_ended(running.process.returncode)
            self._say(f"{running.child.name} {how}; starting it again in {delay:g} s (its log: {log})")
        elif running.due_at is not None and now >= running.due_at:
            running.process = spawn(running.child, log=log_file(self.data_dir, running.child.name))
            running.started_at, running.due_at = now, None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop_signal = signal.Signals(number)

    def _go_on(self) -> None:
        if self._stop_signal is not None:
            raise StopRequestedError(f"{self._stop_signal.name} came while starting")

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds)
        self._go_on()

    def _sleep(self, seconds: float | None, *, until_one_ends: list[int] | None = None) -> None:
        """Sleep until the time is over, a signal comes, or one of the processes ends."""
        with contextlib.ExitStack() as opened:
            events = select.poll()
            events.register(self._wakeup, select.POLLIN)
            for pid in until_one_ends or []:
                watch = os.pidfd_open(pid)
                opened.callback(os.close, watch)
                events.register(watch, select.POLLIN)
            ready = events.poll(None if seconds is None else max(0.0, seconds) * 1000)
        if any(descriptor == self._wakeup for descriptor, _ in ready):
            os.read(self._wakeup, 512)


def _lock(data_dir: Path) -> int:
    """Take the data directory and return the open lock; the kernel lets go of it when we end, however that is."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryUnusableError(data_dir, cause=error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock, 32).strip()
        os.close(lock)
        raise DataDirectoryInUseError(data_dir, pid=int(holder) if holder.isdigit() else None) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _catch_signals(notice: Callable[[int, FrameType | None], None], undo: contextlib.ExitStack) -> int:
    """Have SIGINT and SIGTERM noticed instead of obeyed; return a descriptor that is readable after one came."""
    reader, writer = os.pipe()
    undo.callback(os.close, reader)
    undo.callback(os.close, writer)
    os.set_blocking(writer, False)
    undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer, warn_on_full_buffer=False))
    for number in (signal.SIGINT, signal.SIGTERM):
        undo.callback(signal.signal, number, signal.signal(number, notice))
    return reader


def _to_standard_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
