"""Leasing chunks: which is next, what of it is sent now, and what is put behind because a limit keeps it back (D31)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery import pace_queries, queries
from app.delivery.picking import Picking
from app.delivery.plan import Plan, Task
from app.delivery.results import Settled
from app.delivery.windows import Held, boot_seconds
from app.platform.db import DATABASE_AWAY, Database, is_away
from app.platform.telemetry import log

OWN_CLOCK = 0.8  # of the lease; past it nothing is started, whatever the database thinks
KEPT_BACK_AT_ONCE = 8  # chunks of limited destinations that a sender holds beside the others: a thousand tasks each
LONGEST_REST = 60.0  # seconds; a limit may have been lifted by then


@dataclass(frozen=True, slots=True)
class Leasing:
    """A sender's dealings with the chunks of its dispatch."""

    database: Database
    plan: Plan
    owner: str
    lease: float
    picking: Picking

    async def next_chunk(self) -> Held | None:
        """Lease a free chunk, read its recipients, and put behind those that limits keep back; None when none is due.

        All in one transaction: of a chunk that was not leased, nothing is known.
        """
        leased_at = boot_seconds()
        budgets = self.picking.budgets
        async with self.database.begin() as session:
            if budgets.is_stale(leased_at):
                rows = await pace_queries.read_limits(session, mailing_id=self.plan.mailing_id)
                if budgets.take_limits(rows, mailing_id=self.plan.mailing_id, now=leased_at):
                    self.picking.limits_changed()
            row = await self._claim(session)
            if row is None:
                return None
            loaded = await queries.load_chunk(
                session, mailing_id=self.plan.mailing_id, tags=self.plan.tags, first_seq=row.first_seq,
                last_seq=row.last_seq,
            )  # fmt: skip
            held = Held(row.number, row.epoch, row.first_seq, [], leased_at + OWN_CLOCK * self.lease)
            held.tasks = [
                Task(
                    r.id, r.seq, r.attempts + 1, r.email, held, r, tried_for=r.tried_for,
                    is_suspect=(r.code or 0) >= 500,
                )
                for r in loaded
            ]  # fmt: skip
            held.destination = row.destination
            if held.destination is not None and (limit := budgets.limit_of(held.destination)) is not None:
                held.ahead = limit.at_hand
            if surplus := self.picking.surplus_of(held):
                await self._put_behind(session, surplus)
        return held

    async def _claim(self, session: AsyncSession) -> Any | None:
        held = self.picking.destinations
        if self.picking.budgets.limits_destinations and len(held) < KEPT_BACK_AT_ONCE:
            # Before the others: their budgets are used from the beginning, and nothing else waits for them.
            row = await queries.claim_kept_back(
                session, dispatch_id=self.plan.dispatch_id, owner=self.owner, lease=self.lease, held=held
            )
            if row is not None:
                return row
        return await queries.claim_chunk(
            session, dispatch_id=self.plan.dispatch_id, owner=self.owner, lease=self.lease, held=held
        )

    async def keep_pace(self, flushing: asyncio.Lock, results: Callable[[], Sequence[Settled]]) -> None:
        """Put behind what limits will not let go soon, and give chunks back that have no budget for a while.

        `flushing` keeps windows as they are meanwhile; `results` are those that are not stored yet.
        """
        if self.picking.has_surplus:
            async with flushing:
                await self._keep_back(self.picking.surplus())
        for held, wait in self.picking.resting(boot_seconds()):
            async with flushing:
                if not held.in_hand and all(task.chunk is not held for task, _ in results()):
                    await self._rest(held, wait)

    async def _keep_back(self, surplus: Sequence[tuple[Task, str]]) -> None:
        """Put tasks behind that no connection is given any more.

        When this fails they may have been put behind all the same, so nobody here may send them. If they were not,
        they are ready in a chunk that ends without them, and found when the others are done.
        """
        if not surplus:
            return
        try:
            async with asyncio.timeout(self.lease), self.database.begin() as session:
                await self._put_behind(session, surplus)
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            log.warning("sender.cannot_keep_back", kind=type(error).__name__, tasks=len(surplus))

    async def _put_behind(self, session: AsyncSession, surplus: Sequence[tuple[Task, str]]) -> None:
        chunks = {(task.chunk.number, task.chunk.epoch) for task, _ in surplus}
        ours = await pace_queries.lock_chunks(
            session, dispatch_id=self.plan.dispatch_id, owner=self.owner, chunks=sorted(chunks)
        )
        budgets, now = self.picking.budgets, boot_seconds()
        waits = {domain: budget.wait(now) for _, domain in surplus if (budget := budgets.destination(domain))}
        await pace_queries.keep_back(
            session,
            dispatch_id=self.plan.dispatch_id,
            recipients=[(task.recipient_id, domain) for task, domain in surplus if task.chunk.number in ours],
            waits={domain: min(wait, LONGEST_REST) for domain, wait in waits.items()},
        )

    async def _rest(self, held: Held, wait: float) -> None:
        """Give a chunk back for a while; its results are stored, and nothing of it is in hand.

        When this fails, a flush tells whether it is still ours; then it goes back with the others at the end.
        """
        self.picking.fence(held)
        try:
            async with asyncio.timeout(self.lease), self.database.begin() as session:
                await pace_queries.rest_chunk(
                    session, dispatch_id=self.plan.dispatch_id, owner=self.owner, number=held.number,
                    epoch=held.epoch, wait=min(wait, LONGEST_REST),
                )  # fmt: skip
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            log.warning("sender.cannot_rest", kind=type(error).__name__)
        else:
            self.picking.forget(held)

    async def give_back(self) -> None:
        """Give all chunks back."""
        async with self.database.begin() as session:
            await queries.release_chunks(session, dispatch_id=self.plan.dispatch_id, owner=self.owner)
