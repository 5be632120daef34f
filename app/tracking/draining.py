"""Moves events from the spools of this machine into PostgreSQL: each once, whatever dies in between.

One drainer per directory holds its lock. It reads what processes append, dead ones' too, and stores it in batches
together with the number that each spool is drained to: a batch whose reply was lost is known by that number.

The API starts it as a process of its own (`budstikke api`), so that storing takes no time from answering; it ends with
the API, and stores what is left first, if the database is there.
"""

import asyncio
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from app.platform.settings import Settings, load_settings
from app.platform.telemetry import log, set_up_logging
from app.tracking.events import Event, event_of
from app.tracking.spool import Follower, Portion, spools_in, sweep
from app.tracking.storing_queries import DEFINE_DRAIN, DEFINE_STORE, DRAIN, DRAINED, FINISHED, FORGET_FINISHED
from app.tracking.verdicts import judge_request

BATCH = 2000  # events in a transaction: some 50 ms, in which the mailing's counters are locked
LOOK_EVERY = 0.05  # seconds between looks at spools in which nothing is new
LIST_EVERY = 1.0  # seconds between looks for spools, while there is something to do
GIVE_UP_AFTER = 10.0
"""Seconds until a connection that does not answer is dropped; checkpoints on slow disks stall for less."""
FLUSH_WITHIN = 8.0
"""Seconds that stopping waits for the database. What it does not take stays in the spool."""
CONNECT_WITHIN = 2.0
FIRST_RETRY, LAST_RETRY = 0.1, 2.0
NICENESS = 10  # answers come first where both want the same core
GIVE_WAY_WITHIN = 2.0
"""Seconds of lag within which the drainer rests as long as it worked: a flood is answered first, stored next."""

_SESSION = {
    "application_name": "budstikke recorder",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",  # what is committed is deleted from the spool
    # Half the server's deadlock_timeout: in a conflict with a sender or a page it is always this session that yields.
    "lock_timeout": "500ms",
    "statement_timeout": f"{int(GIVE_UP_AFTER)}s",
    # Everything is found by key; a plan cached while the tables were small must not scan them when they are big.
    "enable_seqscan": "off",
}

# Errors of the rows and not of the database: sending them again would stop all that come after.
_UNSTORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_YIELDED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

Tell = Callable[[str, int], None]
"""Called with what happened and a number: `stored` and `lost` events, or `behind` so many milliseconds."""


class Drainer:
    """Drains every spool in a directory. Its caller holds the directory's lock (`sole_drainer`)."""

    def __init__(self, settings: Settings, *, tell: Tell = lambda _what, _number: None) -> None:
        self._url = settings.database_url
        self._directory = settings.spool_dir
        self._machine_seconds = settings.machine_seconds
        self._track_unknown = settings.unknown_tracking_consent
        self._tell = tell
        self._connection: asyncpg.Connection[Any] | None = None
        self._followers: dict[str, Follower] = {}
        self._stopping = asyncio.Event()
        self._behind = 0.0

    async def run(self) -> None:
        """Drain until `stop` is called."""
        working = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({working}, timeout=FLUSH_WITHIN)
            if not working.done():
                log.warning("engagement.left_in_spool")
        finally:
            for task in (working, stopping):
                task.cancel()
            results = await asyncio.gather(working, return_exceptions=True)
            self._disconnect()
            for follower in self._followers.values():
                follower.close()
        if isinstance(results[0], Exception):
            raise results[0]

    def stop(self) -> None:
        """Let `run` end, when what is in the spools is stored, or the database does not take it in FLUSH_WITHIN."""
        self._stopping.set()

    async def _work(self) -> None:
        sweep(self._directory)
        listed, busy = 0.0, False
        while True:
            last = self._stopping.is_set()
            if not busy or time.monotonic() - listed > LIST_EVERY:
                await self._look()
                listed = time.monotonic()
            began = time.monotonic()
            was_busy, busy = busy, await self._round()
            if busy:
                if self._behind < GIVE_WAY_WITHIN:
                    await self._rest(time.monotonic() - began)
                continue
            if was_busy:
                self._tell("behind", 0)
            if last:
                return
            await self._rest(LOOK_EVERY)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _look(self) -> None:
        """Notice spools and segments that are new."""
        for owner, segments in spools_in(self._directory).items():
            follower = self._followers.get(owner)
            if follower is None:
                number = (await self._persist(DRAINED, owner))[0][0]
                follower = self._followers[owner] = Follower(self._directory, owner, number=number)
            follower.notice(segments)

    async def _round(self) -> bool:
        """Store a batch of every spool that has something. False when nothing was there."""
        busy = False
        for owner, follower in list(self._followers.items()):
            portion = follower.read(BATCH)
            if portion is not None:
                busy = True
                await self._store(follower, portion)
            elif follower.finish():
                del self._followers[owner]
                follower.close()
                await self._persist(FINISHED, owner)
        return busy

    async def _store(self, follower: Follower, portion: Portion) -> None:
        if portion.lost:
            log.error("engagement.spool_damaged", events=portion.lost)
            self._tell("lost", portion.lost)
        events = [event_of(record) for record in portion.records]
        await self._store_events(follower.owner, portion.first, events, before=portion.first - portion.lost)
        self._tell("stored", len(events))
        self._behind = max(0.0, time.time() - events[0].occurred_at.timestamp())
        self._tell("behind", round(self._behind * 1000))

    async def _store_events(self, owner: str, first: int, events: Sequence[Event], *, before: int) -> None:
        """Store events whose numbers begin at `first`; `before` is what the database should say it is drained to."""
        end = first + len(events)
        try:
            rows = await self._persist(DRAIN, owner, before, end, *self._columns(events))
        except _UNSTORABLE as error:
            await self._store_halves(owner, first, events, before=before, error=error)
            return
        drained = rows[0][0]
        if drained < before:
            # The database is not the one that we stored into before: it was restored to an earlier time.
            log.error("engagement.database_went_back", expected=before, found=drained)
            await self._store_events(owner, first, events, before=drained)
        elif drained < end:
            await self._store_events(owner, drained, events[drained - first :], before=drained)

    async def _store_halves(
        self, owner: str, first: int, events: Sequence[Event], *, before: int, error: Exception
    ) -> None:
        if len(events) > 1:
            middle = len(events) // 2
            await self._store_events(owner, first, events[:middle], before=before)
            await self._store_events(owner, first + middle, events[middle:], before=first + middle)
            return
        log.error("engagement.unstorable", kind=type(error).__name__, recipient_id=events[0].recipient_id)
        self._tell("lost", 1)
        await self._persist(DRAIN, owner, before, first + 1, *self._columns([]))

    def _columns(self, events: Sequence[Event]) -> tuple[Any, ...]:
        judged = [judge_request(event.kind, event.method, event.user_agent) for event in events]
        columns = zip(*events, strict=True) if events else [()] * len(Event._fields)
        return (
            *columns,
            [judgement.verdict for judgement in judged],
            [",".join(judgement.reasons) for judgement in judged],
            self._machine_seconds,
            self._track_unknown,
        )

    async def _persist(self, query: str, *args: object) -> list[Any]:
        """Run a statement, again until the database has answered it. Raises what lies in the rows."""
        wait = FIRST_RETRY
        while True:
            try:
                connection = self._connection or await self._connect()
                return await self._bounded(connection, query, *args)
            except _UNSTORABLE:
                raise
            except _YIELDED:
                continue
            except Exception as error:  # noqa: BLE001 - a dying connection raises all sorts; events must be kept
                code = getattr(error, "sqlstate", None)
                log.warning("engagement.database_away", kind=type(error).__name__, code=code)
                self._disconnect()
                await asyncio.sleep(wait)
                wait = min(wait * 2, LAST_RETRY)

    async def _bounded(self, connection: "asyncpg.Connection[Any]", query: str, *args: object) -> list[Any]:
        """Run a statement; a server that hangs is left, since asking it to cancel would hang as well."""
        timer = asyncio.get_running_loop().call_later(GIVE_UP_AFTER, connection.terminate)
        try:
            return await connection.fetch(query, *args)
        finally:
            timer.cancel()

    async def _connect(self) -> "asyncpg.Connection[Any]":
        connection = await asyncpg.connect(self._url, timeout=CONNECT_WITHIN, server_settings=_SESSION)
        self._connection = connection
        for statement in (DEFINE_STORE, DEFINE_DRAIN, FORGET_FINISHED):
            await self._bounded(connection, statement)
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def try_to_lock(directory: Path) -> int | None:
    """Return the lock of the directory's one drainer, an open descriptor, or None while another process has it."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "drainer.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


async def serve(settings: Settings, channel: socket.socket) -> None:
    """Drain until the other end of the channel is closed; tell through it what happens, a line each."""
    reader, writer = await asyncio.open_connection(sock=channel)
    drainer = Drainer(settings, tell=lambda what, number: writer.write(f"{what} {number}\n".encode("ascii")))
    running = asyncio.create_task(drainer.run())
    closed = asyncio.create_task(reader.read())
    await asyncio.wait({running, closed}, return_when=asyncio.FIRST_COMPLETED)
    drainer.stop()
    await running


def main() -> None:
    """Drain as a process of the API's, which passes the lock and, as standard input, a socket."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    os.nice(NICENESS)
    for number in (signal.SIGINT, signal.SIGTERM):  # they come to the whole group; our end is the API's
        signal.signal(number, signal.SIG_IGN)
    uvloop.run(serve(settings, socket.socket(fileno=0)))


if __name__ == "__main__":
    main()
