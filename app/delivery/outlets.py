"""The accounts that a sender sends over: their connections, their shares, and what becomes of one that fails (D32).

An outlet is one account in one sender's hands, and the feed of its connections. A message that was not started may go
through another outlet of its route at once; one that was started never comes back here without a result.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.delivery import account_queries
from app.delivery.budgets import Budgets
from app.delivery.outlet import Messages, Outlet
from app.delivery.replies import Outcome, SendResult, decided_here
from app.delivery.routing import Route, Routing
from app.delivery.smtp.account import Pipelining, SmtpAccount
from app.delivery.smtp.connection import open_connection
from app.delivery.smtp.dialogue import SmtpConnection
from app.delivery.smtp.feed import ConnectionEnd, EndReason
from app.delivery.standing import Standings
from app.delivery.windows import boot_seconds
from app.platform.db import DATABASE_AWAY, Database
from app.platform.telemetry import log

TASKS_PER_CONNECTION = 25  # a small mailing opens few connections
RETRY_SECONDS = 0.5
FULL_HOUSE_SECONDS = 30.0  # a server that takes no more connections keeps those it has; more are tried after this
LAST_WORD_SECONDS = 1.0  # how an account fares is worth no more of the time that a sender has to end
TROUBLE_FAILURES = 3  # of every account, before the mailing says so: a restarted server is back by then

_AS_ASKED: Final = (EndReason.IDLE, EndReason.FULL_COUNT, EndReason.DRAINED)
_OUR_DOING: Final = (EndReason.LEASE_GONE, EndReason.ABORTED)


@dataclass(slots=True)
class Outlets:
    """All outlets of a sender."""

    routing: Routing
    routes: frozenset[Route]
    """Of the sender's messages; one of them may be empty: nobody serves it."""
    messages: Messages
    standings: Standings
    database: Database
    on_trouble: Callable[[str | None], Awaitable[None]]
    """Is told why nothing is sent for now, and None once something is."""
    budgets: Budgets
    held_back: set[Outlet] = field(default_factory=set)
    _all: list[Outlet] = field(init=False)
    _news: dict[int, tuple[Callable[..., Any], dict[str, Any]]] = field(default_factory=dict)
    _said: list[tuple[Callable[..., Any], dict[str, Any]]] = field(default_factory=list)
    _is_waking: bool = False
    _trouble: str | None = ""
    """What was told; at first it is not known what an earlier sender told."""

    def __post_init__(self) -> None:
        every = frozenset().union(*self.routes)
        self._all = [
            Outlet(
                account=account,
                standing=self.standings.of(account.id),
                outlets=self,
                routes=None if len(self.routes) == 1 else {route for route in self.routes if account.id in route},
                content=self.messages.content,
                start=self.messages.start,
                fault=account.fault,
            )
            for account in self.routing.accounts
            if account.id in every
        ]
        for outlet in self._all:
            outlet.rivals = [other for other in self._all if other is not outlet and other.routes == outlet.routes]

    def __iter__(self) -> Iterator[Outlet]:
        return iter(self._all)

    # How they fare

    @property
    def fault(self) -> SendResult | None:
        """The fault that stops the mailing: of some message, all accounts that may send it keep us out (D32)."""
        for route in self.routes:
            outlets = [outlet for outlet in self._all if outlet.account.id in route]
            faults = [(outlet.account.name, outlet.fault) for outlet in outlets if outlet.fault is not None]
            if outlets and len(faults) == len(outlets):
                return faults[0][1] if len(faults) == 1 else _together(faults)
        return None

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent for now: no account can be reached, and each was tried several times."""
        if any(outlet.open or outlet.standing.failures < TROUBLE_FAILURES for outlet in self._all if not outlet.fault):
            return None
        reasons = "; ".join(
            f"{outlet.account.name}: {outlet.standing.failure.text}" for outlet in self._all if outlet.standing.failure
        )
        return f"Waiting for a sending account. {reasons}" if reasons else None

    def can_do_without(self, outlet: Outlet) -> bool:
        """Tell whether every message that an outlet may take has another one that is not at fault."""
        return all(
            any(other.account.id in route and other is not outlet and other.fault is None for other in self._all)
            for route in self.routes
            if outlet.account.id in route
        )

    def shut(self, outlet: Outlet, fault: SendResult) -> None:
        """Use an account no more in this sender; its share goes to the others."""
        if outlet.fault is None:
            outlet.fault = fault
            self._note_failure(outlet, fault)
        for connection in list(outlet.open):
            connection.drain()
        self.wake()

    def note_success(self, outlet: Outlet) -> None:
        """Note that an account works."""
        outlet.standing.works()
        outlet.is_told = True
        if outlet.account.id is not None:
            self._news[outlet.account.id] = account_queries.note_success, {"account_id": outlet.account.id}

    def _note_failure(self, outlet: Outlet, failure: SendResult) -> None:
        wait = outlet.standing.fail(failure)
        log.warning(
            "account.failed", account=outlet.account.id, stage=failure.stage.value, code=failure.code, wait=wait
        )
        outlet.is_told = False
        if outlet.account.id is not None:
            self._news[outlet.account.id] = account_queries.note_failure, {
                "account_id": outlet.account.id, "failures": outlet.standing.failures,
                "is_fault": outlet.standing.is_fault, "wait": wait, "words": words_of(failure),
            }  # fmt: skip

    def _note_step(self, outlet: Outlet, step: Pipelining, wait: float, end: ConnectionEnd) -> None:
        log.warning("account.stepped_down", account=outlet.account.id, pipelining=step.value, reason=end.reason.value)
        if outlet.account.id is not None:
            told = {"account_id": outlet.account.id, "step": step.value, "wait": wait, "words": end.text}
            self._said.append((account_queries.note_step, told))

    async def tell(self) -> None:
        """Store what was noted, and tell whether anything can be sent; a database that is away hears it next time."""
        await self._store()
        trouble = self.trouble
        if trouble != self._trouble and (trouble or any(outlet.is_told for outlet in self._all)):
            with suppress(*DATABASE_AWAY):
                await self.on_trouble(trouble)
                self._trouble = trouble

    async def _store(self) -> None:
        if not (self._news or self._said):
            return
        news, self._news = self._news, {}
        said, self._said = self._said, []
        try:
            async with self.database.begin() as session:
                for note, values in [*news.values(), *said]:
                    await note(session, **values)
        except DATABASE_AWAY as error:
            log.warning("account.cannot_store", kind=type(error).__name__)
            self._news = news | self._news
            self._said = said + self._said

    # Their connections

    def wake(self) -> None:
        """Let connections look for messages again."""
        for outlet in self._all:
            for connection in list(outlet.open):
                connection.wake()

    def wake_held_back(self) -> None:
        """Let those look again that a rival was behind: it has taken one."""
        if self.held_back and not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._wake_held_back)

    def _wake_held_back(self) -> None:
        self._is_waking = False
        held, self.held_back = self.held_back, set()
        for outlet in held:
            for connection in list(outlet.open):
                connection.wake()

    def widen(self, waiting: int) -> None:
        """Open connections: one for every TASKS_PER_CONNECTION messages, as accounts allow, by weight."""
        _raise_failures(self.tasks())
        for outlet in self._all:
            outlet.slots = {slot for slot in outlet.slots if not slot.done()}
        stuck = sum(outlet.stuck() for outlet in self._all) if len(self._all) > 1 else 0
        wanted = -(-waiting // TASKS_PER_CONNECTION) - len(self.tasks()) + stuck
        while wanted > 0 and (fitting := [outlet for outlet in self._all if self._takes_more(outlet)]):
            outlet = min(fitting, key=_fullness)
            outlet.slots.add(asyncio.create_task(self._keep_open(outlet)))
            wanted -= 1

    def _takes_more(self, outlet: Outlet) -> bool:
        busy = len(outlet.slots)
        if outlet.fault is not None or busy >= outlet.account.connections or outlet.stuck():
            return False
        if boot_seconds() < outlet.most_until and busy >= outlet.most:
            return False
        if outlet.standing.is_shut():
            # What kept others out is tried once more before it stops a mailing that has nothing else.
            return outlet.standing.is_fault and not busy and self._is_last_hope(outlet)
        return not (outlet.standing.failures and busy)  # one looks whether it is back

    def _is_last_hope(self, outlet: Outlet) -> bool:
        """Tell whether some messages have no account that is not known to be at fault."""
        hopeful = {
            other.account.id
            for other in self._all
            if other.fault is None and not (other.standing.is_fault and other.standing.is_shut())
        }
        return any(outlet.account.id in route and not hopeful & route for route in self.routes)

    def tasks(self) -> set[asyncio.Task[None]]:
        """Return the tasks that keep connections open."""
        return {slot for outlet in self._all for slot in outlet.slots}

    def open(self) -> list[SmtpConnection]:
        """Return the connections that are open."""
        return [connection for outlet in self._all for connection in outlet.open]

    async def _keep_open(self, outlet: Outlet) -> None:
        """Keep one connection busy until nothing waits or the account fails."""
        while self.messages.waiting and not self.messages.is_closed and outlet.fault is None:
            failures = outlet.standing.failures
            smtp = replace(outlet.account.smtp, pipelining=outlet.standing.level(outlet.account.smtp.pipelining))
            opened = await self._open(outlet, smtp)
            if isinstance(opened, SendResult):
                if outlet.open:  # the server takes no more than it has
                    outlet.most, outlet.most_until = len(outlet.open), boot_seconds() + FULL_HOUSE_SECONDS
                elif outlet.standing.failures == failures:
                    self._keep_out(outlet, opened)
                return
            end = await self._see_out(outlet, opened)
            if end.reason in _AS_ASKED:
                outlet.standing.pipelined_well()
                continue
            log.warning("sender.connection_ended", reason=end.reason.value, account=outlet.account.id)
            broken = not end.accepted and not outlet.open and end.reason not in _OUR_DOING
            if self._is_suspect(outlet, opened.pipelining, end):
                if outlet.standing.level(opened.pipelining) is not opened.pipelining:
                    continue  # at once, and more carefully
            elif broken and outlet.standing.failures == failures:
                self._note_failure(outlet, end.reply or decided_here(Outcome.DEFERRED, end.text))
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _open(self, outlet: Outlet, smtp: SmtpAccount) -> SmtpConnection | SendResult:
        mark = object()
        outlet.opening[mark] = boot_seconds()
        try:
            return await open_connection(smtp, outlet)
        finally:
            del outlet.opening[mark]

    def _keep_out(self, outlet: Outlet, result: SendResult) -> None:
        if result.outcome is Outcome.SENDER_FAULT:
            self.shut(outlet, result)
        else:
            self._note_failure(outlet, result)

    def _is_suspect(self, outlet: Outlet, level: Pipelining, end: ConnectionEnd) -> bool:
        """Step pipelining down where the server cannot take it; whether the connection's end may be due to that.

        Nothing is lost or sent twice by it: what was not started goes over the next connection.
        """
        surely = end.reason is EndReason.OUT_OF_STEP
        proved = 1 if level is Pipelining.ENVELOPE else 2  # messages that only went through if pipelining works
        if level is Pipelining.OFF or end.reason in _OUR_DOING:
            return False
        if not surely and (end.reply is not None or not end.pending or end.accepted >= proved):
            return False
        step = outlet.standing.misbehaved(level, surely=surely)
        if step is not None:
            self._note_step(outlet, *step, end)
        return True

    async def _see_out(self, outlet: Outlet, connection: SmtpConnection) -> ConnectionEnd:
        """Wait for a connection's end; whatever happens to the wait, it does not outlive its sender."""
        outlet.open.add(connection)
        if self.messages.is_closed:
            connection.drain()
        try:
            end = await asyncio.shield(connection.closed)
        finally:
            outlet.open.discard(connection)
            connection.abort()
        if end.error is not None:
            raise end.error
        return end

    async def close(self) -> None:
        """Open nothing more, end what is left, and tell what is not told yet."""
        tasks = self.tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self.tell()


def words_of(result: SendResult) -> str:
    """Return a server's words with its code."""
    return result.text if result.code is None else f"{result.code} {result.text}"


def _together(faults: Sequence[tuple[str, SendResult]]) -> SendResult:
    return decided_here(Outcome.SENDER_FAULT, "; ".join(f"{name}: {words_of(fault)}" for name, fault in faults)[:500])


def _fullness(outlet: Outlet) -> tuple[float, float]:
    """Return how many connections an outlet has for its weight; those with equally many come by chance and weight."""
    return len(outlet.slots) / outlet.account.share, outlet.account.draw()


def _raise_failures(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
