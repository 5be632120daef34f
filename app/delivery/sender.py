"""A sender: leases chunks of one dispatch and sends them over its connections (exactness.md).

Connections pull messages from it, through the outlet of their account, inside `data_received`, so nothing here awaits
on that path. Beside them run one task that flushes results and one for each connection (outlets.py). What it may start
is bounded twice: by the committed windows (WINDOW messages over all its chunks) and by its own clock, which gives up
before the lease does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.delivery import queries
from app.delivery.ahead import Ahead
from app.delivery.journal import Journal
from app.delivery.leasing import OWN_CLOCK, Leasing
from app.delivery.outlet import Outlet
from app.delivery.outlets import Outlets
from app.delivery.pacing import Pacer
from app.delivery.picking import REST_SECONDS, Picking
from app.delivery.plan import Plan, Task, UnsendableError
from app.delivery.replies import Outcome, SendResult, decided_here
from app.delivery.results import OnBounced, Retries, Settled, bounces, columns
from app.delivery.routing import Route, Routing
from app.delivery.smtp.feed import Envelope, Stuffed
from app.delivery.standing import Standings
from app.delivery.suspects import Suspects
from app.delivery.windows import Held, boot_seconds, share_window
from app.platform.db import DATABASE_AWAY, Database, is_away
from app.platform.telemetry import log

WINDOW = 256  # messages in doubt after the loss of a whole machine (D34)
LEASE_SECONDS = 15.0
FLUSH_SECONDS = 0.02
HEARTBEAT_SECONDS = 1.0  # leases are renewed and a halt is noticed this often even when nothing happens (D29)
RETRY_SECONDS = 0.5
LOW_WATER = 500  # tasks; with fewer at hand the next chunk is leased, so that connections never wait for PostgreSQL
# These three together must fit into the time that a worker has at SIGTERM (workers/main.py).
DRAIN_SECONDS = 10.0  # what is in flight may take this long to finish
LAST_FLUSH_SECONDS = 1.0  # a flush that has begun
GIVE_BACK_SECONDS = 5.0  # the last results may take this long; a database that stays away leaves them to recovery


@dataclass(frozen=True, slots=True)
class Ended:
    """How a sender ended: a fault stops the mailing with the server's words."""

    fault: SendResult | None
    accepted: int
    more: bool
    """Whether chunks were left for another sender."""
    rest: float = 0.0
    """Seconds for which no limit leaves anything to send; 0: it did not end for that."""


@dataclass(slots=True)
class Sender:  # the one class with a life of its own: it is what connections pull from
    """Sends what it can lease of a dispatch, until nothing is left, it is halted, or it is asked to stop."""

    database: Database
    plan: Plan
    routing: Routing
    standings: Standings
    journal_directory: Path
    retries: Retries
    on_bounced: OnBounced
    on_trouble: Callable[[str | None], Awaitable[None]]
    """Is told why nothing is sent for now, and None once something is."""
    stopping: asyncio.Event
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its turn is over: it leaves the rest to others."""
    window: int = WINDOW
    lease: float = LEASE_SECONDS
    accepted: int = 0
    fault: SendResult | None = None
    halted: bool = False
    rest: float = 0.0
    _exhausted: bool = False
    _lease_at: float = 0.0
    _picking: Picking = field(default_factory=Picking)
    _suspects: Suspects = field(default_factory=Suspects)
    _results: list[Settled] = field(default_factory=list)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _journal: Journal = field(init=False)
    _outlets: Outlets = field(init=False)
    _ahead: Ahead = field(init=False)
    _leasing: Leasing = field(init=False)
    _pacer: Pacer = field(init=False)
    _tags: tuple[str, ...] = field(init=False)

    async def run(self, *, until: float | None = None) -> Ended:
        """Send; `until` (boot seconds) is when to leave the rest to others, so that small mailings get their turn."""
        self._tags = self.plan.tags
        budgets, routes = self._picking.budgets, self._routes()
        self._outlets = Outlets(self.routing, routes, self, self.standings, self.database, self.on_trouble, budgets)
        self._ahead = Ahead(self.plan, self._tags, self._picking, refuse=self._refuse, wake=self._outlets.wake)
        self._journal = Journal(self.journal_directory)
        self._leasing = Leasing(self.database, self.plan, self._journal.owner, self.lease, self._picking)
        self._pacer = Pacer(self.database, self.plan.mailing_id, self._picking, self._outlets.wake)
        flusher = asyncio.create_task(self._flush_loop())
        pacing = asyncio.create_task(self._pacer.run())
        given_back = False
        try:
            await self._send(until, flusher, pacing)
        finally:
            try:
                given_back = await self._end(flusher, pacing)
            finally:
                # A journal that stays tells recovery exactly what was started, and that the rest was not.
                self._journal.close(keep=not given_back)
        return Ended(self.fault, self.accepted, bool(self._picking) or not self._exhausted, self.rest)

    async def _send(self, until: float | None, *tasks: asyncio.Task[None]) -> None:
        while not self._must_end(until):
            if not self._exhausted and self._picking.stock < LOW_WATER and boot_seconds() >= self._lease_at:
                await self._lease_next()
            if self._exhausted and not self._picking:
                return
            for task in (task for task in tasks if task.done()):
                task.result()  # it never ends but by failing
            self._ahead.go_on()
            self._outlets.widen(self._picking.waiting)
            if self._picking.returned:
                self._outlets.wake()
            if fault := self._outlets.fault:
                self._stop_for(fault)
            await self._judge_suspects()
            await self._outlets.tell()
            self._woken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), 0.1)

    def _routes(self) -> frozenset[Route]:
        """Return the routes of the messages; with several, each task is asked for its own."""
        if self.plan.sender_domain is None:
            self._picking.route_of = self._route_of
            return self.routing.every_route()
        route = self.routing.route(self.plan.sender_domain)
        if not route:
            self._stop_for(self.routing.nobody(self.plan.sender_domain))
        return frozenset({route})

    def _route_of(self, task: Task) -> Route:
        domain = self.plan.from_domain(task.row, self._tags)
        route = self.routing.route(domain)
        if not route:
            self._stop_for(self.routing.nobody(domain))
        return route

    def _must_end(self, until: float | None) -> bool:
        wait = self._picking.wait_of_all(boot_seconds(), [outlet.account.id for outlet in self._outlets])
        self.rest = wait if wait >= REST_SECONDS else 0.0
        asked = self.stopping.is_set() or self.leaving.is_set() or (until is not None and boot_seconds() > until)
        return self.halted or self.fault is not None or asked or self.rest > 0

    # Messages: asked for by outlets on the event loop, must not block

    @property
    def waiting(self) -> int:
        """How many messages are with no connection and have no result."""
        return self._picking.waiting

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is given out."""
        return self._picking.closed

    def next(self, outlet: Outlet) -> Envelope | None:
        """Give the next message of an outlet whose start a committed window allows."""
        self._ahead.fill()
        while task := self._picking.next(outlet.routes, outlet.account.id):
            task.chunk.in_hand += 1
            try:
                task.content = task.content or self.plan.render(task.row, self._tags)
            except UnsendableError as error:
                task.chunk.in_hand -= 1
                self._refuse(task, error)
                continue
            path, shared = self.plan.return_path(task.recipient_id), len(self.plan.tail)
            return Envelope(key=task, sender=path, recipient=task.email, shared=shared)
        return None

    def _refuse(self, task: Task, error: Exception) -> None:
        self._record(task, decided_here(Outcome.REJECTED, str(error)))

    def content(self, envelope: Envelope) -> bytes | Stuffed:
        """Give the message, as `next` made it."""
        task: Task = envelope.key  # type: ignore[assignment]
        return task.content or b""

    def start(self, envelope: Envelope) -> bool:
        """Check lease and fence, then write the start record: the last moment at which nothing has happened."""
        task: Task = envelope.key  # type: ignore[assignment]
        held: Held = task.chunk
        if held.fenced or self._picking.closed or boot_seconds() >= held.deadline:
            return False
        task.started = self._journal.start(self.plan.dispatch_id, task.seq, task.attempt)
        if not task.started:
            log.error("journal.full", dispatch_id=self.plan.dispatch_id)
        return task.started

    def settle(self, envelope: Envelope, result: SendResult, *, stops: bool = True) -> None:
        """Take a result: into the journal at once, into PostgreSQL with the next flush."""
        task: Task = envelope.key  # type: ignore[assignment]
        task.chunk.in_hand -= 1
        if task.started:
            self._journal.reply(self.plan.dispatch_id, task.seq, task.attempt, result.outcome, result.code)
        if result.outcome not in (Outcome.NOT_STARTED, Outcome.SENDER_FAULT):
            self._record(task, result)
            return
        if task.started:  # refused for our fault: its start needs no result to be stored
            self._journal.durable([(self.plan.dispatch_id, task.seq, task.attempt)])
            task.started = False
        if result.outcome is Outcome.SENDER_FAULT and stops:
            self._fault_of(task, result)
        else:
            self._picking.put_back(task)
        self._woken.set()  # connections that had nothing to do may take it

    def _fault_of(self, task: Task, result: SendResult) -> None:
        """Stop for a fault of ours, unless it is this recipient's only, who has met one before (suspects.py)."""
        if not task.is_suspect:
            self._results.append((task, result))  # he stays ready, with the server's words
            self._picking.put_back(task)
            self._stop_for(result)
        elif self.accepted:
            self._record(task, result)
        else:
            self._suspects.hold(task, result)

    async def _judge_suspects(self) -> None:
        """Let suspects fail once somebody else was accepted; where nobody else is left, by what was sent before."""
        if not self._suspects or self.fault is not None:
            return
        is_last = self._exhausted and self._picking.unsettled <= len(self._suspects)
        are_few = None
        with suppress(*DATABASE_AWAY):  # asked again in a moment
            are_few = is_last and await self._suspects.are_few(self.database, self.plan.mailing_id)
        if self.accepted or are_few:
            for task, result in self._suspects.release():
                self._record(task, result)
        elif is_last and are_few is False:
            self._stop_for(self._suspects.first())

    def _stop_for(self, fault: SendResult) -> None:
        self.fault = self.fault or fault
        self._picking.closed = True
        self._woken.set()

    def _record(self, task: Task, result: SendResult) -> None:
        task.content, task.row = None, None
        task.chunk.settled += 1
        self.accepted += result.outcome is Outcome.ACCEPTED
        self._results.append((task, result))
        if result.outcome is Outcome.DEFERRED:
            self._pacer.note(task, result, accepted=self.accepted)

    # Leasing

    async def _lease_next(self) -> None:
        try:
            async with asyncio.timeout(self.lease):
                held = await self._leasing.next_chunk()
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            log.warning("sender.cannot_lease", kind=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
            return
        if held is not None:
            self._picking.add(held)
            await self._flush()
        elif self._picking.budgets.limits_destinations and self._picking:
            self._lease_at = boot_seconds() + HEARTBEAT_SECONDS  # others of a destination may follow the one held
        else:
            self._exhausted = True

    # Flushing

    async def _flush_loop(self) -> None:
        last = boot_seconds()
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._results or boot_seconds() - last > HEARTBEAT_SECONDS or self._window_is_wanted():
                last = boot_seconds()
                await self._flush()
            if self._picking.budgets.limited and not self._picking.closed:
                await self._leasing.keep_pace(self._flushing, lambda: self._results)

    def _window_is_wanted(self) -> bool:
        """Whether connections may soon be without work though a flush could allow them more, or end a chunk."""
        chunks = list(self._picking)
        at_hand = sum(held.allowed - held.given for held in chunks if not held.fenced)
        scarce = not self._picking.closed and at_hand < self.window // 4
        return (scarce and any(share_window(chunks, window=self.window))) or any(held.done for held in chunks)

    async def _flush(self) -> bool:
        """Store results, extend windows, renew leases; False when it failed and everything waits for the next try."""
        async with self._flushing:  # two at once would each grant the same window
            results, self._results = self._results, []
            try:
                async with asyncio.timeout(self.lease):  # a flush that takes longer holds nothing any more
                    await self._flush_now(results)
            except BaseException as error:
                # Cancelled or not: if it was committed all the same, storing it again changes nothing.
                self._results = results + self._results
                if not is_away(error):
                    raise
                log.warning("sender.cannot_store", kind=type(error).__name__, waiting=len(self._results))
                await asyncio.sleep(RETRY_SECONDS)
                return False
            return True

    async def _flush_now(self, results: Sequence[Settled]) -> None:
        chunks = list(self._picking)
        grants = [0] * len(chunks) if self._picking.closed else share_window(chunks, window=self.window)
        pairs = list(zip(chunks, grants, strict=True))
        dones = [held.done for held in chunks]
        flushed_at = boot_seconds()
        self._journal.flush()
        async with self.database.begin() as session:
            row = await queries.flush(
                session,
                dispatch_id=self.plan.dispatch_id,
                owner=self._journal.owner,
                lease=self.lease,
                numbers=[held.number for held in chunks],
                epochs=[held.epoch for held in chunks],
                window_ends=[held.end_of(held.allowed + grant) for held, grant in pairs],
                dones=dones,
                granted=[task.recipient_id for held, grant in pairs for task in held.after_window(grant)],
                **columns(results, self.retries),
            )
            if bounced := bounces(results, self.retries):
                await self.on_bounced(session, bounced)
        self._journal.durable((self.plan.dispatch_id, task.seq, task.attempt) for task, _ in results)
        still_ours, barred = set(row.held), set(row.barred)
        for place, ((chunk, grant), done) in enumerate(zip(pairs, dones, strict=True), start=1):
            if done:
                self._picking.forget(chunk)
            elif place in still_ours:
                chunk.allow(grant, barred)
                chunk.deadline = flushed_at + OWN_CLOCK * self.lease
            else:
                self._fence(chunk)
        if row.halted:
            self.halted = self._picking.closed = True
        elif any(grants):
            self._outlets.wake()
        if not self._picking or self.halted:
            self._woken.set()

    def _fence(self, chunk: Held) -> None:
        """Start no more of a chunk that another sender has; forget it once nothing of it is in flight."""
        if not chunk.fenced:
            log.warning("sender.overtaken", dispatch_id=self.plan.dispatch_id, chunk=chunk.number)
            self._picking.fence(chunk)
        if not chunk.in_hand:
            self._picking.forget(chunk)

    # Ending

    async def _end(self, flusher: asyncio.Task[None], pacing: asyncio.Task[None]) -> bool:
        """Let what is in flight finish, store the last results and release the chunks; False leaves it to recovery."""
        self._picking.closed = True
        self._ahead.close()
        try:
            for connection in self._outlets.open():
                connection.drain()
            if left := self._outlets.open():
                await asyncio.wait([connection.closed for connection in left], timeout=DRAIN_SECONDS)
        finally:
            await self._outlets.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_FLUSH_SECONDS), self._flushing:
                    flusher.cancel()  # between two flushes, not within one
            for task in (flusher, pacing):
                task.cancel()
            await asyncio.gather(flusher, pacing, return_exceptions=True)
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                return await self._give_back()
        except TimeoutError:
            log.warning("sender.left_to_recovery", dispatch_id=self.plan.dispatch_id, results=len(self._results))
            return False

    async def _give_back(self) -> bool:
        while not await self._flush():
            pass  # it has waited
        while True:
            try:
                await self._leasing.give_back()
            except DATABASE_AWAY as error:
                log.warning("sender.cannot_release", kind=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return True
