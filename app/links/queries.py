"""SQL of the link library."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.links.models import LibraryLink
from app.platform.db import run


async def find_link(
    session: AsyncSession, *, link_id: int, to_change: bool = False, to_delete: bool = False
) -> LibraryLink | None:
    """Return a link of the library, or None; who wants to change or delete it waits for others who do.

    Who deletes it waits as well for those who are saving content that refers to it, or freezing a mailing.
    """
    query = select(LibraryLink).where(LibraryLink.id == link_id).execution_options(populate_existing=True)
    if to_change or to_delete:
        query = query.with_for_update(key_share=not to_delete)
    return (await session.exec(query)).one_or_none()


async def page_of_links(
    session: AsyncSession,
    *,
    folder_id: int | None,
    name: str | None,
    target: str | None,
    by_name: bool,
    after: Sequence[Any] | None,
    limit: int,
) -> Sequence[tuple[LibraryLink, str]]:
    """Return at most `limit + 1` links, each with its name in small letters: by that, or in the order of their ids.

    Those in a folder, with something in their name or target, whatever its case; the library is small enough to look.
    `after` is the key of the last one before: id, or small name and id.
    """
    small = sa.func.lower(col(LibraryLink.name))
    query = select(LibraryLink, small)
    key = (small, col(LibraryLink.id)) if by_name else (col(LibraryLink.id),)
    if folder_id is not None:
        query = query.where(LibraryLink.folder_id == folder_id)
    for column, sought in ((LibraryLink.name, name), (LibraryLink.target, target)):
        if sought is not None:
            query = query.where(sa.func.strpos(sa.func.lower(column), sa.func.lower(sought)) > 0)
    if after is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(*(sa.literal(value) for value in after)))
    return (await session.exec(query.order_by(*key).limit(limit + 1))).all()


_COPY_ACTIONS = text("""
    -- Gives a link the actions of another one; their slice lies above.
    INSERT INTO link_action (library_link_id, position, kind, settings)
    SELECT :target_id, position, kind, settings FROM link_action WHERE library_link_id = :source_id
""").bindparams(sa.bindparam("target_id", type_=sa.BigInteger), sa.bindparam("source_id", type_=sa.BigInteger))


async def copy_actions(session: AsyncSession, *, source_id: int, target_id: int) -> None:
    """Give a link the actions of another one, in their order."""
    await run(session, _COPY_ACTIONS, source_id=source_id, target_id=target_id)


_FORGET_CLICKERS = text("""
    -- Who clicked a link that is deleted: a range by key. Their slice lies above. The places that the link had in
    -- mailings keep their own.
    DELETE FROM library_link_clicker WHERE library_link_id = :link_id
""").bindparams(sa.bindparam("link_id", type_=sa.BigInteger))
_FORGET_TALLY = text("""
    -- After the clickers, since their trigger writes it.
    DELETE FROM library_link_tally WHERE library_link_id = :link_id
""").bindparams(sa.bindparam("link_id", type_=sa.BigInteger))


async def forget_figures(session: AsyncSession, *, link_id: int) -> None:
    """Drop what was counted of a link of the library over all mailings, when it is deleted."""
    await run(session, _FORGET_CLICKERS, link_id=link_id)
    await run(session, _FORGET_TALLY, link_id=link_id)


_REFERS = " OR ".join(f"(strpos({column}, :tag) > 0 AND {column} ~ :pattern)" for column in ("html", "mjml", "text"))

_USES = text(f"""
    -- Where a link is used: mailings that were sent with it (link_library_link_idx), those that may still be compiled
    -- anew and refer to it by its tag, and templates that do. The tag is looked for first, since that is the fastest;
    -- the regular expression tells link 1 from link 12. Columns stay apart: joining them takes four times as long.
    -- Every text of a draft is read: 1.2 s for 10 000 of 94 kB. A person looks, or deletes, now and then.
    SELECT kind, id, name, state, sent FROM (
        SELECT 'mailing' AS kind, id, name, state, false AS sent FROM mailing
        WHERE state IN ('draft', 'scheduled', 'preparing', 'expired') AND ({_REFERS})
        UNION ALL
        SELECT 'mailing', id, name, state, true FROM mailing
        WHERE :sent AND id IN (SELECT mailing_id FROM link WHERE library_link_id = :link_id AND frozen)
        UNION ALL
        SELECT 'template', id, name, null, false FROM template WHERE {_REFERS}
    ) AS uses
    WHERE (kind, id) > (:kind, :id)
    ORDER BY kind, id LIMIT :limit
""").bindparams(
    sa.bindparam("tag", type_=sa.Text), sa.bindparam("pattern", type_=sa.Text), sa.bindparam("sent", type_=sa.Boolean),
    sa.bindparam("kind", type_=sa.Text), sa.bindparam("id", type_=sa.BigInteger),
)  # fmt: skip


async def uses_of(
    session: AsyncSession, *, link_id: int, sent: bool = True, after: Sequence[Any] | None = None, limit: int
) -> Sequence[Any]:
    """Return (kind, id, name, state, sent) of at most `limit + 1` mailings and templates that use a link.

    Without `sent`, only those that refer to it as it is now: drafts, mailings yet to be sent, templates. `after` are
    kind and id of the last one before.
    """
    kind, id_ = after or ("", 0)
    params = {
        "tag": f"link.library.{link_id}", "pattern": rf"\[\[\s*link\.library\.{link_id}(?!\d)", "sent": sent,
        "link_id": link_id, "kind": kind, "id": id_, "limit": limit + 1,
    }  # fmt: skip
    return (await run(session, _USES, **params)).all()
