"""What a job gets, and how a job's row is claimed, kept and deleted (architecture, idea 4)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.standing import Standings
from app.platform.actor import Actor, acts
from app.platform.db import DATABASE_AWAY, Database, run
from app.platform.operations import OperationState, close_operation
from app.platform.outbox import EXCLUSIVE, Job
from app.platform.settings import Settings
from app.platform.telemetry import log
from app.platform.tokens import TokenKey

LEASE_SECONDS = 10  # how long a killed worker's job waits for another; renewed while the job runs
RENEW_SECONDS = 3
MAX_ATTEMPTS = 8  # with doubling waits from 2 s: about four minutes of a job failing on its own


@dataclass(frozen=True, slots=True)
class Context:
    """What every job may use. Transactions are opened with `database.begin()`, one per step."""

    settings: Settings
    database: Database
    tokens: TokenKey
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process was asked to end: long jobs come to a good place and return."""
    standings: Standings = field(default_factory=Standings)
    """How sending accounts fare, as this process knows it."""


@dataclass(slots=True)
class JobRun:
    """One run of a job row."""

    id: int
    args: dict[str, int]
    attempt: int
    finished: bool = False

    @property
    def is_last(self) -> bool:
        """Whether the job is given up if this run fails."""
        return self.attempt >= MAX_ATTEMPTS

    async def finish(self, session: AsyncSession) -> None:
        """Delete the job's row: call it in the job's last transaction, so that work and row end together."""
        await run(session, _FINISH, id=self.id)
        self.finished = True


JobFunction = Callable[[Context, JobRun], Awaitable[None]]


class GiveUpError(Exception):
    """The job cannot succeed however often it is tried; its message is kept with the row."""


_CLAIM = text("""
    -- Claims a job's row by primary key, unless somebody runs it; nothing comes back then.
    UPDATE outbox SET lease_until = now() + make_interval(secs => :lease), attempts = attempts + 1,
                      dedup = CASE WHEN job = ANY(:exclusive) THEN dedup END
    WHERE id = :id AND failed_at IS NULL AND (lease_until IS NULL OR lease_until < now())
    RETURNING job, args, attempts
""").bindparams(sa.bindparam("exclusive", value=[job.value for job in EXCLUSIVE], type_=sa.ARRAY(sa.Text)))

_RENEW = text("UPDATE outbox SET lease_until = now() + make_interval(secs => :lease) WHERE id = :id")

_FINISH = text("DELETE FROM outbox WHERE id = :id")

_POSTPONE = text("""
    -- A failed run: due again later, or kept for a person to look at; then its key is free for another try.
    UPDATE outbox
    SET lease_until = NULL, offered_until = NULL, last_error = :error,
        due_at = now() + make_interval(secs => power(2, least(attempts, 8))),
        failed_at = CASE WHEN :final THEN now() END, dedup = CASE WHEN :final THEN NULL ELSE dedup END
    WHERE id = :id
""").bindparams(sa.bindparam("final", type_=sa.Boolean), sa.bindparam("error", type_=sa.Text))


def actor_of(job: str, args: dict[str, int]) -> Actor:
    """Return who a job is in the audit log; what an import writes is summed up over all its batches."""
    told = ", ".join(f"{name} {value}" for name, value in sorted(args.items()))
    return Actor(f"job:{job}", told, bulk=f"{job} {told}" if job == Job.IMPORT_RUN else None)


async def run_job(context: Context, functions: dict[str, JobFunction], job_id: int) -> None:
    """Run the job of an outbox row, if nobody else does, and delete, postpone or fail the row."""
    try:
        async with context.database.begin() as session:
            row = (await run(session, _CLAIM, id=job_id, lease=LEASE_SECONDS)).one_or_none()
    except DATABASE_AWAY as error:
        log.warning("job.not_claimed", job_id=job_id, kind=type(error).__name__)  # it is offered again
        return
    if row is None:
        return
    this = JobRun(id=job_id, args=dict(row.args), attempt=row.attempts)
    renewal = asyncio.create_task(_renew(context, job_id))
    try:
        with acts(actor_of(row.job, this.args)):
            await functions[row.job](context, this)
        if not this.finished:
            async with context.database.begin() as session:
                await this.finish(session)
    except Exception as error:  # noqa: BLE001 - whatever a job raises, its row must not be lost
        await _postpone(context, this, job=row.job, error=error)
    finally:
        renewal.cancel()


async def _postpone(context: Context, this: JobRun, *, job: str, error: Exception) -> None:
    final = isinstance(error, GiveUpError) or this.is_last
    log.error("job.failed", job=job, job_id=this.id, attempt=this.attempt, final=final, exc_info=error)
    values: dict[str, Any] = {"id": this.id, "error": f"{type(error).__name__}: {error}"[:500], "final": final}
    try:
        async with context.database.begin() as session:
            await run(session, _POSTPONE, **values)
            if final and "operation" in this.args:  # whoever waits for it must not wait for ever
                detail = {"detail": "It could not be done: a fault in the system, see its log."}
                await close_operation(
                    session, operation_id=this.args["operation"], state=OperationState.FAILED, error=detail
                )
    except DATABASE_AWAY as away:
        log.warning("job.not_postponed", job_id=this.id, kind=type(away).__name__)  # its lease runs out by itself


async def _renew(context: Context, job_id: int) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            async with context.database.begin() as session:
                await run(session, _RENEW, id=job_id, lease=LEASE_SECONDS)
        except DATABASE_AWAY as error:  # the lease runs out by itself if it stays so
            log.warning("job.lease_not_renewed", job_id=job_id, kind=type(error).__name__)
