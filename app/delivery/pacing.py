"""The pacer of a sender: keeps its limits fresh, leases what messages wait for, and reports who asks for less (D31).

Nobody sleeps for a limit: a connection without allowed work rests, and is woken when there is a grant.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from app.delivery import pace_queries
from app.delivery.budgets import REFRESH_SECONDS, Budget, columns, domain_of
from app.delivery.picking import Picking
from app.delivery.plan import Task
from app.delivery.replies import SendResult, Stage, asks_to_slow_down
from app.delivery.windows import boot_seconds
from app.platform.db import DATABASE_AWAY, Database, is_away
from app.platform.telemetry import log

RETRY_SECONDS = 0.5
SLOWEST_MEASURE = 1.0  # messages a second; a sender that has just begun has sent too little to measure

# What a server says before it knows the recipient concerns the connection, not a destination.
_OF_RECIPIENT: Final = (Stage.RCPT, Stage.DATA, Stage.DOT)


@dataclass(frozen=True, slots=True)
class _Refusal:
    measured: float
    code: int | None
    words: str


@dataclass(slots=True)
class Pacer:
    """Runs beside a sender."""

    database: Database
    mailing_id: int
    picking: Picking
    wake: Callable[[], None]
    began_at: float = field(default_factory=boot_seconds)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _refusals: dict[str, _Refusal] = field(default_factory=dict)
    """By destination domain: that of each which stands for all until it is stored."""

    async def run(self) -> None:
        """Pace until cancelled."""
        self.picking.on_wanted = self._wanted.set
        budgets = self.picking.budgets
        while True:
            now = boot_seconds()
            asked = budgets.to_ask(now)
            if not asked and not self._refusals and not budgets.is_stale(now):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), self._pause(now))
                self._wanted.clear()
                continue
            try:
                await self._step(asked)
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.warning("pacer.waits", kind=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    def _pause(self, now: float) -> float:
        budgets = self.picking.budgets
        return max(0.001, min(budgets.next_ask(), budgets.read_at + REFRESH_SECONDS) - now)

    async def _step(self, asked: list[Budget]) -> None:
        budgets, asked_at = self.picking.budgets, boot_seconds()
        refusals, limits, leased = dict(self._refusals), None, None
        async with self.database.begin() as session:
            for domain, refusal in sorted(refusals.items()):
                slowed = await pace_queries.slow_down(
                    session, domain=domain, measured=refusal.measured, code=refusal.code, words=refusal.words
                )
                if slowed:
                    log.warning("destination.slowed", domain=domain, code=refusal.code)
            if refusals or budgets.is_stale(asked_at):
                limits = await pace_queries.read_limits(session, mailing_id=self.mailing_id)
            if unknown := [budget.key for budget in asked if not budget.known]:
                await pace_queries.add_keys(session, sorted(unknown))
            if asked:
                leased = await pace_queries.lease(session, **columns(asked))
        now, wakes = boot_seconds(), False
        self._refusals = {domain: kept for domain, kept in self._refusals.items() if kept is not refusals.get(domain)}
        if limits is not None and budgets.take_limits(limits, mailing_id=self.mailing_id, now=now):
            wakes = self.picking.limits_changed()
        if leased is not None:
            for budget in asked:
                budget.known = True
            wakes = budgets.take_grants(asked, leased, now=now) or wakes
        if wakes:
            self.wake()

    def note(self, task: Task, result: SendResult, *, accepted: int) -> None:
        """Take a temporary failure; slows its destination down if that asked for less.

        `accepted` messages were taken since the sender began.
        """
        if result.stage not in _OF_RECIPIENT or not asks_to_slow_down(result):
            return
        domain = domain_of(task.email)
        if domain in self._refusals:
            return
        measured = self._share(domain) * accepted / max(boot_seconds() - self.began_at, 1.0)
        if (limit := self.picking.budgets.limit_of(domain)) is not None:
            measured = min(measured, limit.rate)
        # The words are shown to all who may read mailings; whom they were about is not.
        words = result.text.replace(task.email, "…")
        self._refusals[domain] = _Refusal(max(measured, SLOWEST_MEASURE), result.code, words)
        self._wanted.set()

    def _share(self, domain: str) -> float:
        """Return what part of the messages at hand a destination has: they are what was sent in the last seconds."""
        found = [domain_of(task.email) == domain for held in self.picking for task in held.tasks]
        return sum(found) / len(found) if found else 1.0
