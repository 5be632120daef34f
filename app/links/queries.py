"""SQL of the link library."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.links.models import LibraryLink
from app.platform.db import run


async def find_link(session: AsyncSession, *, link_id: int, lock: bool = False) -> LibraryLink | None:
    """Return a link of the library, or None; `lock` keeps its row until the transaction ends."""
    query = select(LibraryLink).where(LibraryLink.id == link_id).execution_options(populate_existing=True)
    if lock:
        query = query.with_for_update()
    return (await session.exec(query)).one_or_none()


async def page_of_links(
    session: AsyncSession, *, folder_id: int | None, name: str | None, target: str | None, after: int | None, limit: int
) -> Sequence[LibraryLink]:
    """Return at most `limit + 1` links with ids over `after`, in the order of their ids.

    Those in a folder, with something in their name or target, whatever its case; the library is small enough to look.
    """
    query = select(LibraryLink).order_by(col(LibraryLink.id)).limit(limit + 1)
    if folder_id is not None:
        query = query.where(LibraryLink.folder_id == folder_id)
    for column, sought in ((LibraryLink.name, name), (LibraryLink.target, target)):
        if sought is not None:
            query = query.where(sa.func.strpos(sa.func.lower(column), sa.func.lower(sought)) > 0)
    if after is not None:
        query = query.where(col(LibraryLink.id) > after)
    return (await session.exec(query)).all()


_REFERENCES = text("""
    -- What refers to a link and is yet to be sent: mailings that may still be compiled anew, and templates. The tag's
    -- name is looked for first, since that is the fastest; a regular expression tells link 1 from link 12.
    -- Every text of a draft is read: some milliseconds for each megabyte, and links are seldom deleted.
    SELECT 'mailing' AS kind, id, name FROM mailing
    WHERE state IN ('draft', 'scheduled', 'preparing', 'expired')
        AND strpos(html || coalesce(mjml, '') || coalesce(text, ''), :tag) > 0
        AND concat_ws(' ', html, mjml, text) ~ :pattern
    UNION ALL
    SELECT 'template', id, name FROM template
    WHERE strpos(html || coalesce(mjml, '') || coalesce(text, ''), :tag) > 0
        AND concat_ws(' ', html, mjml, text) ~ :pattern
    ORDER BY kind, id LIMIT :limit
""").bindparams(sa.bindparam("tag", type_=sa.Text), sa.bindparam("pattern", type_=sa.Text))


async def references_to(session: AsyncSession, *, link_id: int, limit: int) -> Sequence[Any]:
    """Return (kind, id, name) of the drafts, scheduled mailings and templates whose content refers to a link."""
    tag = f"link.library.{link_id}"
    pattern = rf"\[\[\s*link\.library\.{link_id}(?!\d)"
    return (await run(session, _REFERENCES, tag=tag, pattern=pattern, limit=limit)).all()
