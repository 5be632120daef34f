"""Who a token is for, what unsubscribing does to the lists of mailings, and how it is taken back."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_RECIPIENT = text("""
    -- A recipient with what the pages show of it: by primary keys, at most one row. Person and mailing may be gone.
    -- person_id is null for one who matches no person, or whose person is gone; company_id is that of a
    -- company's own line. has_left_type and has_left_all tell what holds now, whoever said it.
    SELECT r.id, r.mailing_id, p.id AS person_id, k.id AS company_id, coalesce(p.email, r.email) AS email,
           r.email AS sent_to, r.email_key, p.language, m.from_name, m.from_email, m.sending_account_id,
           t.id AS subscription_type_id, t.name AS subscription_type,
           coalesce(r.sent_at, r.tried_at, r.created_at) AS sent_at,
           coalesce(s.subscribed, c.subscribed) IS FALSE AS has_left_type,
           b.id IS NOT NULL OR coalesce(y.given, z.given) IS FALSE AS has_left_all,
           l.recipient_id IS NOT NULL AND l.left_at > now() - make_interval(hours => :undo_hours) AS can_undo,
           l.recipient_id IS NOT NULL AND l.reason IS NULL AS can_say_why
    FROM recipient AS r
    LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN company AS k ON k.id = r.company_id AND r.person_id IS NULL
    LEFT JOIN mailing AS m ON m.id = r.mailing_id
    LEFT JOIN subscription_type AS t ON t.id = m.subscription_type_id
    LEFT JOIN subscription AS s ON s.person_id = p.id AND s.subscription_type_id = t.id
    LEFT JOIN company_subscription AS c ON c.company_id = k.id AND c.subscription_type_id = t.id
    LEFT JOIN blocked_address AS b ON b.email_key = coalesce(p.email_key, r.email_key) AND b.reason = 'unsubscribed_all'
    LEFT JOIN consent_state AS y ON y.person_id = p.id AND y.purpose = 'e_marketing'
    LEFT JOIN company_consent_state AS z ON z.company_id = k.id AND z.purpose = 'e_marketing'
    LEFT JOIN leaving AS l ON l.recipient_id = r.id
    WHERE r.id = :recipient_id
""")


async def find_recipient(session: AsyncSession, *, recipient_id: int, undo_hours: int) -> Any | None:
    """Return a recipient with its person's and mailing's data, or None."""
    return (await run(session, _RECIPIENT, recipient_id=recipient_id, undo_hours=undo_hours)).one_or_none()


_MARK = text("""
    -- The first time only: repeats change nothing.
    UPDATE recipient SET unsubscribed_at = now() WHERE id = :recipient_id AND unsubscribed_at IS NULL
""")

_UNMARK = text("UPDATE recipient SET unsubscribed_at = NULL WHERE id = :recipient_id AND unsubscribed_at IS NOT NULL")


async def mark_unsubscribed(session: AsyncSession, *, recipient_id: int) -> None:
    """Set the recipient's unsubscribed mark, if it has none."""
    await run(session, _MARK, recipient_id=recipient_id)


async def unmark_unsubscribed(session: AsyncSession, *, recipient_id: int) -> None:
    """Take the recipient's unsubscribed mark back."""
    await run(session, _UNMARK, recipient_id=recipient_id)


_CONSENT = text("""
    -- By consent_state_pkey. A yes that ran out counts as none.
    SELECT purpose, given AND (valid_until IS NULL OR valid_until > now()) AS given
    FROM consent_state WHERE person_id = :person_id
""")


async def consents_of(session: AsyncSession, *, person_id: int) -> dict[str, bool]:
    """Return what a person consents to, by purpose; a purpose never asked for is left out."""
    rows = await run(session, _CONSENT, person_id=person_id)
    return {row.purpose: row.given for row in rows}


_TYPES = text("""
    -- Every subscription type with a person's or a company's answer; :person_id or :company_id is null. There are
    -- tens of types; answers by the primary keys.
    SELECT t.id, t.name, coalesce(t.description, '') AS description,
           coalesce(s.subscribed, c.subscribed, false) AS subscribed
    FROM subscription_type AS t
    LEFT JOIN subscription AS s ON s.person_id = :person_id AND s.subscription_type_id = t.id
    LEFT JOIN company_subscription AS c ON c.company_id = :company_id AND c.subscription_type_id = t.id
    ORDER BY t.name, t.id
""").bindparams(
    sa.bindparam("person_id", type_=sa.BigInteger), sa.bindparam("company_id", type_=sa.BigInteger)
)  # fmt: skip


async def types_of(session: AsyncSession, *, person_id: int | None, company_id: int | None) -> Sequence[Any]:
    """Return a row (id, name, description, subscribed) per subscription type, by name."""
    return list(await run(session, _TYPES, person_id=person_id, company_id=company_id))


_REMEMBER = text("""
    -- What one link took away, in all: leaving one type and then everything is one leaving. The time is the last.
    INSERT INTO leaving AS l (recipient_id, mailing_id, subscription_type_ids, everything)
    VALUES (:recipient_id, :mailing_id, :type_ids, :everything)
    ON CONFLICT (recipient_id) DO UPDATE SET
        left_at = now(),
        everything = l.everything OR excluded.everything,
        subscription_type_ids = ARRAY(
            SELECT DISTINCT unnest(l.subscription_type_ids || excluded.subscription_type_ids) ORDER BY 1
        )
""").bindparams(sa.bindparam("type_ids", type_=sa.ARRAY(sa.BigInteger)))

_RECALL = text("""
    -- Takes the row, so that two clicks undo once.
    DELETE FROM leaving WHERE recipient_id = :recipient_id AND left_at > now() - make_interval(hours => :undo_hours)
    RETURNING subscription_type_ids, everything
""")

_FORGET = text("DELETE FROM leaving WHERE recipient_id = :recipient_id")

_REASON = text("UPDATE leaving SET reason = :reason WHERE recipient_id = :recipient_id")

_REASONS = text("""
    -- How many left through a mailing, by the reason they gave; by leaving_mailing_id_idx.
    SELECT coalesce(reason, '') AS reason, count(*) AS people FROM leaving
    WHERE mailing_id = :mailing_id GROUP BY 1
""")


async def remember_leaving(
    session: AsyncSession, *, recipient_id: int, mailing_id: int, type_ids: Sequence[int], everything: bool
) -> None:
    """Keep what a recipient's link took away, together with what it took before."""
    await run(
        session, _REMEMBER, recipient_id=recipient_id, mailing_id=mailing_id, type_ids=list(type_ids),
        everything=everything,
    )  # fmt: skip


async def recall_leaving(session: AsyncSession, *, recipient_id: int, undo_hours: int) -> Any | None:
    """Take and return what a recipient's link took away, unless it was too long ago."""
    return (await run(session, _RECALL, recipient_id=recipient_id, undo_hours=undo_hours)).one_or_none()


async def forget_leaving(session: AsyncSession, *, recipient_id: int) -> None:
    """Delete what a recipient's link took away: the person has chosen anew."""
    await run(session, _FORGET, recipient_id=recipient_id)


async def note_reason(session: AsyncSession, *, recipient_id: int, reason: str) -> None:
    """Set why a recipient left; the last answer counts, and who did not leave has none."""
    await run(session, _REASON, recipient_id=recipient_id, reason=reason)


async def count_reasons(session: AsyncSession, *, mailing_id: int) -> dict[str, int]:
    """Return how many left through a mailing, by reason; those who gave none are under an empty one."""
    return {row.reason: row.people for row in await run(session, _REASONS, mailing_id=mailing_id)}


_ADMIT = text("""
    -- Whether one more fresh link may be sent: at most :most within a day of the first, :minutes apart. One statement,
    -- by primary key, so that two at once are admitted one after the other.
    INSERT INTO link_request AS q (recipient_id, mailing_id) VALUES (:recipient_id, :mailing_id)
    ON CONFLICT (recipient_id) DO UPDATE SET
        last_at = now(),
        times = CASE WHEN q.first_at < now() - interval '1 day' THEN 1 ELSE q.times + 1 END,
        first_at = CASE WHEN q.first_at < now() - interval '1 day' THEN now() ELSE q.first_at END
    WHERE q.last_at <= now() - make_interval(mins => :minutes)
        AND (q.times < :most OR q.first_at < now() - interval '1 day')
    RETURNING recipient_id
""")


async def admit_link_request(
    session: AsyncSession, *, recipient_id: int, mailing_id: int, minutes: int, most: int
) -> bool:
    """Count a request for a fresh link, and tell whether it is within the limit."""
    params = {"recipient_id": recipient_id, "mailing_id": mailing_id, "minutes": minutes, "most": most}
    return (await run(session, _ADMIT, **params)).one_or_none() is not None


_MAY_BE_WRITTEN_TO = text("""
    -- Whether a link that somebody asked for may go to an address: who left may come back; an address that bounces,
    -- complained or was erased is left alone. By the keys of both tables.
    SELECT NOT EXISTS (
        SELECT FROM blocked_address WHERE email_key = :email_key AND reason <> 'unsubscribed_all'
    ) AND NOT EXISTS (SELECT FROM erased_address WHERE hash = erased_hash(:email_key)) AS may
""")


async def may_be_written_to(session: AsyncSession, *, email_key: str) -> bool:
    """Tell whether a fresh link may be sent to an address."""
    return bool((await run(session, _MAY_BE_WRITTEN_TO, email_key=email_key)).one().may)
