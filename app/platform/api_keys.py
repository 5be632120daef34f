"""Making, listing and revoking API keys (D76). What a key may do is in `auth`."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.auth import ApiKey
from app.platform.clock import now
from app.platform.db import run
from app.platform.errors import Conflict, NotFound


class ApiKeyNotFound(NotFound):
    """There is no such key."""

    slug, title = "api-key-not-found", "No such API key"


class LastAdminKey(Conflict):
    """Without this key nobody could make another."""

    slug, title = "last-admin-key", "The last admin key"


_LIVE_ADMINS = text("""
    -- The keys that may everything, locked until the commit, so that of two last keys that are revoked at once one
    -- stays. A sequential scan: keys are few.
    SELECT id FROM api_key
    WHERE 'admin' = ANY(scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    ORDER BY id FOR UPDATE
""")


def state_of(key: ApiKey, *, at: datetime) -> str:
    """Return whether a key is `live`, `expired` or `revoked`."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= at else "live"


async def page_of_keys(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[ApiKey]:
    """Return at most `limit + 1` keys with ids over `after`."""
    query = select(ApiKey).order_by(col(ApiKey.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(ApiKey.id) > after)
    return (await session.exec(query)).all()


async def read_key(session: AsyncSession, *, api_key_id: int) -> ApiKey:
    """Return a key; raises ApiKeyNotFound."""
    key = await session.get(ApiKey, api_key_id)
    if key is None:
        raise ApiKeyNotFound(f"There is no API key {api_key_id}.")
    return key


async def revoke_key(session: AsyncSession, *, api_key_id: int) -> None:
    """Revoke a key; repeats change nothing. Raises ApiKeyNotFound, and LastAdminKey for the last live admin key."""
    admins = [row.id for row in await run(session, _LIVE_ADMINS)]
    key = await read_key(session, api_key_id=api_key_id)
    if admins == [api_key_id]:
        raise LastAdminKey("This is the last key with the scope admin: make another one first, then revoke this one.")
    if key.revoked_at is None:
        key.revoked_at = now()
        await session.flush()
