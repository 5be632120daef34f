"""What content needs of the link library; the slice that owns it lies above."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.library import Wanted
from app.platform.db import run

_MEANT = text("""
    -- The library links that a message refers to: by primary key, or by their targets (library_link_target_key_idx).
    SELECT id, target FROM library_link WHERE id = ANY (:ids) OR target_key = ANY (:keys)
""").bindparams(
    sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("keys", type_=sa.ARRAY(sa.Text))
)  # fmt: skip

_HELD = text("""
    -- Those of these library links that exist. They cannot be deleted until the commit: who deletes one looks for what
    -- refers to it, and finds what is being saved now.
    SELECT id FROM library_link WHERE id = ANY (:ids) FOR KEY SHARE
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))


async def read_library(session: AsyncSession, *, wanted: Wanted) -> dict[int, str]:
    """Return the targets, as stored, of the library links that a message may mean, by their ids."""
    if not wanted.ids and not wanted.keys:
        return {}
    rows = await run(session, _MEANT, ids=sorted(wanted.ids), keys=sorted(wanted.keys))
    return {row.id: row.target for row in rows}


async def hold_links(session: AsyncSession, *, ids: Collection[int]) -> set[int]:
    """Return which of these library links exist, and keep them from being deleted until the commit."""
    return {row.id for row in await run(session, _HELD, ids=sorted(ids))} if ids else set()
