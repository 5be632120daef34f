"""SQL of webhooks and their deliveries."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.webhooks.models import DeliveryState, Webhook, WebhookDelivery

FAN_OUT = 5000  # events a turn and webhook
LEASE_SECONDS = 60  # a claimed delivery whose worker died is tried again after this

_BEHIND = text("""
    -- Webhooks that have not come to the feed's end, locked for the one who makes deliveries for them.
    SELECT w.id, w.last_seq, w.types FROM webhook AS w
    WHERE w.disabled_at IS NULL AND w.last_seq < :upto ORDER BY w.id FOR UPDATE SKIP LOCKED
""")

_FAN_OUT = text("""
    -- A delivery for each event of the types asked for, and how far it came; walks event_seq_idx.
    WITH piece AS (
        SELECT id, seq, type FROM event WHERE seq > :last_seq AND seq <= :upto ORDER BY seq LIMIT :most
    ), made AS (
        INSERT INTO webhook_delivery (webhook_id, event_id)
        SELECT :webhook_id, id FROM piece WHERE cardinality(:types) = 0 OR type = ANY(:types) ORDER BY seq
    )
    UPDATE webhook SET last_seq = coalesce((SELECT max(seq) FROM piece), :upto) WHERE id = :webhook_id
""").bindparams(
    sa.bindparam("types", type_=sa.ARRAY(sa.Text)),
    *(sa.bindparam(name, type_=sa.BigInteger) for name in ("last_seq", "upto", "webhook_id")),
)

_DUE = text("""
    -- Webhooks with something to deliver; by webhook_delivery_due_idx.
    SELECT DISTINCT d.webhook_id FROM webhook_delivery AS d JOIN webhook AS w ON w.id = d.webhook_id
    WHERE d.state = 'waiting' AND d.due_at <= now() AND w.disabled_at IS NULL
""")

_CLAIM = text("""
    -- The next deliveries of a webhook, each with its event; nobody else takes them while their lease runs.
    WITH mine AS (
        UPDATE webhook_delivery SET due_at = now() + make_interval(secs => :lease), attempts = attempts + 1
        WHERE id IN (
            SELECT id FROM webhook_delivery
            WHERE webhook_id = :webhook_id AND state = 'waiting' AND due_at <= now()
            ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
        RETURNING id, event_id, attempts, created_at
    )
    SELECT m.id, m.attempts, m.created_at, e.seq, e.type, e.occurred_at, e.data
    FROM mine AS m LEFT JOIN event AS e ON e.id = m.event_id ORDER BY m.id
""")

_STORE = text("""
    -- What came of a try. A wait plans the next one; without one, the state is final.
    UPDATE webhook_delivery
    SET state = :state, status = :status, error = :error, tried_at = now(),
        due_at = now() + make_interval(secs => :wait)
    WHERE id = :id
""").bindparams(
    sa.bindparam("status", type_=sa.Integer), sa.bindparam("error", type_=sa.Text), sa.bindparam("wait", type_=sa.Float)
)

_DISABLE = text("""
    UPDATE webhook SET disabled_at = now(), disabled_reason = :reason WHERE id = :id AND disabled_at IS NULL
""")

_FORGET = text("""
    -- The log of a month; a scan, once an hour.
    DELETE FROM webhook_delivery WHERE state <> 'waiting' AND created_at < now() - interval '30 days'
""")


async def fan_out(session: AsyncSession, *, upto: int) -> None:
    """Make deliveries of what the feed has for each webhook, a piece at a time."""
    for row in list(await run(session, _BEHIND, upto=upto)):
        await run(session, _FAN_OUT, webhook_id=row.id, last_seq=row.last_seq, upto=upto, types=row.types, most=FAN_OUT)


async def any_enabled(session: AsyncSession) -> bool:
    """Tell whether there is a webhook to deliver to."""
    found = await run(session, text("SELECT EXISTS (SELECT FROM webhook WHERE disabled_at IS NULL) AS any"))
    return bool(found.one().any)


async def find_enabled(session: AsyncSession, *, webhook_id: int) -> Webhook | None:
    """Return a webhook, or None when it is gone or disabled."""
    query = select(Webhook).where(Webhook.id == webhook_id, col(Webhook.disabled_at).is_(None))
    return (await session.exec(query)).one_or_none()


async def due_webhooks(session: AsyncSession) -> list[int]:
    """Return the webhooks that have something to deliver now."""
    return [row.webhook_id for row in await run(session, _DUE)]


async def claim(session: AsyncSession, *, webhook_id: int, most: int) -> Sequence[Any]:
    """Take the next deliveries: rows (id, attempts, created_at, seq, type, occurred_at, data), null for a test."""
    return list(await run(session, _CLAIM, webhook_id=webhook_id, most=most, lease=LEASE_SECONDS))


async def store(
    session: AsyncSession, *, delivery_id: int, state: DeliveryState, status: int | None, error: str | None, wait: float
) -> None:
    """Store what came of a try."""
    await run(session, _STORE, id=delivery_id, state=state.value, status=status, error=error, wait=wait)


async def disable(session: AsyncSession, *, webhook_id: int, reason: str) -> None:
    """Disable a webhook, if it is not yet."""
    await run(session, _DISABLE, id=webhook_id, reason=reason)


async def forget_old(session: AsyncSession) -> None:
    """Delete deliveries that were over a month ago."""
    await run(session, _FORGET)


async def page_of_webhooks(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[Webhook]:
    """Return at most `limit + 1` webhooks with ids over `after`."""
    query = select(Webhook).order_by(col(Webhook.id)).limit(limit + 1)
    return (await session.exec(query if after is None else query.where(col(Webhook.id) > after))).all()


async def page_of_deliveries(
    session: AsyncSession, *, webhook_id: int, state: DeliveryState | None, below: int | None, limit: int
) -> Sequence[Any]:
    """Return at most `limit + 1` rows (delivery, event's type and seq), newest first; by webhook_delivery_list_idx."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if below is not None:
        query = query.where(col(WebhookDelivery.id) < below)
    return (await session.exec(query.order_by(col(WebhookDelivery.id).desc()).limit(limit + 1))).all()
