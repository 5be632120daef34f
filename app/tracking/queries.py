"""Finding links, and what fills their targets."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.merge_tags import CONTACT_TAGS
from app.content.tag_columns import contact_value
from app.platform.db import run
from app.tracking.models import Link

LinkRow = tuple[int, int, int | None, str]
"""(id, mailing_id, library_link_id, target)"""

_LINKS = select(Link.id, Link.mailing_id, Link.library_link_id, Link.target)


async def links_after(session: AsyncSession, *, after: int, limit: int) -> Sequence[LinkRow]:
    """Return at most `limit` links with ids over `after`, in the order of their ids."""
    return (await session.exec(_LINKS.where(col(Link.id) > after).order_by(col(Link.id)).limit(limit))).all()


async def links_beside(session: AsyncSession, *, link_id: int) -> Sequence[LinkRow]:
    """Return every link of the mailing that a link belongs to; empty when there is none."""
    mailing = select(Link.mailing_id).where(col(Link.id) == link_id).scalar_subquery()
    return (await session.exec(_LINKS.where(col(Link.mailing_id) == mailing))).all()


_REGISTER = text("""
    -- The ids of a mailing's links in the order of their positions. The same target at the same position is the same
    -- link, found by link_target_idx; another target there, or the same for another link of the library, is another
    -- link: links never change (D41). A library link that is deleted this very moment is none.
    WITH given AS (
        SELECT position - 1 AS position, target, honeypot,
               (SELECT id FROM library_link WHERE id = t.library_link_id FOR KEY SHARE) AS library_link_id
        FROM unnest(:targets, :library_link_ids, :honeypots)
            WITH ORDINALITY AS t (target, library_link_id, honeypot, position)
    )
    INSERT INTO link AS l (
        mailing_id, position, target, frozen, library_link_id, honeypot, registered_as, registered_at
    )
    SELECT :mailing_id, position, target, :frozen, library_link_id, honeypot,
           CASE WHEN honeypot THEN -1 ELSE coalesce(library_link_id, 0) END, statement_timestamp()
    FROM given ORDER BY position
    ON CONFLICT (mailing_id, position, md5(target), registered_as)
        DO UPDATE SET frozen = l.frozen OR excluded.frozen, registered_at = statement_timestamp()
    RETURNING id, position
""").bindparams(
    sa.bindparam("targets", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("library_link_ids", type_=sa.ARRAY(sa.BigInteger)),
    sa.bindparam("honeypots", type_=sa.ARRAY(sa.Boolean)),
    sa.bindparam("mailing_id", type_=sa.BigInteger),
    sa.bindparam("frozen", type_=sa.Boolean),
)


async def register(
    session: AsyncSession,
    *,
    mailing_id: int,
    targets: Sequence[str],
    library_link_ids: Sequence[int | None],
    honeypots: Sequence[bool],
    frozen: bool,
) -> list[int]:
    """Add links at positions 0, 1, … where they are not known yet; return their ids in that order."""
    params = {
        "mailing_id": mailing_id, "targets": list(targets), "library_link_ids": list(library_link_ids),
        "honeypots": list(honeypots), "frozen": frozen,
    }  # fmt: skip
    rows: Any = await run(session, _REGISTER, **params)
    return [row.id for row in sorted(rows, key=lambda row: row.position)]


_VALUES = text(f"""
    -- What a recipient's merge tags stand for: by primary keys, at most one row. Recipients outlive persons.
    SELECT r.name, r.email, to_jsonb(p) AS person, to_jsonb(c) AS company,
           jsonb_build_object({", ".join(f"'{tag}', {contact_value(tag)}" for tag in sorted(CONTACT_TAGS))}) AS contacts
    -- The company is the person's, or the line's own.
    FROM recipient AS r LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN company AS c ON c.id = coalesce(r.company_id, p.company_id)
    WHERE r.id = :recipient_id
""")


async def recipient_values(session: AsyncSession, *, recipient_id: int) -> Any | None:
    """Return the recipient's (name, email, person, company, contacts); None when it is gone.

    Person and company are JSON or null; contacts are the values of CONTACT_TAGS by tag.
    """
    return (await run(session, _VALUES, recipient_id=recipient_id)).one_or_none()


_CLICKS = text("""
    -- A page of a mailing's links with their figures: link_target_idx and the tally's primary key. Once it is frozen,
    -- those that were sent; before that, those of the latest preview or test.
    SELECT l.id, l.position, l.target, l.library_link_id, l.honeypot,
           coalesce(t.clicks, 0) AS human, coalesce(t.machine_clicks, 0) AS machine,
           coalesce(t.clickers, 0) AS clickers, coalesce(t.machine_clickers, 0) AS machine_clickers
    FROM link AS l LEFT JOIN link_tally AS t ON t.link_id = l.id
    WHERE l.mailing_id = :mailing_id AND (l.position, l.id) > (:position, :id)
        AND (l.frozen OR l.registered_at = (
            SELECT max(registered_at) FROM link WHERE mailing_id = :mailing_id HAVING NOT bool_or(frozen)
        ))
    ORDER BY l.position, l.id LIMIT :limit
""").bindparams(sa.bindparam("position", type_=sa.Integer), sa.bindparam("id", type_=sa.BigInteger))


async def page_of_links(
    session: AsyncSession, *, mailing_id: int, after: Sequence[int] | None, limit: int
) -> Sequence[Any]:
    """Return at most `limit + 1` links of a mailing, with clicks, in the order of the message.

    `after` are position and id of the last one before.
    """
    position, link_id = after or (-1, 0)
    params = {"mailing_id": mailing_id, "position": position, "id": link_id, "limit": limit + 1}
    return (await run(session, _CLICKS, **params)).all()


_MAILING_EXISTS = text("SELECT EXISTS (SELECT FROM mailing WHERE id = :mailing_id) AS it")


async def mailing_exists(session: AsyncSession, *, mailing_id: int) -> bool:
    """Tell whether there is such a mailing."""
    return bool((await run(session, _MAILING_EXISTS, mailing_id=mailing_id)).one().it)
