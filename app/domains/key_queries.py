"""SQL of DKIM keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains.models import Algorithm, DkimKey, KeyState, SendingDomain
from app.platform.db import run

_ACTIVE = text("""
    -- What may be signed with, by domain: a handful of rows, read once for a sender's turn of a minute.
    SELECT d.domain, k.selector, k.private_key
    FROM dkim_key AS k JOIN sending_domain AS d ON d.id = k.domain_id
    WHERE k.state = 'active' ORDER BY d.domain, k.algorithm DESC, k.id
""")


async def active_keys(session: AsyncSession) -> Sequence[Any]:
    """Return (domain, selector, private_key) of every active key, those of a domain together, RSA first."""
    return (await run(session, _ACTIVE)).all()


async def signing_domains(session: AsyncSession, *, names: Sequence[str]) -> Sequence[str]:
    """Return which of these domains have active keys."""
    query = select(SendingDomain.domain).join(DkimKey, col(DkimKey.domain_id) == SendingDomain.id)
    query = query.where(col(SendingDomain.domain).in_(names), DkimKey.state == KeyState.ACTIVE).distinct()
    return (await session.exec(query)).all()


async def find_key(session: AsyncSession, *, domain_id: int, key_id: int) -> DkimKey | None:
    """Return a key of a domain, or None."""
    query = select(DkimKey).where(DkimKey.id == key_id, DkimKey.domain_id == domain_id)
    return (await session.exec(query.execution_options(populate_existing=True))).one_or_none()


async def find_selector(session: AsyncSession, *, domain_id: int, selector: str) -> DkimKey | None:
    """Return the key of a domain's selector, or None."""
    query = select(DkimKey).where(DkimKey.domain_id == domain_id, DkimKey.selector == selector)
    return (await session.exec(query)).one_or_none()


async def keys_of(session: AsyncSession, *, domain_id: int, states: Sequence[KeyState] = ()) -> Sequence[DkimKey]:
    """Return a domain's keys, oldest first: all, or those in some states."""
    query = select(DkimKey).where(DkimKey.domain_id == domain_id).order_by(col(DkimKey.id))
    if states:
        query = query.where(col(DkimKey.state).in_(states))
    return (await session.exec(query.execution_options(populate_existing=True))).all()


async def page_of_keys(session: AsyncSession, *, domain_id: int, after: int | None, limit: int) -> Sequence[DkimKey]:
    """Return at most `limit + 1` keys of a domain with ids over `after`."""
    query = select(DkimKey).where(DkimKey.domain_id == domain_id).order_by(col(DkimKey.id)).limit(limit + 1)
    return (await session.exec(query if after is None else query.where(col(DkimKey.id) > after))).all()


async def active_of(session: AsyncSession, *, domain_id: int, algorithm: Algorithm) -> Sequence[DkimKey]:
    """Return a domain's active keys of an algorithm: one, or none."""
    query = select(DkimKey).where(
        DkimKey.domain_id == domain_id, DkimKey.algorithm == algorithm, DkimKey.state == KeyState.ACTIVE
    )
    return (await session.exec(query)).all()


_RETIRE_DUE = text("""
    -- Keys whose time is over are forgotten: their records may go, and their private halves do. A handful of rows.
    UPDATE dkim_key SET state = 'retired', retired_at = now(), private_key = NULL
    WHERE state = 'retiring' AND retires_at <= now()
""")


async def retire_due(session: AsyncSession) -> None:
    """Retire the keys whose days of retiring are over."""
    await run(session, _RETIRE_DUE)
