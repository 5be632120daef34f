"""Durable events at the price of few commits: the adaptive group commit.

While one group is being committed the next one gathers; no timer, so a lone click is committed at once and a flood
makes bigger groups. When the database is away readers are answered at once, and events wait in memory, in order,
until it is back. Each event has its key before its group is sent, so a group whose reply was lost is sent again and
nothing is stored twice.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
from prometheus_client import Counter as Metric

from app.platform.settings import Settings
from app.platform.telemetry import Metrics, log
from app.tracking.models import EventKind
from app.tracking.queries import DEFINE_STORE_GROUP, RESERVE_IDS, STORE_GROUP
from app.tracking.verdicts import LONGEST_USER_AGENT, judge_request

ANSWER_WITHIN = 0.7
"""Seconds a reader waits for the commit; with the redirect itself, under the second that a click may feel like."""
GIVE_UP_AFTER = 10.0
"""Seconds until a connection that does not answer is dropped; checkpoints on slow disks stall for less."""
FLUSH_WITHIN = 10.0
"""Seconds that stopping waits for the database; supervisors kill after 30."""
MAX_GROUP = 1000  # events: 206k a second are committed in groups of 200, more gains nothing
MAX_WAITING = 100_000  # events in memory while the database is away: some 60 MB, and a minute of a busy server
RESERVED_IDS = 2000
CONNECT_WITHIN = 2.0
FIRST_RETRY, LAST_RETRY = 0.1, 2.0

_SESSION = {
    "application_name": "budstikke recorder",
    "timezone": "UTC",
    "jit": "off",
    # Half the server's deadlock_timeout: in a conflict with a sender or a page it is always this session that yields.
    "lock_timeout": "500ms",
    "statement_timeout": f"{int(GIVE_UP_AFTER)}s",
    # Everything is found by key; a plan cached while the tables were small must not scan them when they are big.
    "enable_seqscan": "off",
}

# Errors of the rows and not of the database: sending them again would stop all that come after.
_UNSTORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_YIELDED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


class Event(NamedTuple):
    """A click or an open as it came in. A tuple, since making 20 000 a second must cost nothing.

    `mailing_id` and `link_id` are None for opens: the recipient knows its mailing.
    """

    kind: EventKind
    mailing_id: int | None
    recipient_id: int
    link_id: int | None
    occurred_at: datetime
    method: str
    user_agent: str


Waiting = tuple[Event, "asyncio.Future[None]"]


class Recorder:
    """Stores events in groups over a connection of its own."""

    def __init__(self, settings: Settings, *, metrics: Metrics) -> None:
        self._url = settings.database_url
        self._machine_seconds = settings.machine_seconds
        self._recorded = metrics.engagement
        self._dropped = Metric(
            "budstikke_engagement_dropped_total", "Clicks and opens lost: the memory for them was full.",
            registry=metrics.registry,
        )  # fmt: skip
        self._queue: deque[Waiting] = deque()
        self._group: list[Waiting] = []
        self._ids: list[int] = []
        self._connection: asyncpg.Connection[Any] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._away = True
        self._full = False
        self._stopping = False

    @property
    def away(self) -> bool:
        """Whether the database has not answered lately."""
        return self._away

    @property
    def waiting(self) -> int:
        """How many events are not stored yet."""
        return len(self._queue) + len(self._group)

    async def start(self) -> None:
        """Begin to write. Returns without the database, if it is away."""
        self._away = False
        self._writer = asyncio.create_task(self._write(), name="engagement recorder")

    async def stop(self) -> None:
        """Write what is waiting and stop; what the database does not take in FLUSH_WITHIN seconds is lost and told."""
        self._stopping = True
        self._wake.set()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=FLUSH_WITHIN)
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        if self.waiting:
            log.error("engagement.lost", events=self.waiting)
        self._answer_all()
        await self._disconnect()

    def record(self, event: Event) -> Awaitable[None]:
        """Queue an event. The awaitable ends when it is committed, or after ANSWER_WITHIN seconds at most."""
        answered = asyncio.get_running_loop().create_future()
        if len(self._queue) >= MAX_WAITING:
            self._drop()
            answered.set_result(None)
            return answered
        if self._away:
            answered.set_result(None)
        self._queue.append((event, answered))
        self._wake.set()
        return answered

    def _drop(self) -> None:
        self._dropped.inc()
        if not self._full:
            self._full = True
            log.error("engagement.full", events=MAX_WAITING)

    async def _write(self) -> None:
        """Commit group after group until stopped."""
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            size = min(len(self._queue), MAX_GROUP)
            self._group = [self._queue.popleft() for _ in range(size)]
            await self._store(self._group)
            self._group = []
            self._full = False

    async def _store(self, group: list[Waiting]) -> None:
        """Store a group, however long it takes; rows that cannot be stored are told and left out."""
        ids: list[int] = []
        wait = FIRST_RETRY
        timer = asyncio.get_running_loop().call_later(ANSWER_WITHIN, self._answer_all)
        try:
            while True:
                try:
                    ids = ids or await self._take_ids(len(group))
                    await self._send(ids, [event for event, _ in group])
                    break
                except _UNSTORABLE as error:
                    await self._store_halves(group, error)
                    return
                except _YIELDED:
                    continue
                except Exception as error:  # noqa: BLE001 - a dying connection raises all sorts; events must be kept
                    self._answer_all()
                    log.warning("engagement.database_away", kind=type(error).__name__, waiting=self.waiting)
                    await self._disconnect()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, LAST_RETRY)
        finally:
            timer.cancel()
        self._away = False
        for kind, number in Counter(event.kind.value for event, _ in group).items():
            self._recorded.labels(kind).inc(number)
        _answer(group)

    async def _store_halves(self, group: list[Waiting], error: Exception) -> None:
        if len(group) > 1:
            middle = len(group) // 2
            await self._store(group[:middle])
            await self._store(group[middle:])
            return
        log.error("engagement.unstorable", kind=type(error).__name__, recipient_id=group[0][0].recipient_id)
        self._dropped.inc()
        _answer(group)

    async def _take_ids(self, number: int) -> list[int]:
        if len(self._ids) < number:
            connection = self._connection or await self._connect()
            self._ids += [row[0] for row in await self._bounded(connection, RESERVE_IDS, RESERVED_IDS)]
        ids, self._ids = self._ids[:number], self._ids[number:]
        return ids

    async def _send(self, ids: list[int], events: list[Event]) -> None:
        connection = self._connection or await self._connect()
        kinds, mailings, recipients, links, moments, methods, agents = zip(*events, strict=True)
        judged = [judge_request(event.kind, event.method, event.user_agent) for event in events]
        await self._bounded(
            connection, STORE_GROUP, ids, kinds, mailings, recipients, links, moments, methods,
            [agent[:LONGEST_USER_AGENT] for agent in agents], [judgement.verdict for judgement in judged],
            [",".join(judgement.reasons) for judgement in judged], self._machine_seconds,
        )  # fmt: skip

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
        await self._bounded(connection, DEFINE_STORE_GROUP)
        return connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _answer_all(self) -> None:
        """Let every reader go who waits: the database does not answer, and their events stay queued."""
        self._away = True
        _answer(self._group)
        _answer(self._queue)


def _answer(waiting: "list[Waiting] | deque[Waiting]") -> None:
    for _, answered in waiting:
        if not answered.done():
            answered.set_result(None)
