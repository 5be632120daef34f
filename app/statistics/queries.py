"""Reading tallies; their size does not grow with events."""

from typing import Any

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_ENGAGEMENT = text("""
    -- Events of a mailing by kind and verdict: a sum over its hours and links (engagement_tally_pkey), not over events.
    SELECT kind, verdict, sum(events)::bigint AS events FROM engagement_tally
    WHERE mailing_id = :mailing_id GROUP BY kind, verdict
""")

_RECOUNT_RECIPIENTS = text("""
    -- What the recipient tallies must equal, counted anew.
    SELECT v.name, sum(v.n)::bigint AS value
    FROM (
        SELECT status, reason, bounce, count(*) AS lines, count(opened_at) AS opened,
               count(coalesce(opened_at, machine_opened_at)) AS opened_total, count(clicked_at) AS clicked,
               count(coalesce(clicked_at, machine_clicked_at)) AS clicked_total,
               count(unsubscribed_at) AS unsubscribed, count(complained_at) AS complained, count(sent_at) AS accepted
        FROM recipient WHERE mailing_id = :mailing_id GROUP BY status, reason, bounce
    ) AS g,
    LATERAL (VALUES
        ('total', g.lines), (g.status, g.lines),
        ('blocked:' || g.reason, CASE WHEN g.status = 'blocked' THEN g.lines END),
        ('bounced:' || g.bounce, CASE WHEN g.status = 'bounced' THEN g.lines END),
        ('accepted', g.accepted), ('opened', g.opened), ('opened_total', g.opened_total), ('clicked', g.clicked),
        ('clicked_total', g.clicked_total), ('unsubscribed', g.unsubscribed), ('complained', g.complained)
    ) AS v (name, n)
    WHERE v.name IS NOT NULL AND v.n > 0 GROUP BY v.name
""")

_RECOUNT_ENGAGEMENT = text("""
    -- What the engagement tallies must equal, counted anew.
    SELECT kind, verdict, count(*) AS events FROM engagement WHERE mailing_id = :mailing_id GROUP BY kind, verdict
""")


async def recount_recipients(session: AsyncSession, *, mailing_id: int) -> dict[str, int]:
    """Return what a mailing's recipient tallies must equal, by name."""
    rows: Any = await run(session, _RECOUNT_RECIPIENTS, mailing_id=mailing_id)
    return {row.name: row.value for row in rows if row.value}


async def read_engagement(
    session: AsyncSession, *, mailing_id: int, recount: bool = False
) -> dict[tuple[str, str], int]:
    """Return a mailing's events by (kind, verdict); with `recount`, what the tallies must equal."""
    query = _RECOUNT_ENGAGEMENT if recount else _ENGAGEMENT
    rows: Any = await run(session, query, mailing_id=mailing_id)
    return {(row.kind, row.verdict): row.events for row in rows if row.events}
