"""Reading and writing blocked addresses."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.models import BlockedAddress
from app.consent.waiting_queries import IS_BLOCKED
from app.platform.db import run

_BLOCK = text("""
    -- Blocks addresses, each once. The first reason stays, save that an unsubscription gives way to a harder one: a
    -- person may take it back, but not a bounce. Answers a row per address that changed; is_new when it was not blocked
    -- before. In key order, so that two of these never wait for each other in a circle.
    INSERT INTO blocked_address AS b (email, email_key, reason, origin, mailing_id)
    SELECT email, email_key, reason, origin, mailing_id
    FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS r (
        email text, email_key text, reason text, origin text, mailing_id bigint)
    ORDER BY email_key
    ON CONFLICT (email_key) DO UPDATE
    SET reason = excluded.reason, origin = excluded.origin, mailing_id = excluded.mailing_id
    WHERE b.reason = 'unsubscribed_all' AND excluded.reason <> 'unsubscribed_all'
    RETURNING id, email_key, (xmax = 0) AS is_new
""").bindparams(sa.bindparam("rows", type_=sa.JSON))

_LIFT = text("""
    -- Takes back what only an unsubscription blocked, for persons who consent again. Needs
    -- blocked_address_email_key_key.
    DELETE FROM blocked_address
    WHERE reason = 'unsubscribed_all' AND email_key IN (
        SELECT p.email_key FROM person AS p
        JOIN consent_state AS s ON s.person_id = p.id AND s.purpose = 'e_marketing' AND s.given
            AND (s.valid_until IS NULL OR s.valid_until > now())
        WHERE p.id = ANY(:ids))
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_LIFT_ADDRESS = text("DELETE FROM blocked_address WHERE reason = 'unsubscribed_all' AND email_key = :email_key")

_AMONG = text(f"""
    -- Which of these addresses nothing may go to. See IS_BLOCKED.
    SELECT r.email_key FROM unnest(cast(:keys AS text[])) AS r (email_key) WHERE {IS_BLOCKED}
""")

_PERSONS_AT = text("""
    -- Who has these addresses, as the preferred one or a further one. By person_email_key_idx and
    -- person_email_email_key_idx.
    SELECT id AS person_id, email_key FROM person WHERE email_key = ANY(:keys)
    UNION SELECT person_id, email_key FROM person_email WHERE email_key = ANY(:keys)
    ORDER BY person_id, email_key
""").bindparams(sa.bindparam("keys", type_=sa.ARRAY(sa.Text)))


async def block(session: AsyncSession, *, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Block addresses given as (email, email_key, reason, origin, mailing_id), one row per key at most.

    Returns a row (id, is_new) by key for each that changed.
    """
    return {row.email_key: row for row in await run(session, _BLOCK, rows=list(rows))}


async def lift(session: AsyncSession, *, person_ids: Sequence[int]) -> None:
    """Unblock addresses of persons who consent to e-marketing, where an unsubscription is all that blocked them."""
    await run(session, _LIFT, ids=list(person_ids))


async def lift_address(session: AsyncSession, *, email_key: str) -> None:
    """Unblock an address, where an unsubscription is all that blocked it."""
    await run(session, _LIFT_ADDRESS, email_key=email_key)


async def blocked_among(session: AsyncSession, *, email_keys: Sequence[str]) -> set[str]:
    """Return those of the addresses that are blocked or erased."""
    return {row.email_key for row in await run(session, _AMONG, keys=list(email_keys))}


async def persons_at(session: AsyncSession, *, email_keys: Sequence[str]) -> list[tuple[int, str]]:
    """Return (person, email_key) for all who have one of these addresses."""
    return [(row.person_id, row.email_key) for row in await run(session, _PERSONS_AT, keys=list(email_keys))]


async def find_by_key(session: AsyncSession, *, email_key: str) -> BlockedAddress | None:
    """Return the blocked address with this key, as the database has it now, or None."""
    query = select(BlockedAddress).where(BlockedAddress.email_key == email_key)
    return (await session.exec(query.execution_options(populate_existing=True))).one_or_none()


async def find_blocked(session: AsyncSession, *, blocked_address_id: int) -> BlockedAddress | None:
    """Return a blocked address, or None."""
    return await session.get(BlockedAddress, blocked_address_id, populate_existing=True)
