"""SQL of link actions and scripts."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions.models import LinkAction, Script
from app.platform.db import run

_REORDER = text("""
    -- Gives a link's actions the positions 1, 2, … in the order of the ids told.
    UPDATE link_action AS a SET position = o.position, updated_at = clock_timestamp()
    FROM unnest(:ids) WITH ORDINALITY AS o (id, position)
    WHERE a.id = o.id AND a.library_link_id = :link_id AND a.position <> o.position
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("link_id", type_=sa.BigInteger))

_CALLING = text("""
    -- The links whose actions call a script, a few. A look at all actions of the kind: scripts are seldom deleted.
    SELECT DISTINCT l.id, l.name FROM link_action AS a JOIN library_link AS l ON l.id = a.library_link_id
    WHERE a.kind = 'script' AND a.settings @> jsonb_build_object('script_id', cast(:script_id AS bigint))
    ORDER BY l.id LIMIT :limit
""").bindparams(sa.bindparam("script_id", type_=sa.BigInteger))


async def actions_of(session: AsyncSession, *, link_id: int) -> Sequence[LinkAction]:
    """Return every action of a link in its order; there are few (service.MAX_ACTIONS)."""
    query = select(LinkAction).where(LinkAction.library_link_id == link_id)
    return (await session.exec(query.order_by(col(LinkAction.position), col(LinkAction.id)))).all()


async def page_of_actions(
    session: AsyncSession, *, link_id: int, after: int | None, limit: int
) -> Sequence[LinkAction]:
    """Return at most `limit + 1` actions of a link with positions over `after`; walks link_action_order_idx."""
    query = select(LinkAction).where(LinkAction.library_link_id == link_id).order_by(col(LinkAction.position))
    if after is not None:
        query = query.where(col(LinkAction.position) > after)
    return (await session.exec(query.limit(limit + 1))).all()


async def find_action(session: AsyncSession, *, action_id: int) -> LinkAction | None:
    """Return an action, or None."""
    return await session.get(LinkAction, action_id)


async def last_position(session: AsyncSession, *, link_id: int) -> int:
    """Return the position of a link's last action; 0 where there is none."""
    query = select(func.coalesce(func.max(LinkAction.position), 0)).where(LinkAction.library_link_id == link_id)
    return (await session.exec(query)).one()


async def reorder(session: AsyncSession, *, link_id: int, action_ids: Sequence[int]) -> None:
    """Give a link's actions the order of the ids."""
    await run(session, _REORDER, link_id=link_id, ids=list(action_ids))


async def hold_script(session: AsyncSession, *, script_id: int) -> Script | None:
    """Return a script that nobody deletes until the commit, or None."""
    query = select(Script).where(Script.id == script_id).with_for_update(read=True, key_share=True)
    return (await session.exec(query)).one_or_none()


async def lock_script(session: AsyncSession, *, script_id: int) -> Script | None:
    """Return a script that nobody else uses for a new action until the commit, or None."""
    query = select(Script).where(Script.id == script_id).with_for_update().execution_options(populate_existing=True)
    return (await session.exec(query)).one_or_none()


async def page_of_scripts(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[Script]:
    """Return at most `limit + 1` scripts with ids over `after`."""
    query = select(Script).order_by(col(Script.id)).limit(limit + 1)
    return (await session.exec(query if after is None else query.where(col(Script.id) > after))).all()


async def links_calling(session: AsyncSession, *, script_id: int, limit: int) -> list[tuple[int, str]]:
    """Return (id, name) of links whose actions call a script."""
    return [(row.id, row.name) for row in await run(session, _CALLING, script_id=script_id, limit=limit)]
