"""SQL of who clicked what (D40): pages by index, figures from tallies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_WHEN = sa.DateTime(timezone=True)

_LIBRARY_LINK = text("SELECT EXISTS (SELECT FROM library_link WHERE id = :link_id) AS it")

_TALLY = text("""
    -- A library link's figures, one row by key; zeros before the first click.
    SELECT l.id, coalesce(t.clicks, 0) AS clicks, coalesce(t.machine_clicks, 0) AS machine_clicks,
           coalesce(t.clickers, 0) AS clickers, coalesce(t.machine_clickers, 0) AS machine_clickers
    FROM library_link AS l LEFT JOIN library_link_tally AS t ON t.library_link_id = l.id WHERE l.id = :link_id
""")

_PAGE = """
    -- A page of clicks, latest first: of each of the library link's places in mailings (link_library_link_idx) as many
    -- as a page has (engagement_link_idx, read backwards), and of all those the latest.
    SELECT e.id, e.occurred_at, e.verdict, e.reasons, e.link_id, e.mailing_id, m.name AS mailing_name, e.recipient_id,
           r.person_id, r.company_id, r.name, r.email
    FROM (
        SELECT c.* FROM link AS l CROSS JOIN LATERAL (
            SELECT id, occurred_at, verdict, reasons, link_id, mailing_id, recipient_id FROM engagement
            WHERE link_id = l.id AND kind = 'click' AND occurred_at <= :at AND (occurred_at, id) < (:at, :id)
                AND occurred_at >= :since AND occurred_at < :until AND verdict = ANY (:verdicts)
            ORDER BY occurred_at DESC, id DESC LIMIT :limit
        ) AS c
        WHERE {places}
        ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit
    ) AS e
    LEFT JOIN recipient AS r ON r.id = e.recipient_id LEFT JOIN mailing AS m ON m.id = e.mailing_id
    ORDER BY e.occurred_at DESC, e.id DESC
"""
_PLACES = {
    False: "l.library_link_id = :link_id",
    True: "l.library_link_id = :link_id AND l.mailing_id = :mailing_id",
}

_SHOWN = """
    SELECT k.recipient_id AS id, k.clicked_at, k.machine_clicked_at, r.mailing_id, m.name AS mailing_name, r.person_id,
           r.company_id, r.name, r.email
    FROM library_link_clicker AS k
    JOIN recipient AS r ON r.id = k.recipient_id LEFT JOIN mailing AS m ON m.id = r.mailing_id
"""

_CLICKERS = f"""
    -- A page of clickers in the order of their lines; a range of library_link_clicker_pkey.
    {_SHOWN}
    WHERE k.library_link_id = :link_id AND k.recipient_id > :after AND (:machines OR k.clicked_at IS NOT NULL)
    ORDER BY k.recipient_id LIMIT :limit
"""

_CLICKERS_IN_MAILING = f"""
    -- The same of one mailing: of each place that the link has in it (link_library_link_idx) as many as a page has, a
    -- range of link_clicker_pkey. Who clicked in other mailings is not looked at.
    {_SHOWN}
    WHERE k.library_link_id = :link_id AND k.recipient_id = ANY (ARRAY(
        SELECT DISTINCT c.recipient_id FROM link AS l CROSS JOIN LATERAL (
            SELECT recipient_id FROM link_clicker
            WHERE link_id = l.id AND recipient_id > :after AND (:machines OR clicked_at IS NOT NULL)
            ORDER BY recipient_id LIMIT :limit
        ) AS c
        WHERE l.library_link_id = :link_id AND l.mailing_id = :mailing_id
        ORDER BY c.recipient_id LIMIT :limit
    ))
    ORDER BY k.recipient_id LIMIT :limit
"""


async def library_link_exists(session: AsyncSession, *, link_id: int) -> bool:
    """Tell whether the library has such a link."""
    return bool((await run(session, _LIBRARY_LINK, link_id=link_id)).one().it)


async def figures_of(session: AsyncSession, *, link_id: int) -> Any | None:
    """Return a library link's (clicks, machine_clicks, clickers, machine_clickers), or None when there is none."""
    return (await run(session, _TALLY, link_id=link_id)).one_or_none()


async def page_of_clicks(
    session: AsyncSession,
    *,
    link_id: int,
    mailing_id: int | None,
    verdicts: Sequence[str],
    since: datetime,
    until: datetime,
    before: Sequence[Any] | None,
    limit: int,
) -> Sequence[Any]:
    """Return at most `limit + 1` clicks on a library link, latest first; `before` are time and id of the last one."""
    at, id_ = before or (until, 2**63 - 1)
    statement = text(_PAGE.format(places=_PLACES[mailing_id is not None])).bindparams(
        *(sa.bindparam(name, type_=_WHEN) for name in ("at", "since", "until")),
        sa.bindparam("verdicts", type_=sa.ARRAY(sa.Text)), sa.bindparam("id", type_=sa.BigInteger),
    )  # fmt: skip
    params = {
        "link_id": link_id, "verdicts": list(verdicts), "since": since, "until": until, "at": at, "id": id_,
        "limit": limit + 1,
    } | ({} if mailing_id is None else {"mailing_id": mailing_id})  # fmt: skip
    return (await run(session, statement, **params)).all()


async def page_of_clickers(
    session: AsyncSession, *, link_id: int, mailing_id: int | None, machines: bool, after: int | None, limit: int
) -> Sequence[Any]:
    """Return at most `limit + 1` recipients who clicked a library link, in the order of their ids."""
    params = {"link_id": link_id, "machines": machines, "after": after or 0, "limit": limit + 1}
    if mailing_id is not None:
        params["mailing_id"] = mailing_id
    statement = text(_CLICKERS if mailing_id is None else _CLICKERS_IN_MAILING)
    return (await run(session, statement, **params)).all()
