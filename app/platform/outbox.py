"""Jobs are rows first (architecture, idea 4).

`enqueue` writes the job in the caller's transaction. The relay in the workers offers due rows to arq; whoever runs one
holds a lease on the row, and the job's last transaction deletes it. A crash or an emptied Redis loses nothing: a row
whose lease ran out is offered again.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.tables import Row, json_field, moment

CHANNEL = "outbox"


class Job(StrEnum):
    """Every kind of background work, `noun.verb`."""

    IMPORT_RUN = "import.run"
    IMPORT_EXPIRE = "import.expire"
    LIST_UPDATE = "list.update"
    LIST_EXPORT = "list.export"
    MAILING_PREPARE = "mailing.prepare"
    DISPATCH_SEND = "dispatch.send"
    DISPATCH_SEND_FEW = "dispatch.send_few"
    BOUNCE_READ = "bounce.read"
    TEST_SEND = "test.send"
    RECIPIENT_UNSUBSCRIBE = "recipient.unsubscribe"
    WEBHOOK_DELIVER = "webhook.deliver"
    ADDRESS_TAKE_OUT = "address.take_out"
    CONSENT_EXPIRE = "consent.expire"
    ERASURE_SEARCH = "erasure.search"
    EXTRA_FIELD_DROP = "extra_field.drop"
    DOMAIN_CHECK = "sending_domain.check"
    ACTION_PERFORM = "action.perform"
    ACTION_CALL = "action.call"
    PREFERENCES_SEND_LINK = "preferences.send_link"
    VERDICTS_RECOMPUTE = "verdicts.recompute"
    ENGAGEMENT_RESET = "engagement.reset"


EXCLUSIVE = (
    Job.DISPATCH_SEND, Job.DISPATCH_SEND_FEW, Job.WEBHOOK_DELIVER, Job.DOMAIN_CHECK, Job.ACTION_PERFORM,
    Job.ACTION_CALL,
)  # fmt: skip
"""Jobs whose dedup key holds while they run, too. For the others it ends when they begin: what happens from then on
may be too late for them to see, so it needs a job of its own."""


class OutboxJob(Row, table=True):
    """A job that waits, runs, or (with `failed_at`) gave up and is kept for a person to look at."""

    __tablename__ = "outbox"
    __table_args__ = (
        sa.Index("outbox_due_idx", "due_at", postgresql_where=sa.text("failed_at IS NULL")),
        sa.Index("outbox_dedup_idx", "dedup", unique=True, postgresql_where=sa.text("dedup IS NOT NULL")),
    )

    job: str
    args: dict[str, Any] = json_field()
    dedup: str | None = Field(default=None, description="at most one job with this key waits")
    due_at: datetime = moment(default_now=True)
    offered_until: datetime | None = moment(nullable=True)
    lease_until: datetime | None = moment(nullable=True)
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    last_error: str | None = None
    failed_at: datetime | None = moment(nullable=True)


_ENQUEUE = text("""
    -- One job, offered as soon as the transaction is committed: NOTIFY is transactional.
    -- With a dedup key that is already waiting, nothing is added: the waiting row does the work.
    WITH added AS (
        INSERT INTO outbox (job, args, dedup, due_at)
        VALUES (:job, cast(:args AS jsonb), :dedup, coalesce(cast(:due_at AS timestamptz), now()))
        ON CONFLICT (dedup) WHERE dedup IS NOT NULL DO NOTHING
        RETURNING id
    )
    SELECT pg_notify('outbox', id::text) FROM added
""").bindparams(sa.bindparam("args", type_=sa.JSON), sa.bindparam("due_at", type_=sa.DateTime(timezone=True)))


async def enqueue(
    session: AsyncSession, job: Job, *, dedup: str | None = None, due_at: datetime | None = None, **args: int
) -> None:
    """Write a job into the outbox, in the session's transaction. `args` are ids, never payloads."""
    await run(session, _ENQUEUE, job=job.value, args=args, dedup=dedup, due_at=due_at)


_HAS_WAITED = text("""
    -- Whether a job of these kinds has been due for a while and nobody runs it; by outbox_due_idx.
    SELECT EXISTS (
        SELECT FROM outbox
        WHERE failed_at IS NULL AND due_at < now() - make_interval(secs => :seconds)
            AND (lease_until IS NULL OR lease_until < now()) AND job = ANY(:jobs)
    ) AS waits
""").bindparams(sa.bindparam("jobs", type_=sa.ARRAY(sa.Text)))


async def has_waited(session: AsyncSession, *, jobs: Sequence[Job], seconds: float) -> bool:
    """Tell whether a job of these kinds has waited for a slot for so long."""
    params = {"jobs": [job.value for job in jobs], "seconds": seconds}
    return bool((await run(session, _HAS_WAITED, **params)).one().waits)
