"""Who a token is for, and what unsubscribing does to the lists of mailings."""

from typing import Any

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_RECIPIENT = text("""
    -- A recipient with what the pages show of it: by primary keys, at most one row. Person and mailing may be gone.
    -- person_id is null for one who matches no person, or whose person is gone; company_id is that of a
    -- company's own line.
    SELECT r.id, r.mailing_id, p.id AS person_id, k.id AS company_id, coalesce(p.email, r.email) AS email,
           r.email AS sent_to, r.email_key, p.language, m.from_name, t.id AS subscription_type_id,
           t.name AS subscription_type
    FROM recipient AS r
    LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN company AS k ON k.id = r.company_id AND r.person_id IS NULL
    LEFT JOIN mailing AS m ON m.id = r.mailing_id
    LEFT JOIN subscription_type AS t ON t.id = m.subscription_type_id
    WHERE r.id = :recipient_id
""")


async def find_recipient(session: AsyncSession, *, recipient_id: int) -> Any | None:
    """Return a recipient with its person's and mailing's data, or None."""
    return (await run(session, _RECIPIENT, recipient_id=recipient_id)).one_or_none()


_MARK = text("""
    -- The first time only: repeats change nothing.
    UPDATE recipient SET unsubscribed_at = now() WHERE id = :recipient_id AND unsubscribed_at IS NULL
""")


async def mark_unsubscribed(session: AsyncSession, *, recipient_id: int) -> None:
    """Set the recipient's unsubscribed mark, if it has none."""
    await run(session, _MARK, recipient_id=recipient_id)


_CONSENT = text("""
    -- By consent_state_pkey. A yes that ran out counts as none.
    SELECT purpose, given AND (valid_until IS NULL OR valid_until > now()) AS given
    FROM consent_state WHERE person_id = :person_id
""")


async def consents_of(session: AsyncSession, *, person_id: int) -> dict[str, bool]:
    """Return what a person consents to, by purpose; a purpose never asked for is left out."""
    rows = await run(session, _CONSENT, person_id=person_id)
    return {row.purpose: row.given for row in rows}
