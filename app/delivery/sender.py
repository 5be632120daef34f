"""A sender: leases chunks of one dispatch and sends them over its connections (exactness.md).

It implements `Feed`: connections pull messages from it inside `data_received`, so nothing here awaits on that path.
Beside them run one task that flushes results and one for each connection. What it may start is bounded twice: by the
committed windows (WINDOW messages over all its chunks) and by its own clock, which gives up before the lease does.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery import queries
from app.delivery.journal import Journal
from app.delivery.merge_data import BY_RANGE, select_recipients
from app.delivery.plan import Plan, Task, UnsendableAddressError
from app.delivery.replies import Outcome, SendResult, decided_here
from app.delivery.results import Bounced, Retries, bounces, columns
from app.delivery.smtp.account import SmtpAccount
from app.delivery.smtp.connection import open_connection
from app.delivery.smtp.dialogue import SmtpConnection
from app.delivery.smtp.feed import EndReason, Envelope
from app.platform.db import Database
from app.platform.telemetry import log

WINDOW = 256  # messages in doubt after the loss of a whole machine (D34)
LEASE_SECONDS = 15.0
OWN_CLOCK = 0.8  # of the lease; past it nothing is started, whatever the database thinks
FLUSH_SECONDS = 0.02
FLUSH_RESULTS = 64
HEARTBEAT_SECONDS = 3.0  # leases are renewed and a halt is noticed this often even when nothing happens
RETRY_SECONDS = 0.5
LOW_WATER = 500  # tasks; with fewer at hand the next chunk is leased, so that connections never wait for PostgreSQL
TASKS_PER_CONNECTION = 25  # a small mailing opens few connections
MAX_RECONNECT_SECONDS = 30.0
DRAIN_SECONDS = 30.0


OnBounced = Callable[[AsyncSession, Sequence[Bounced]], Awaitable[None]]


@dataclass(slots=True)
class Held:
    """A leased chunk. Counts are of tasks: allowed by a committed window, given to connections, settled."""

    number: int
    epoch: int
    first_seq: int
    tasks: list[Task]
    deadline: float
    allowed: int = 0
    given: int = 0
    settled: int = 0
    fenced: bool = False

    def end_of(self, count: int) -> int:
        """Return the window end that allows the first `count` tasks."""
        return self.tasks[count - 1].seq if count else self.first_seq - 1

    @property
    def done(self) -> bool:
        """Whether every task has a result."""
        return self.settled == len(self.tasks)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a sender ended: a fault stops the mailing with the server's words."""

    fault: SendResult | None
    accepted: int
    more: bool
    """Whether chunks were left for another sender."""


def boot_seconds() -> float:
    """Return the seconds since boot; goes on while the machine is suspended, unlike the monotonic clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Sender:  # the one class with a life of its own: it is what connections pull from
    """Sends what it can lease of a dispatch, until nothing is left, it is halted, or it is asked to stop."""

    database: Database
    plan: Plan
    account: SmtpAccount
    journal_directory: Path
    connections: int
    retries: Retries
    on_bounced: OnBounced
    stopping: asyncio.Event
    window: int = WINDOW
    lease: float = LEASE_SECONDS
    accepted: int = 0
    fault: SendResult | None = None
    halted: bool = False
    _exhausted: bool = False
    _chunks: dict[int, Held] = field(default_factory=dict)
    _again: deque[Task] = field(default_factory=deque)
    _results: list[tuple[Task, SendResult]] = field(default_factory=list)
    _open: set[SmtpConnection] = field(default_factory=set)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _journal: Journal = field(init=False)
    _tags: tuple[str, ...] = field(init=False)
    _draining: bool = False

    async def run(self, *, until: float | None = None) -> Ended:
        """Send; `until` (boot seconds) is when to leave the rest to others, so that small mailings get their turn."""
        self._journal = Journal(self.journal_directory)
        self._tags = self.plan.tags
        connecting: set[asyncio.Task[None]] = set()
        flusher = asyncio.create_task(self._flush_loop())
        try:
            while not self._must_end(until):
                if not self._exhausted and self._waiting() < LOW_WATER:
                    await self._lease_next()
                if self._exhausted and not self._chunks:
                    break
                connecting = _running(connecting)
                wanted = min(self.connections, -(-self._waiting() // TASKS_PER_CONNECTION))
                while len(connecting) < wanted:
                    connecting.add(asyncio.create_task(self._connect()))
                _running({flusher})
                await self._pause()
        finally:
            await self._drain()
            for task in (*connecting, flusher):
                task.cancel()
            await asyncio.gather(*connecting, flusher, return_exceptions=True)
            more = bool(self._chunks) or not self._exhausted
            await self._give_back()
        return Ended(fault=self.fault, accepted=self.accepted, more=more)

    def _must_end(self, until: float | None) -> bool:
        late = until is not None and boot_seconds() > until
        return self.halted or self.fault is not None or self.stopping.is_set() or late

    def _waiting(self) -> int:
        return len(self._again) + sum(len(held.tasks) - held.given for held in self._chunks.values() if not held.fenced)

    async def _pause(self) -> None:
        self._woken.clear()
        try:
            await asyncio.wait_for(self._woken.wait(), 0.1)
        except TimeoutError:
            return

    # Feed: called by connections on the event loop, must not block

    def next(self) -> Envelope | None:
        """Give the next message whose start a committed window allows."""
        while task := self._pick():
            try:
                task.content = task.content or self.plan.render(task.row, self._tags)
            except UnsendableAddressError as error:
                self._record(task, decided_here(Outcome.REJECTED, str(error)))
                continue
            return Envelope(key=task, sender=self.plan.return_path(task.recipient_id), recipient=task.email)
        return None

    def _pick(self) -> Task | None:
        if self._draining:
            return None
        now = boot_seconds()
        if self._again and now < self._again[0].chunk.deadline:
            return self._again.popleft()
        for held in self._chunks.values():
            if held.given < held.allowed and not held.fenced and now < held.deadline:
                held.given += 1
                return held.tasks[held.given - 1]
        return None

    def content(self, envelope: Envelope) -> bytes:
        """Give the message, as `next` made it."""
        task: Task = envelope.key  # type: ignore[assignment]
        return task.content

    def start(self, envelope: Envelope) -> bool:
        """Check lease and fence, then write the start record: the last moment at which nothing has happened."""
        task: Task = envelope.key  # type: ignore[assignment]
        held: Held = task.chunk
        if held.fenced or self._draining or boot_seconds() >= held.deadline:
            return False
        task.started = self._journal.start(self.plan.dispatch_id, task.seq, task.attempt)
        if not task.started:
            log.error("journal.full", dispatch_id=self.plan.dispatch_id)
        return task.started

    def settle(self, envelope: Envelope, result: SendResult) -> None:
        """Take a result: into the journal at once, into PostgreSQL with the next flush."""
        task: Task = envelope.key  # type: ignore[assignment]
        if task.started:
            self._journal.reply(self.plan.dispatch_id, task.seq, task.attempt, result.outcome, result.code)
        if result.outcome in (Outcome.NOT_STARTED, Outcome.SENDER_FAULT):
            task.started = False
            if task.chunk.fenced:
                task.chunk.given -= 1
            else:
                self._again.append(task)
            if result.outcome is Outcome.SENDER_FAULT and self.fault is None:
                self.fault = result
                self._woken.set()
            return
        self._record(task, result)

    def _record(self, task: Task, result: SendResult) -> None:
        task.content, task.row = b"", None
        task.chunk.settled += 1
        self.accepted += result.outcome is Outcome.ACCEPTED
        self._results.append((task, result))

    # Leasing

    async def _lease_next(self) -> None:
        leased_at = boot_seconds()
        try:
            async with self.database.begin() as session:
                row = await queries.claim_chunk(
                    session, dispatch_id=self.plan.dispatch_id, owner=self._journal.owner, lease=self.lease
                )
                rows = await self._load(session, row) if row else []
        except (SQLAlchemyError, OSError) as error:
            log.warning("sender.cannot_lease", kind=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
            return
        if row is None:
            self._exhausted = True
            return
        held = Held(row.number, row.epoch, row.first_seq, [], leased_at + OWN_CLOCK * self.lease)
        held.tasks = [Task(r.id, r.seq, r.attempts + 1, r.email, held, r) for r in rows]
        self._chunks[held.number] = held
        await self._flush()

    async def _load(self, session: AsyncSession, chunk: Any) -> Sequence[Any]:
        select = select_recipients(self._tags, where=BY_RANGE)
        params = {"mailing_id": self.plan.mailing_id, "first_seq": chunk.first_seq, "last_seq": chunk.last_seq}
        return (await session.exec(select, params=params)).all()  # type: ignore[call-overload,no-any-return]

    # Flushing

    async def _flush_loop(self) -> None:
        last = 0.0
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._results or boot_seconds() - last > HEARTBEAT_SECONDS or self._window_is_wanted():
                last = boot_seconds()
                await self._flush()

    def _window_is_wanted(self) -> bool:
        return not self._draining and any(
            held.given == held.allowed < len(held.tasks) and not held.fenced for held in self._chunks.values()
        )

    async def _flush(self) -> None:
        """Store results, extend windows, renew leases; on failure everything waits for the next try."""
        async with self._flushing:  # two at once would each grant the same window
            await self._flush_now()

    async def _flush_now(self) -> None:
        results, self._results = self._results, []
        chunks = list(self._chunks.values())
        grants = self._grants(chunks)
        done = [held.done for held in chunks]
        flushed_at = boot_seconds()
        self._journal.flush()
        try:
            async with self.database.begin() as session:
                row = await queries.flush(
                    session,
                    dispatch_id=self.plan.dispatch_id,
                    owner=self._journal.owner,
                    lease=self.lease,
                    numbers=[held.number for held in chunks],
                    epochs=[held.epoch for held in chunks],
                    window_ends=[held.end_of(held.allowed + grant) for held, grant in zip(chunks, grants, strict=True)],
                    dones=done,
                    **columns(results, self.retries),
                )
                if bounced := bounces(results, self.retries):
                    await self.on_bounced(session, bounced)
        except (SQLAlchemyError, OSError) as error:
            self._results = results + self._results
            log.warning("sender.cannot_store", kind=type(error).__name__, waiting=len(self._results))
            await asyncio.sleep(RETRY_SECONDS)
            return
        self.halted = bool(row.halted)
        self._journal.durable((self.plan.dispatch_id, task.seq, task.attempt) for task, _ in results)
        self._apply(chunks, grants, done, held=set(row.held), flushed_at=flushed_at)

    def _grants(self, chunks: list[Held]) -> list[int]:
        """Share the window out over the chunks, oldest first: how many more tasks each may start."""
        room = self.window - sum(held.allowed - held.settled for held in chunks)
        grants = []
        for held in chunks:
            grant = 0 if self._draining or held.fenced else max(0, min(room, len(held.tasks) - held.allowed))
            room -= grant
            grants.append(grant)
        return grants

    def _apply(
        self, chunks: list[Held], grants: list[int], done: list[bool], *, held: set[int], flushed_at: float
    ) -> None:
        for chunk, grant, is_done in zip(chunks, grants, done, strict=True):
            if is_done:
                del self._chunks[chunk.number]
            elif chunk.number in held:
                chunk.allowed += grant
                chunk.deadline = flushed_at + OWN_CLOCK * self.lease
            else:
                self._fence(chunk)
        if any(grants):
            for connection in list(self._open):
                connection.wake()
        if not self._chunks or self.halted:
            self._woken.set()

    def _fence(self, chunk: Held) -> None:
        chunk.fenced = True
        kept = deque(task for task in self._again if task.chunk is not chunk)
        chunk.given -= len(self._again) - len(kept)
        self._again = kept
        if chunk.given == chunk.settled:
            del self._chunks[chunk.number]
        log.warning("sender.overtaken", dispatch_id=self.plan.dispatch_id, chunk=chunk.number)

    # Connections

    async def _connect(self) -> None:
        """Keep one connection busy until nothing waits."""
        wait = 0.5
        while self._waiting() and not self._draining and self.fault is None:
            opened = await open_connection(self.account, self)
            if isinstance(opened, SendResult):
                if opened.outcome is Outcome.SENDER_FAULT:
                    self.fault = opened
                    self._woken.set()
                    return
                log.warning("sender.no_connection", code=opened.code, wait=wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_RECONNECT_SECONDS)
                continue
            self._open.add(opened)
            end = await opened.closed
            self._open.discard(opened)
            if end.error is not None:
                raise end.error
            if end.accepted:
                wait = 0.5
            if end.reason not in (EndReason.IDLE, EndReason.FULL_COUNT, EndReason.DRAINED):
                log.warning("sender.connection_ended", reason=end.reason.value)
                await asyncio.sleep(min(wait, 1.0))
                wait = min(wait * 2, MAX_RECONNECT_SECONDS)

    # Ending

    async def _drain(self) -> None:
        """Start nothing more and let what is in flight finish."""
        self._draining = True
        for connection in list(self._open):
            connection.drain()
        if self._open:
            await asyncio.wait([connection.closed for connection in self._open], timeout=DRAIN_SECONDS)
        for connection in list(self._open):
            connection.abort()

    async def _give_back(self) -> None:
        """Store the last results and release the chunks; a database that stays away leaves it to recovery."""
        self._draining = True
        deadline = boot_seconds() + DRAIN_SECONDS
        while self._results and boot_seconds() < deadline:
            await self._flush()
        if not self._results:
            try:
                async with self.database.begin() as session:
                    await queries.release_chunks(session, dispatch_id=self.plan.dispatch_id, owner=self._journal.owner)
            except (SQLAlchemyError, OSError) as error:
                log.warning("sender.cannot_release", kind=type(error).__name__)
        self._journal.close()


def _running(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Return the tasks that still run; raises what a finished one raised."""
    for task in tasks:
        if task.done():
            task.result()
    return {task for task in tasks if not task.done()}
