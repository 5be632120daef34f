"""Who a token is for, and what unsubscribing does to the lists of mailings."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_RECIPIENT = text("""
    -- A recipient with what the pages show of it: by primary keys, at most one row. Person and mailing may be gone.
    -- person_id is null for one who matches no person, or whose person is gone.
    SELECT r.id, r.mailing_id, p.id AS person_id, coalesce(p.email, r.email) AS email, r.email AS sent_to,
           r.email_key, p.language, m.from_name, t.id AS subscription_type_id, t.name AS subscription_type
    FROM recipient AS r
    LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN mailing AS m ON m.id = r.mailing_id
    LEFT JOIN subscription_type AS t ON t.id = m.subscription_type_id
    WHERE r.id = :recipient_id
""")


async def find_recipient(session: AsyncSession, *, recipient_id: int) -> Any | None:
    """Return a recipient with its person's and mailing's data, or None."""
    return (await session.exec(_RECIPIENT, params={"recipient_id": recipient_id})).one_or_none()  # type: ignore[call-overload]


_MARK = text("""
    -- The first time only: repeats change nothing.
    UPDATE recipient SET unsubscribed_at = now() WHERE id = :recipient_id AND unsubscribed_at IS NULL
""")


async def mark_unsubscribed(session: AsyncSession, *, recipient_id: int) -> None:
    """Set the recipient's unsubscribed mark, if it has none."""
    await session.exec(_MARK, params={"recipient_id": recipient_id})  # type: ignore[call-overload]


_BLOCK_WAITING = """
    -- Takes a person, or an address, out of every mailing that has not sent to it yet (D47). In key order, so that two
    -- pages never wait for each other in a circle.
    WITH waiting AS (
        SELECT r.id FROM recipient AS r JOIN mailing AS m ON m.id = r.mailing_id
        WHERE {whom} AND r.status IN ('ready', 'deferred')
          AND m.state IN ('draft', 'scheduled', 'preparing', 'sending', 'stopped', 'failed')
        ORDER BY r.id FOR NO KEY UPDATE OF r
    )
    UPDATE recipient AS r SET status = 'blocked', reason = :reason, due_at = NULL FROM waiting WHERE r.id = waiting.id
"""

# By recipient_person_idx. A mailing of any type is left only with everything: another type may be subscribed to.
_BLOCK_PERSON = text(
    _BLOCK_WAITING.format(
        whom="r.person_id = :person_id AND (:everything OR m.subscription_type_id = :subscription_type_id)"
    )
).bindparams(
    sa.bindparam("subscription_type_id", type_=sa.BigInteger), sa.bindparam("everything", type_=sa.Boolean),
    sa.bindparam("reason", type_=sa.Text),
)  # fmt: skip

# By recipient_list_idx over the lists of unfinished mailings: addresses are in no index, since one would double the
# cost of populating, and those who match no person are few.
_BLOCK_ADDRESS = text(_BLOCK_WAITING.format(whom="r.email_key = :email_key")).bindparams(
    sa.bindparam("reason", type_=sa.Text)
)


async def block_waiting_person(session: AsyncSession, *, person_id: int, subscription_type_id: int | None) -> None:
    """Block a person's unsent lines in mailings of a type, or with None in all, as `no_subscription`."""
    values: Mapping[str, Any] = {
        "person_id": person_id, "subscription_type_id": subscription_type_id,
        "everything": subscription_type_id is None, "reason": "no_subscription",
    }  # fmt: skip
    await session.exec(_BLOCK_PERSON, params=values)  # type: ignore[call-overload]


async def block_waiting_address(session: AsyncSession, *, email_key: str) -> None:
    """Block an address's unsent lines in all mailings as `blocked_address`."""
    await session.exec(_BLOCK_ADDRESS, params={"email_key": email_key, "reason": "blocked_address"})  # type: ignore[call-overload]


_CONSENT = text("SELECT purpose, given FROM consent_state WHERE person_id = :person_id")


async def consents_of(session: AsyncSession, *, person_id: int) -> dict[str, bool]:
    """Return what a person consents to, by purpose; a purpose never asked for is left out. By consent_state_pkey."""
    rows = await session.exec(_CONSENT, params={"person_id": person_id})  # type: ignore[call-overload]
    return {row.purpose: row.given for row in rows}
