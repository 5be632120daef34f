"""The registry of blocked addresses: lists, whoever has an address, and what is done about it (D60)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.models import BlockedAddress, BlockReason
from app.platform.db import run

_KEYS = sa.bindparam("keys", type_=sa.ARRAY(sa.Text))


class BlockedSort(StrEnum):
    """How the list can be sorted; with `-`, the other way round."""

    OLDEST = "created_at"
    NEWEST = "-created_at"
    EMAIL = "email"
    EMAIL_DOWN = "-email"
    REASON = "reason"
    REASON_DOWN = "-reason"


@dataclass(frozen=True, slots=True)
class BlockedFilter:
    """Which addresses; None is any. `part` is of the address, `origin` of the origin's text, both in any case."""

    reasons: Sequence[BlockReason] = ()
    email_key: str | None = None
    part: str | None = None
    origin: str | None = None
    mailing_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def key_kinds(sort: BlockedSort) -> tuple[type, ...]:
    """Return of what kinds the key of a row is, in this order."""
    return tuple(int if name == "id" else str for name in _names(sort))


def key_of(blocked: BlockedAddress, sort: BlockedSort) -> list[int | str]:
    """Return the key of a row in this order."""
    return [getattr(blocked, name) for name in _names(sort)]


def _names(sort: BlockedSort) -> tuple[str, ...]:
    return {"created_at": ("id",), "email": ("email_key",), "reason": ("reason", "id")}[sort.value.lstrip("-")]


async def page_of_blocked(
    session: AsyncSession, *, where: BlockedFilter, sort: BlockedSort, after: Sequence[Any] | None, limit: int
) -> Sequence[BlockedAddress]:
    """Return at most `limit + 1` blocked addresses behind the key `after`, in order.

    Ids grow with time, so they are the order by `created_at`. Walks blocked_address_pkey, blocked_address_email_key_key
    or blocked_address_reason_idx; a filter that few rows pass reads the others, too, some 0.3 s for a million.
    """
    query = select(BlockedAddress).where(*_conditions(where)).limit(limit + 1)
    columns = [col(getattr(BlockedAddress, name)) for name in _names(sort)]
    down = sort.value.startswith("-")
    if after is not None:
        here, there = sa.tuple_(*columns), sa.tuple_(*(sa.literal(value) for value in after))
        query = query.where(here < there if down else here > there)
    return (await session.exec(query.order_by(*(column.desc() if down else column for column in columns)))).all()


def _conditions(where: BlockedFilter) -> list[Any]:
    blocked = BlockedAddress
    found: list[Any] = [col(blocked.reason).in_(where.reasons)] if where.reasons else []
    if where.email_key is not None:
        found.append(blocked.email_key == where.email_key)
    if where.part is not None:
        found.append(col(blocked.email).icontains(where.part, autoescape=True))
    if where.origin is not None:
        found.append(col(blocked.origin).icontains(where.origin, autoescape=True))
    if where.mailing_id is not None:
        found.append(blocked.mailing_id == where.mailing_id)
    if where.since is not None:
        found.append(col(blocked.created_at) >= where.since)
    if where.until is not None:
        found.append(col(blocked.created_at) < where.until)
    return found


_HOLDERS = text("""
    -- A page of the persons who have an address, as the preferred one or a further one, in the order of their ids. By
    -- person_email_key_idx and person_email_email_key_idx.
    SELECT p.id, p.external_id, p.name, p.email, p.company_id, p.former_employee,
           p.email_key IS NOT DISTINCT FROM :key AS preferred
    FROM person AS p
    WHERE p.id IN (
        SELECT id FROM person WHERE email_key = :key UNION SELECT person_id FROM person_email WHERE email_key = :key
    ) AND p.id > :after
    ORDER BY p.id LIMIT :limit
""").bindparams(sa.bindparam("key", type_=sa.Text), sa.bindparam("after", type_=sa.BigInteger))

_LOCK_HOLDERS = text("""
    -- The persons who have one of these addresses, locked in the order of their ids until the commit.
    SELECT id FROM person WHERE id IN (
        SELECT id FROM person WHERE email_key = ANY(:keys)
        UNION SELECT person_id FROM person_email WHERE email_key = ANY(:keys)
    ) ORDER BY id FOR NO KEY UPDATE
""").bindparams(_KEYS)

_DROP_TWICE_PREFERRED = text("""
    -- The further address of those who get it as the preferred one.
    DELETE FROM person_email AS e USING person AS p
    WHERE p.id = e.person_id AND p.email_key = :old AND e.email_key = :new
""")
_CORRECT_PREFERRED = text("""
    UPDATE person SET email = :email, email_key = :new, updated_at = now() WHERE email_key = :old
""")
_DROP_TWICE_FURTHER = text("""
    -- The blocked address as a further one of those who have the right one already.
    DELETE FROM person_email AS e USING person AS p
    WHERE p.id = e.person_id AND e.email_key = :old AND (p.email_key = :new OR EXISTS (
        SELECT FROM person_email AS x WHERE x.person_id = e.person_id AND x.email_key = :new))
""")
_CORRECT_FURTHER = text("UPDATE person_email SET email = :email, email_key = :new WHERE email_key = :old")
_CORRECT_COMPANIES = text(
    "UPDATE company SET email = :email, email_key = :new, updated_at = now() WHERE email_key = :old"
)

_DELETE_FURTHER = text("DELETE FROM person_email WHERE email_key = ANY(:keys)").bindparams(_KEYS)
_DELETE_PREFERRED = text("""
    -- Takes preferred addresses away from persons. The oldest further address takes the place, one that is not blocked
    -- before one that is; without any, the person has none.
    WITH heir AS (
        SELECT DISTINCT ON (e.person_id) e.id, e.person_id, e.email, e.email_key
        FROM person AS p JOIN person_email AS e ON e.person_id = p.id
        WHERE p.email_key = ANY(:keys)
        ORDER BY e.person_id, EXISTS (SELECT FROM blocked_address AS b WHERE b.email_key = e.email_key), e.id
    ), moved AS (
        DELETE FROM person_email AS e USING heir WHERE e.id = heir.id
    )
    UPDATE person AS p SET email = heir.email, email_key = heir.email_key, updated_at = now()
    FROM person AS q LEFT JOIN heir ON heir.person_id = q.id
    WHERE q.id = p.id AND q.email_key = ANY(:keys)
""").bindparams(_KEYS)
_DELETE_COMPANIES = text("""
    UPDATE company SET email = NULL, email_key = NULL, updated_at = now() WHERE email_key = ANY(:keys)
""").bindparams(_KEYS)

_LEFT = text("""
    -- Marks persons as former employees; those who are marked already stay as they are. Answers whom it marked.
    UPDATE person SET former_employee = true, updated_at = now()
    WHERE id = ANY(:ids) AND NOT former_employee RETURNING id
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_UNBLOCK = text("DELETE FROM blocked_address WHERE email_key = ANY(:keys) RETURNING email_key").bindparams(_KEYS)

_KEYS_OF = text("SELECT id, email_key FROM blocked_address WHERE id = ANY(:ids)").bindparams(
    sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger))
)


async def page_of_holders(session: AsyncSession, *, email_key: str, after: int | None, limit: int) -> list[Any]:
    """Return at most `limit + 1` persons (with `preferred`) who have an address, with ids over `after`."""
    return list(await run(session, _HOLDERS, key=email_key, after=after or 0, limit=limit + 1))


async def lock_holders(session: AsyncSession, *, email_keys: Sequence[str]) -> list[int]:
    """Lock the persons who have one of these addresses, and return their ids."""
    return [row.id for row in await run(session, _LOCK_HOLDERS, keys=list(email_keys))]


async def correct(session: AsyncSession, *, old: str, new: str, email: str) -> int:
    """Put an address in the place of another, with persons and companies; return how many companies had it.

    Persons must be locked. `old` and `new` are keys, `email` is the new one as it is sent to.
    """
    await run(session, _DROP_TWICE_PREFERRED, old=old, new=new)
    await run(session, _CORRECT_PREFERRED, old=old, new=new, email=email)
    await run(session, _DROP_TWICE_FURTHER, old=old, new=new)
    await run(session, _CORRECT_FURTHER, old=old, new=new, email=email)
    return (await run(session, _CORRECT_COMPANIES, old=old, new=new, email=email)).rowcount


async def delete_from_holders(session: AsyncSession, *, email_keys: Sequence[str]) -> int:
    """Take addresses away from persons and companies; return how many companies had one. Persons must be locked."""
    await run(session, _DELETE_FURTHER, keys=list(email_keys))
    await run(session, _DELETE_PREFERRED, keys=list(email_keys))
    return (await run(session, _DELETE_COMPANIES, keys=list(email_keys))).rowcount


async def mark_left(session: AsyncSession, *, person_ids: Sequence[int]) -> list[int]:
    """Mark persons as former employees; return the ids of those who were not."""
    return [row.id for row in await run(session, _LEFT, ids=list(person_ids))]


async def unblock(session: AsyncSession, *, email_keys: Sequence[str]) -> set[str]:
    """Let mailings go to addresses again; return those that were blocked."""
    return {row.email_key for row in await run(session, _UNBLOCK, keys=list(email_keys))}


async def keys_of(session: AsyncSession, *, ids: Sequence[int]) -> dict[int, str]:
    """Return the addresses' keys by the ids of blocked addresses that exist."""
    return {row.id: row.email_key for row in await run(session, _KEYS_OF, ids=list(ids))}
