"""Keeps the drainer of this machine's spools running, for as long as the API does."""

import asyncio
import os
import socket
import sys
from contextlib import suppress

from app.platform.settings import Settings
from app.platform.telemetry import Metrics, log
from app.tracking.draining import FLUSH_WITHIN, Drainer, serve, try_to_lock

TRY_EVERY = 0.5  # seconds between tries to become the one whose drainer it is, and until one that died is started again
END_WITHIN = FLUSH_WITHIN + 2


class DrainerKeeper:
    """Runs a drainer when no other process of this machine does: as a process of its own, or within this one."""

    def __init__(self, settings: Settings, *, metrics: Metrics, apart: bool) -> None:
        self._settings = settings
        self._metrics = metrics
        self._apart = apart
        self._stopping = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look after it; waits for nothing."""
        self._tending = asyncio.create_task(self._tend(), name="drainer keeper")

    async def stop(self) -> None:
        """Let the drainer store what is left and end. Call when nothing more is recorded."""
        self._stopping.set()
        if self._tending is not None:
            await self._tending

    async def _tend(self) -> None:
        while not self._stopping.is_set():
            try:
                lock = try_to_lock(self._settings.spool_dir)
                if lock is not None:
                    try:
                        await (self._run_process(lock) if self._apart else self._run_here())
                    finally:
                        os.close(lock)
            except Exception as error:  # noqa: BLE001 - whatever ended it, events wait for the next one
                log.error("engagement.drainer_failed", kind=type(error).__name__, exc_info=error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TRY_EVERY)

    async def _run_here(self) -> None:
        drainer = Drainer(self._settings, tell=self._note)
        running = asyncio.create_task(drainer.run())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        drainer.stop()
        await running

    async def _run_process(self, lock: int) -> None:
        """Run it as a process that holds the lock for itself, and ends when our end of its channel is closed."""
        ours, theirs = socket.socketpair()
        with theirs:
            argv = (sys.executable, "-m", serve.__module__)
            process = await asyncio.create_subprocess_exec(*argv, stdin=theirs.fileno(), pass_fds=[lock])
        reader, writer = await asyncio.open_connection(sock=ours)
        reading = asyncio.create_task(self._read(reader))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            with suppress(OSError):
                writer.write_eof()
            async with asyncio.timeout(END_WITHIN):
                await reading
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        finally:
            reading.cancel()
            stopping.cancel()
            writer.close()
        if not self._stopping.is_set():
            log.error("engagement.drainer_ended", code=process.returncode)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        async for line in reader:
            what, _, number = line.decode("ascii").partition(" ")
            self._note(what, int(number))

    def _note(self, what: str, number: int) -> None:
        if what == "stored":
            self._metrics.engagement_stored.inc(number)
        elif what == "lost":
            self._metrics.engagement_dropped.inc(number)
        elif what == "behind":
            self._metrics.engagement_behind.set(number / 1000)
