"""Durable events at the price of few syncs: records gather while the group before them goes to disk.

No timer, so a lone click is on disk at once and a flood makes bigger groups. Readers are answered when their group is
on this machine's disk (`spool`); PostgreSQL has it a moment later (`draining`), or whenever it is back.

When the disk does not take a group, be it full or broken, readers are answered all the same, and records wait in
memory, in order, until it does; beyond MAX_WAITING they are dropped, and that is told.
"""

import asyncio
import threading
from collections.abc import Awaitable
from pathlib import Path
from queue import SimpleQueue

from app.platform.settings import Settings
from app.platform.telemetry import Metrics, log
from app.tracking.events import CLICK, KINDS
from app.tracking.spool import Spool

ANSWER_WITHIN = 0.7
"""Seconds a reader waits for the disk; with the redirect itself, under the second that a click may feel like."""
STOP_WITHIN = 10.0
"""Seconds that stopping waits for the disk; supervisors kill after 30."""
MAX_WAITING = 100_000  # records in memory while the disk takes none: some 20 MB
RETRY_AFTER = 0.5

Group = list[bytes]


class Recorder:
    """Puts records on disk in groups, on a thread of its own."""

    _loop: asyncio.AbstractEventLoop
    _answered: "asyncio.Future[None]"
    """What the readers of the group that gathers wait for: one for all of them, since it is asked for most often."""
    _timer: asyncio.TimerHandle

    def __init__(self, settings: Settings, *, metrics: Metrics) -> None:
        self._directory = settings.spool_dir
        self._limit = settings.spool_limit_mb << 20
        self._recorded = [metrics.engagement.labels(kind.value) for kind in KINDS]
        self._dropped = metrics.engagement_dropped
        self._spool: Spool | None = None
        self._thread: threading.Thread | None = None
        self._groups: SimpleQueue[tuple[Group, asyncio.Future[None]] | None] = SimpleQueue()
        self._pending: Group = []
        self._on_disk = 0
        self._in_hand = 0  # in the group that is being written
        self._busy = False
        self._failing = False
        self._full = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def recorded(self) -> int:
        """How many records were taken, be they on disk or not."""
        return self._on_disk + len(self._pending) + self._in_hand

    async def start(self) -> None:
        """Begin to write. A directory that cannot be used is told, and tried again."""
        self._loop = asyncio.get_running_loop()
        self._answered = self._loop.create_future()
        self._thread = threading.Thread(target=self._write, name="engagement recorder", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Put on disk what is waiting and let go of the spool; what the disk does not take is lost and told."""
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._idle.wait()
        except TimeoutError:
            log.error("engagement.lost", events=len(self._pending))
            self._dropped.inc(len(self._pending))
        self._groups.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_WITHIN)

    def record(self, record: bytes) -> Awaitable[None]:
        """Take a record. The awaitable ends when it is on disk, or after ANSWER_WITHIN seconds at most."""
        pending = self._pending
        if len(pending) >= MAX_WAITING:
            self._drop()
            return _done(self._loop)
        pending.append(record)
        answered = self._answered
        if len(pending) == 1 and not self._busy:  # by the time it is called, what came in with this one is there too
            self._idle.clear()
            self._loop.call_soon(self._hand_over)
        return _done(self._loop) if self._failing else answered

    def _drop(self) -> None:
        self._dropped.inc()
        if not self._full:
            self._full = True
            log.error("engagement.full", events=MAX_WAITING)

    def _hand_over(self) -> None:
        if self._busy or not self._pending:
            return
        group, answered = self._pending, self._answered
        self._pending, self._answered = [], self._loop.create_future()
        self._busy = True
        self._in_hand = len(group)
        self._groups.put((group, answered))
        self._timer = self._loop.call_later(ANSWER_WITHIN, _answer, answered)

    def _written(self, group: Group, answered: "asyncio.Future[None]", error: OSError | None) -> None:
        """Answer the readers of a group, and go on with what came in meanwhile."""
        self._timer.cancel()
        self._busy = False
        self._in_hand = 0
        _answer(answered)
        if error is not None:
            if not self._failing:
                log.error("engagement.disk_refuses", reason=error.strerror or type(error).__name__)
            self._failing = True
            self._pending = group + self._pending
            _answer(self._answered)
            self._answered = self._loop.create_future()
            self._loop.call_later(RETRY_AFTER, self._hand_over)
            return
        if self._failing:
            log.info("engagement.disk_takes_again")
        self._failing = self._full = False
        self._on_disk += len(group)
        clicks = sum(record[_KIND_AT] == CLICK for record in group)
        for counter, number in zip(self._recorded, (clicks, len(group) - clicks), strict=True):
            if number:
                counter.inc(number)
        if self._pending:
            self._hand_over()
        else:
            self._idle.set()

    def _write(self) -> None:
        """Write group after group: the thread."""
        while (item := self._groups.get()) is not None:
            group, answered = item
            error: OSError | None = None
            try:
                if self._spool is None:
                    self._spool = Spool(Path(self._directory), limit=self._limit)
                self._spool.append(group)
            except OSError as found:
                error = found
            self._loop.call_soon_threadsafe(self._written, group, answered, error)
        if self._spool is not None:
            self._spool.close()


_KIND_AT = 2  # octet of a record


def _done(loop: asyncio.AbstractEventLoop) -> Awaitable[None]:
    future = loop.create_future()
    future.set_result(None)
    return future


def _answer(answered: "asyncio.Future[None]") -> None:
    if not answered.done():
        answered.set_result(None)
