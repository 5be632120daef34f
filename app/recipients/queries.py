"""SQL of the recipient list."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.recipients.models import MailingSource, Recipient, RecipientStatus, RecipientTally

_UPDATE_LIST = text("""
    -- Brings a mailing's list in line with its sources and the rules D18-D22, in one statement; answers how many lines
    -- were added, removed and changed. With membership off, nobody is added or removed, only judged again.
    -- Whole sets are joined, so it needs no index but recipient_list_idx. Run it under _WHOLE_SETS: tables that were
    -- just filled have no statistics, and nested loops over 100 000 persons were still running after five minutes.
    -- The order of the CASE is the order of the rules.
    WITH holder AS (
        SELECT DISTINCT ON (p.email_key) p.email_key, p.id
        FROM mailing_source AS s JOIN source_address AS a ON a.source_id = s.id JOIN person AS p USING (email_key)
        WHERE s.mailing_id = :mailing_id
        ORDER BY p.email_key, p.former_employee, p.id
    ), brought AS (
        SELECT s.id AS source_id, m.person_id, NULL AS name, NULL AS email, NULL AS email_key, false AS stated,
               0 AS position
        FROM mailing_source AS s JOIN selection_member AS m USING (selection_id)
        WHERE s.mailing_id = :mailing_id AND s.kind = 'selection'
        UNION ALL
        SELECT s.id, s.person_id, NULL, NULL, NULL, false, 0 FROM mailing_source AS s
        WHERE s.mailing_id = :mailing_id AND s.kind = 'person'
        UNION ALL
        SELECT s.id, p.id, a.name, a.email, a.email_key, s.consent_basis IS NOT NULL, a.position
        FROM mailing_source AS s JOIN source_address AS a ON a.source_id = s.id
        LEFT JOIN holder AS p ON p.email_key = a.email_key
        WHERE s.mailing_id = :mailing_id AND s.kind = 'addresses'
    ), subscribed AS (
        SELECT person_id, min(changed_at) AS subscribed_at FROM subscription
        WHERE subscribed AND subscription_type_id = coalesce(:subscription_type_id, subscription_type_id)
        GROUP BY person_id
    ), candidate AS (
        SELECT l.person_id, l.source_id, p.name, coalesce(p.email, '') AS email, p.email_key, p.former_employee,
               true AS known, cs.consent_id, cs.consent_id IS NOT NULL AS consenting, sub.subscribed_at,
               sub.person_id IS NOT NULL AS is_subscribed, 0 AS position
        FROM (SELECT person_id, min(source_id) AS source_id FROM brought
              WHERE person_id IS NOT NULL GROUP BY person_id) AS l
        JOIN person AS p ON p.id = l.person_id
        LEFT JOIN consent_state AS cs ON cs.person_id = p.id AND cs.purpose = 'e_marketing' AND cs.given
        LEFT JOIN subscribed AS sub ON sub.person_id = p.id
        UNION ALL
        SELECT NULL, l.source_id, l.name, l.email, l.email_key, false, l.stated, c.id, l.stated, NULL, l.stated,
               l.position
        FROM (SELECT DISTINCT ON (coalesce(email_key, email)) * FROM brought
              WHERE person_id IS NULL ORDER BY coalesce(email_key, email), stated DESC, source_id, position) AS l
        LEFT JOIN (
            SELECT email_key, max(id) AS id FROM consent
            WHERE email_key IS NOT NULL AND purpose = 'e_marketing' AND action = 'given' GROUP BY email_key
        ) AS c
            ON c.email_key = l.email_key AND l.stated
    ), judged AS (
        SELECT c.*, CASE
            WHEN c.email_key IS NULL THEN 'invalid_address'
            WHEN b.id IS NOT NULL THEN 'blocked_address'
            WHEN c.former_employee THEN 'former_employee'
            WHEN NOT c.known THEN 'excluded'
            WHEN NOT c.consenting AND NOT :override_consent THEN 'no_consent'
            WHEN NOT c.is_subscribed AND NOT :override_consent THEN 'no_subscription'
        END AS why_not
        FROM candidate AS c LEFT JOIN blocked_address AS b ON b.email_key = c.email_key
    ), wanted AS (
        SELECT j.*, coalesce(person_id::text, 'a' || coalesce(email_key, email)) AS line, CASE
            WHEN why_not IS NULL AND :one_per_address AND row_number() OVER (
                PARTITION BY email_key, why_not ORDER BY person_id NULLS LAST, source_id, position) > 1 THEN 'duplicate'
            ELSE why_not
        END AS reason
        FROM judged AS j
    ), listed AS (
        SELECT id, seq, coalesce(person_id::text, 'a' || coalesce(email_key, email)) AS line
        FROM recipient WHERE mailing_id = :mailing_id
    ), removed AS (
        DELETE FROM recipient AS r USING listed AS l
        WHERE :membership AND r.id = l.id AND r.status IN ('ready', 'blocked')
            AND NOT EXISTS (SELECT FROM wanted AS w WHERE w.line = l.line)
        RETURNING 1
    ), changed AS (
        UPDATE recipient AS r
        SET name = w.name, email = w.email, email_key = w.email_key, reason = w.reason, source_id = w.source_id,
            status = CASE WHEN w.reason IS NULL THEN 'ready' ELSE 'blocked' END,
            consent_id = w.consent_id, subscribed_at = w.subscribed_at
        FROM wanted AS w JOIN listed AS l USING (line)
        WHERE r.id = l.id AND r.status IN ('ready', 'blocked')
            AND (r.name, r.email, r.reason, r.consent_id, r.subscribed_at, r.source_id)
                IS DISTINCT FROM (w.name, w.email, w.reason, w.consent_id, w.subscribed_at, w.source_id)
        RETURNING 1
    ), added AS (
        INSERT INTO recipient (mailing_id, seq, person_id, name, email, email_key, status, reason, source_id,
                               consent_id, subscribed_at)
        SELECT :mailing_id,
               (SELECT coalesce(max(seq), 0) FROM listed)
                   + row_number() OVER (ORDER BY w.person_id NULLS LAST, w.source_id, w.position),
               w.person_id, w.name, w.email, w.email_key,
               CASE WHEN w.reason IS NULL THEN 'ready' ELSE 'blocked' END, w.reason, w.source_id,
               w.consent_id, w.subscribed_at
        FROM wanted AS w
        LEFT JOIN listed AS l USING (line)
        WHERE :membership AND l.id IS NULL
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM removed) AS removed,
           (SELECT count(*) FROM changed) AS changed
""").bindparams(
    sa.bindparam("mailing_id", type_=sa.BigInteger),
    sa.bindparam("subscription_type_id", type_=sa.BigInteger),
    sa.bindparam("override_consent", type_=sa.Boolean),
    sa.bindparam("one_per_address", type_=sa.Boolean),
    sa.bindparam("membership", type_=sa.Boolean),
)


MANY = 10_000
"""Lines added at once, from which on senders must not wait for autovacuum's statistics; they cost some 0.1 s."""

_WHOLE_SETS = text("""
    SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '64MB', true)
""")
_AS_USUAL = text("SELECT set_config('enable_nestloop', 'on', true), set_config('work_mem', :work_mem, true)")


async def update_list(session: AsyncSession, **rules: Any) -> Any:
    """Run the list statement; returns a row (added, removed, changed)."""
    work_mem = (await session.exec(text("SHOW work_mem"))).one().work_mem  # type: ignore[call-overload]
    await session.exec(_WHOLE_SETS)  # type: ignore[call-overload]
    row = (await session.exec(_UPDATE_LIST, params=rules)).one()  # type: ignore[call-overload]
    await session.exec(_AS_USUAL, params={"work_mem": work_mem})  # type: ignore[call-overload]
    if row.added > MANY:
        await session.exec(text("ANALYZE recipient"))  # type: ignore[call-overload]
    return row


_EXISTS = text("SELECT EXISTS (SELECT FROM mailing WHERE id = :mailing_id) AS present")


async def mailing_exists(session: AsyncSession, *, mailing_id: int) -> bool:
    """Tell whether there is such a mailing; the slice that owns its table lies above."""
    return bool((await session.exec(_EXISTS, params={"mailing_id": mailing_id})).one().present)  # type: ignore[call-overload]


_SIZE = text("""
    -- How many persons and addresses a mailing's sources bring, counted no further than asked.
    SELECT count(*) AS brought FROM (
        (SELECT 1 FROM mailing_source AS s JOIN selection_member AS m USING (selection_id)
         WHERE s.mailing_id = :mailing_id LIMIT :most)
        UNION ALL
        (SELECT 1 FROM mailing_source AS s JOIN source_address AS a ON a.source_id = s.id
         WHERE s.mailing_id = :mailing_id LIMIT :most)
        UNION ALL
        (SELECT 1 FROM mailing_source AS s WHERE s.mailing_id = :mailing_id AND s.kind = 'person' LIMIT :most)
    ) AS lines
""")


async def count_brought(session: AsyncSession, *, mailing_id: int, most: int) -> int:
    """Return how many lines the sources bring at most; of each kind no more than `most` are counted."""
    row = (await session.exec(_SIZE, params={"mailing_id": mailing_id, "most": most})).one()  # type: ignore[call-overload]
    return int(row.brought)


async def find_recipient(session: AsyncSession, *, mailing_id: int, recipient_id: int) -> Recipient | None:
    """Return one line of a mailing's list, or None."""
    query = select(Recipient).where(Recipient.id == recipient_id, Recipient.mailing_id == mailing_id)
    return (await session.exec(query)).one_or_none()


async def page_of_recipients(
    session: AsyncSession,
    *,
    mailing_id: int,
    statuses: Sequence[RecipientStatus],
    reasons: Sequence[str],
    search: str | None,
    after: int | None,
    limit: int,
) -> Sequence[Recipient]:
    """Return at most `limit + 1` lines with ids over `after`; walks recipient_list_idx."""
    query = select(Recipient).where(Recipient.mailing_id == mailing_id)
    if after is not None:
        query = query.where(col(Recipient.id) > after)
    if statuses:
        query = query.where(col(Recipient.status).in_(statuses))
    if reasons:
        query = query.where(col(Recipient.reason).in_(reasons))
    if search:
        query = query.where(
            or_(
                col(Recipient.name).icontains(search, autoescape=True),
                col(Recipient.email).icontains(search, autoescape=True),
            )
        )
    return (await session.exec(query.order_by(col(Recipient.id)).limit(limit + 1))).all()


async def read_tallies(session: AsyncSession, *, mailing_id: int) -> dict[str, int]:
    """Return every tally of a mailing by its name."""
    query = select(RecipientTally.name, RecipientTally.value).where(RecipientTally.mailing_id == mailing_id)
    return {name: value for name, value in (await session.exec(query)).all() if value}


async def list_sources(session: AsyncSession, *, mailing_id: int) -> Sequence[MailingSource]:
    """Return a mailing's sources in the order in which they were added."""
    query = select(MailingSource).where(MailingSource.mailing_id == mailing_id).order_by(col(MailingSource.id))
    return (await session.exec(query)).all()


async def find_source(session: AsyncSession, *, mailing_id: int, source_id: int) -> MailingSource | None:
    """Return a source of a mailing, or None."""
    query = select(MailingSource).where(MailingSource.id == source_id, MailingSource.mailing_id == mailing_id)
    return (await session.exec(query)).one_or_none()


async def delete_list(session: AsyncSession, *, mailing_id: int) -> None:
    """Delete a mailing's list: no foreign key does it."""
    await session.exec(delete(Recipient).where(col(Recipient.mailing_id) == mailing_id))
    await session.exec(delete(RecipientTally).where(col(RecipientTally.mailing_id) == mailing_id))


_COUNT_ADDRESSES = text("""
    -- How many addresses each source of pasted addresses has.
    SELECT a.source_id, count(*) AS addresses FROM source_address AS a
    WHERE a.source_id = ANY(:ids) GROUP BY a.source_id
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))


async def count_addresses(session: AsyncSession, *, source_ids: Sequence[int]) -> dict[int, int]:
    """Return the number of pasted addresses by source."""
    rows = await session.exec(_COUNT_ADDRESSES, params={"ids": list(source_ids)})  # type: ignore[call-overload]
    return {row.source_id: row.addresses for row in rows}


_WHY = text("""
    -- One line of a list with everything it rests on (D25): a row, or none. The ledger line is the one it was judged
    -- by; where there is none, the refusal that was the person's newest word when the message left (or is by now).
    -- Each part is found by its key; the refusal needs consent_person_purpose_idx. Lines outlive persons and their
    -- subscriptions, so every join but the mailing's is an outer one.
    SELECT r.id, r.person_id, p.id IS NOT NULL AS person_exists, r.name, r.email, r.status, r.reason, r.consent_id,
           r.subscribed_at, s.id AS source_id, s.kind, s.created_at AS added_at, s.selection_id,
           sel.name AS selection_name, s.consent_basis, s.consent_source, s.consent_date,
           c.id AS line_id, c.purpose, c.action, c.legal_basis, c.source, c.text_version, c.valid_from, c.recorded_by,
           c.created_at AS recorded_at, m.override_consent, m.override_by, m.override_reason,
           m.subscription_type_id AS wanted_type_id, t.id AS type_id, t.name AS type_name,
           refused.changed_at AS refused_at, b.id IS NOT NULL AS is_blocked, b.reason AS block_reason,
           b.origin AS block_origin, b.created_at AS blocked_at
    FROM recipient AS r
    JOIN mailing AS m ON m.id = r.mailing_id
    LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN mailing_source AS s ON s.id = r.source_id
    LEFT JOIN selection AS sel ON sel.id = s.selection_id
    LEFT JOIN LATERAL (
        SELECT id, action FROM consent
        WHERE person_id = r.person_id AND purpose = 'e_marketing' AND created_at <= coalesce(r.sent_at, now())
        ORDER BY valid_from DESC, id DESC LIMIT 1
    ) AS word ON r.consent_id IS NULL AND word.action <> 'given'
    LEFT JOIN consent AS c ON c.id = coalesce(r.consent_id, word.id)
    LEFT JOIN LATERAL (
        SELECT min(subscription_type_id) AS id FROM subscription
        WHERE person_id = r.person_id AND subscribed AND changed_at = r.subscribed_at
    ) AS any_type ON m.subscription_type_id IS NULL
    LEFT JOIN subscription_type AS t ON t.id = coalesce(m.subscription_type_id, any_type.id)
    LEFT JOIN subscription AS refused ON refused.person_id = r.person_id
        AND refused.subscription_type_id = m.subscription_type_id AND NOT refused.subscribed
    LEFT JOIN blocked_address AS b ON b.email_key = r.email_key AND r.reason = 'blocked_address'
    WHERE r.id = :recipient_id AND r.mailing_id = :mailing_id
""").bindparams(sa.bindparam("recipient_id", type_=sa.BigInteger), sa.bindparam("mailing_id", type_=sa.BigInteger))


async def find_why(session: AsyncSession, *, mailing_id: int, recipient_id: int) -> Any | None:
    """Return a row with a line of a mailing's list and what it rests on, or None."""
    params = {"mailing_id": mailing_id, "recipient_id": recipient_id}
    return (await session.exec(_WHY, params=params)).one_or_none()  # type: ignore[call-overload]
