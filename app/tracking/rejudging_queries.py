"""SQL of judging stored events again (D45), and of what resetting removes (D44)."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.plans import along_index, by_key
from app.tracking.storing_queries import RECORDER_LOCK
from app.tracking.verdicts import BURST_LINKS, BURST_SMALLEST_MAILING

_IDS = sa.ARRAY(sa.BigInteger)
_TEXTS = sa.ARRAY(sa.Text)

_HOLD = text(f"""
    -- Whoever stores events waits; only for the writing of one batch.
    SELECT pg_advisory_xact_lock({RECORDER_LOCK})
""")

_EVENTS = text("SELECT coalesce(sum(events), 0)::bigint AS events FROM engagement_tally")

_END = text("""
    -- The recipient with whom a batch of about so many events ends; a walk of engagement_recipient_idx.
    SELECT max(recipient_id) AS it FROM (
        SELECT recipient_id FROM engagement WHERE recipient_id > :after ORDER BY recipient_id LIMIT :size
    ) AS batch
""")

_BATCH = text("""
    -- Every event of the recipients from `after` to `end`, each recipient's in the order of time; by
    -- engagement_recipient_idx, with the line and the link by key.
    SELECT e.id, e.kind, e.mailing_id, e.recipient_id, e.link_id, e.occurred_at, e.method, e.user_agent, e.verdict,
           e.reasons, e.rule_version, r.sent_at, r.status, coalesce(l.honeypot, false) AS honeypot
    FROM engagement AS e LEFT JOIN recipient AS r ON r.id = e.recipient_id LEFT JOIN link AS l ON l.id = e.link_id
    WHERE e.recipient_id > :after AND e.recipient_id <= :end
    ORDER BY e.recipient_id, e.occurred_at, e.id
""")

_NEEDED = text(f"""
    -- How many different links make a burst: all that readers see of a mailing that has few. By link_target_idx.
    SELECT m AS mailing_id, greatest({BURST_SMALLEST_MAILING}, least({BURST_LINKS}, (
        SELECT count(*) FROM (
            SELECT FROM link WHERE mailing_id = m AND frozen AND NOT honeypot LIMIT {BURST_LINKS}
        ) AS l
    ))) AS links
    FROM unnest(:ids) AS m
""").bindparams(sa.bindparam("ids", type_=_IDS))

_STORE = text("""
    -- Verdicts by key; the triggers follow with tallies and clickers.
    UPDATE engagement AS e
    SET verdict = n.verdict, reasons = string_to_array(n.reasons, ','), rule_version = :version
    FROM unnest(:ids, :verdicts, :reasons) AS n (id, verdict, reasons) WHERE e.id = n.id
""").bindparams(
    sa.bindparam("ids", type_=_IDS), sa.bindparam("verdicts", type_=_TEXTS), sa.bindparam("reasons", type_=_TEXTS)
)  # fmt: skip

_MARK = text("""
    -- Marks are the times of the first event of their kind, worked out anew; locked in the order of keys, so that
    -- senders and we never wait for each other in a circle.
    WITH mine AS (SELECT id FROM recipient WHERE id = ANY (:ids) ORDER BY id FOR NO KEY UPDATE)
    UPDATE recipient AS r
    SET opened_at = m.opened, machine_opened_at = m.machine_opened, clicked_at = m.clicked,
        machine_clicked_at = m.machine_clicked
    FROM mine CROSS JOIN LATERAL (
        SELECT min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'human') AS opened,
               min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'machine') AS machine_opened,
               min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'human') AS clicked,
               min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'machine') AS machine_clicked
        FROM engagement WHERE recipient_id = mine.id
    ) AS m
    WHERE r.id = mine.id AND (r.opened_at, r.machine_opened_at, r.clicked_at, r.machine_clicked_at)
        IS DISTINCT FROM (m.opened, m.machine_opened, m.clicked, m.machine_clicked)
""").bindparams(sa.bindparam("ids", type_=_IDS))

_NOTE = text("""
    -- How far it is: whoever goes on after a crash begins there.
    UPDATE operation SET result = cast(:result AS jsonb) WHERE id = :id
""").bindparams(sa.bindparam("result", type_=sa.JSON))

_REMOVE = {
    "library_link": """
        SELECT e.id FROM link AS l CROSS JOIN LATERAL (
            SELECT id FROM engagement
            WHERE link_id = l.id AND kind = 'click' AND occurred_at < :before ORDER BY occurred_at LIMIT :size
        ) AS e
        WHERE l.library_link_id = :id LIMIT :size
    """,
    # Those of its links by engagement_link_idx, opens by the lines of its list.
    "mailing": """
        (SELECT e.id FROM link AS l CROSS JOIN LATERAL (
            SELECT id FROM engagement WHERE link_id = l.id AND occurred_at < :before ORDER BY occurred_at LIMIT :size
        ) AS e WHERE l.mailing_id = :id LIMIT :size)
        UNION
        (SELECT e.id FROM recipient AS r JOIN engagement AS e ON e.recipient_id = r.id
         WHERE r.mailing_id = :id AND e.mailing_id = :id AND e.occurred_at < :before
            AND (r.opened_at IS NOT NULL OR r.machine_opened_at IS NOT NULL
                 OR r.clicked_at IS NOT NULL OR r.machine_clicked_at IS NOT NULL)
         LIMIT :size)
    """,
}

_RECORD = text("""
    -- Who reset what, in the audit log.
    INSERT INTO audit_log (actor, actor_name, request_id, action, entity, entity_id, after)
    SELECT coalesce(a.actor ->> 'who', 'database:' || current_user), a.actor ->> 'name', a.actor ->> 'request_id',
           'reset', :entity, :entity_id, cast(:after AS jsonb)
    FROM (SELECT coalesce(nullif(current_setting('budstikke.actor', true), ''), '{}')::jsonb AS actor) AS a
""").bindparams(sa.bindparam("after", type_=sa.JSON))


async def hold_recording(session: AsyncSession) -> None:
    """Keep everybody from storing events until the commit."""
    await run(session, _HOLD)


async def count_events(session: AsyncSession) -> int:
    """Return how many events are stored, from the tallies."""
    return int((await run(session, _EVENTS)).one().events)


async def end_of_batch(session: AsyncSession, *, after: int, size: int) -> int | None:
    """Return the last recipient of the next batch, or None when there are no more."""
    async with along_index(session):
        found: int | None = (await run(session, _END, after=after, size=size)).one().it
    return found


async def read_batch(session: AsyncSession, *, after: int, end: int) -> Sequence[Any]:
    """Return all events of the recipients with ids over `after` up to `end`."""
    async with by_key(session):
        return (await run(session, _BATCH, after=after, end=end)).all()


async def links_of_burst(session: AsyncSession, *, mailing_ids: Sequence[int]) -> dict[int, int]:
    """Return by mailing how many different links make a burst."""
    return {row.mailing_id: row.links for row in await run(session, _NEEDED, ids=list(mailing_ids))}


async def store_verdicts(
    session: AsyncSession, *, version: int, ids: Sequence[int], verdicts: Sequence[str], reasons: Sequence[str]
) -> None:
    """Store verdicts with their reasons, each a text with commas."""
    params = {"version": version, "ids": list(ids), "verdicts": list(verdicts), "reasons": list(reasons)}
    await run(session, _STORE, **params)


async def mark_anew(session: AsyncSession, *, recipient_ids: Sequence[int]) -> None:
    """Work out the marks of recipients from their events."""
    await run(session, _MARK, ids=sorted(set(recipient_ids)))


async def note_progress(session: AsyncSession, *, operation_id: int, result: Mapping[str, Any]) -> None:
    """Keep how far an operation is in its result."""
    await run(session, _NOTE, id=operation_id, result=dict(result))


async def remove_events(session: AsyncSession, *, what: str, id_: int, before: Any, size: int) -> list[int]:
    """Remove about `size` events of a library link or a mailing; return their recipients, one for each event."""
    statement = text(f"DELETE FROM engagement WHERE id IN ({_REMOVE[what]}) RETURNING recipient_id").bindparams(
        sa.bindparam("before", type_=sa.DateTime(timezone=True)), sa.bindparam("id", type_=sa.BigInteger)
    )
    return [row.recipient_id for row in await run(session, statement, id=id_, before=before, size=size)]


async def record_reset(session: AsyncSession, *, entity: str, id_: int, after: Mapping[str, Any]) -> None:
    """Write into the audit log who reset what."""
    await run(session, _RECORD, entity=entity, entity_id=str(id_), after=dict(after))
