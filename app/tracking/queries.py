"""Storing engagement, finding links and what fills their targets."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.merge_tags import CONTACT_TAGS
from app.content.tag_columns import contact_value
from app.platform.db import run
from app.tracking.action_queries import ENTER_RUNS
from app.tracking.models import Link
from app.tracking.verdicts import (
    BURST,
    BURST_LINKS,
    BURST_LOOKBACK,
    BURST_SECONDS,
    BURST_SMALLEST_MAILING,
    RULE_VERSION,
    TOO_SOON,
)

RECORDER_LOCK = 0x42554453  # an advisory lock's key, taken by nothing else

DRAIN = "SELECT pg_temp.drain_engagement($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
"""Store a batch of a spool: (owner, number before, number after, columns …); returns the number it is drained to."""

DRAINED = "SELECT coalesce((SELECT drained FROM engagement_spool WHERE owner = $1), 0)"

FINISHED = "UPDATE engagement_spool SET finished_at = now() WHERE owner = $1"

FORGET_FINISHED = """
    -- The rows of spools that were deleted: kept for a month, since a copy of the directory may be brought back.
    DELETE FROM engagement_spool WHERE finished_at < now() - interval '30 days'
"""

# A recipient's latest clicks around those of the group: engagement_recipient_idx, read backwards.
_CLICKS_AROUND = f"""
    (
        SELECT recipient_id, min(moment) AS since, max(moment) AS until
        FROM unnest(kinds, recipient_ids, moments) AS e (kind, recipient_id, moment)
        WHERE kind = 'click' GROUP BY recipient_id
    ) AS g
    CROSS JOIN LATERAL (
        SELECT id, mailing_id, link_id, occurred_at
        FROM engagement
        WHERE recipient_id = g.recipient_id AND kind = 'click'
          AND occurred_at BETWEEN g.since - interval '{BURST_SECONDS} s' AND g.until + interval '{BURST_SECONDS} s'
        ORDER BY occurred_at DESC LIMIT {BURST_LOOKBACK}
    ) AS c
"""

DEFINE_STORE = f"""
-- Stores a group of events with their verdicts, judges bursts, and sets the recipients' marks: one call, one commit.
-- It lives in the session (pg_temp), so that two versions of the service, with different rules, run side by side.
-- Every statement finds its rows by key; each must see what the one before it did, so they stay apart.
CREATE FUNCTION pg_temp.store_engagement(
    kinds text[], mailing_ids bigint[], recipient_ids bigint[], link_ids bigint[], moments timestamptz[],
    methods text[], agents text[], verdicts text[], reason_lists text[], machine_seconds double precision
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
    suspects bigint[];
    rejudged bigint[];
BEGIN
    -- Groups of several processes go one after another, each seeing what was stored before: a burst spread over
    -- processes is seen whole by the last of them, and two groups never wait for each other in a circle. They would
    -- queue for the rows of the tally anyway.
    PERFORM pg_advisory_xact_lock({RECORDER_LOCK});

    ids := ARRAY(
        SELECT nextval(pg_get_serial_sequence('engagement', 'id')) FROM generate_series(1, cardinality(kinds))
    );

    -- An open of a recipient who is gone belongs to no mailing any more; a click does, by its link.
    INSERT INTO engagement (
        id, kind, mailing_id, recipient_id, link_id, occurred_at, method, user_agent, verdict, reasons, rule_version
    )
    SELECT e.id, e.kind, coalesce(e.mailing_id, r.mailing_id), e.recipient_id, e.link_id, e.moment, e.method, e.agent,
           CASE WHEN s.soon THEN 'machine' ELSE e.verdict END,
           string_to_array(e.reasons, ',') || CASE WHEN s.soon THEN ARRAY['{TOO_SOON}'] ELSE ARRAY[]::text[] END,
           {RULE_VERSION}
    FROM unnest(ids, kinds, mailing_ids, recipient_ids, link_ids, moments, methods, agents, verdicts, reason_lists)
        AS e (id, kind, mailing_id, recipient_id, link_id, moment, method, agent, verdict, reasons)
    LEFT JOIN recipient AS r ON r.id = e.recipient_id
    CROSS JOIN LATERAL (
        SELECT machine_seconds > 0 AND CASE
            WHEN r.sent_at IS NULL THEN r.status = 'ready' ELSE e.moment < r.sent_at + machine_seconds * interval '1 s'
        END AS soon
    ) AS s
    WHERE coalesce(e.mailing_id, r.mailing_id) IS NOT NULL;

    SELECT array_agg(recipient_id) INTO suspects FROM (
        SELECT g.recipient_id FROM {_CLICKS_AROUND}
        GROUP BY g.recipient_id HAVING count(DISTINCT c.link_id) >= {BURST_SMALLEST_MAILING}
    ) AS several;

    IF suspects IS NOT NULL THEN
        WITH around AS (
            SELECT g.recipient_id, c.* FROM {_CLICKS_AROUND} WHERE g.recipient_id = ANY (suspects)
        ), needed AS (
            -- How many different links make a burst: all of a mailing that has few.
            SELECT m.mailing_id, greatest({BURST_SMALLEST_MAILING}, least({BURST_LINKS}, (
                SELECT count(*) FROM (SELECT FROM link WHERE mailing_id = m.mailing_id LIMIT {BURST_LINKS}) AS l
            ))) AS links
            FROM (SELECT DISTINCT mailing_id FROM around) AS m
        ), bursts AS (
            -- Stretches of time, each from a click on, in which so many were clicked.
            SELECT a.recipient_id, a.occurred_at AS since
            FROM around AS a
            JOIN needed AS n USING (mailing_id)
            JOIN around AS b ON b.recipient_id = a.recipient_id
                AND b.occurred_at BETWEEN a.occurred_at AND a.occurred_at + interval '{BURST_SECONDS} s'
            GROUP BY a.id, a.recipient_id, a.occurred_at, n.links HAVING count(DISTINCT b.link_id) >= n.links
        ), judged AS (
            UPDATE engagement
            SET verdict = 'machine', reasons = array_append(reasons, '{BURST}'), rule_version = {RULE_VERSION}
            WHERE NOT '{BURST}' = ANY (reasons) AND id IN (
                SELECT a.id FROM around AS a JOIN bursts AS s ON s.recipient_id = a.recipient_id
                    AND a.occurred_at BETWEEN s.since AND s.since + interval '{BURST_SECONDS} s'
            )
            RETURNING id
        )
        SELECT array_agg(id) INTO rejudged FROM judged;

        -- A mark that stood for a click now judged a machine's moves to the first human click, if there is one.
        UPDATE recipient AS r
        SET clicked_at = (
            SELECT min(occurred_at) FROM engagement
            WHERE recipient_id = r.id AND kind = 'click' AND verdict = 'human'
        )
        FROM (
            SELECT recipient_id, min(occurred_at) AS since, max(occurred_at) AS until
            FROM engagement WHERE id = ANY (rejudged) GROUP BY recipient_id
        ) AS m
        WHERE r.id = m.recipient_id AND r.clicked_at BETWEEN m.since AND m.until;
    END IF;

    -- Marks are the times of the first event of their kind; a repeat writes nothing.
    UPDATE recipient AS r
    SET opened_at = least(r.opened_at, m.opened), machine_opened_at = least(r.machine_opened_at, m.machine_opened),
        clicked_at = least(r.clicked_at, m.clicked), machine_clicked_at = least(r.machine_clicked_at, m.machine_clicked)
    FROM (
        SELECT recipient_id,
               min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'human') AS opened,
               min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'machine') AS machine_opened,
               min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'human') AS clicked,
               min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'machine') AS machine_clicked
        FROM engagement WHERE id = ANY (ids || rejudged) GROUP BY recipient_id
    ) AS m
    WHERE r.id = m.recipient_id AND (
        m.opened < coalesce(r.opened_at, 'infinity') OR m.machine_opened < coalesce(r.machine_opened_at, 'infinity')
        OR m.clicked < coalesce(r.clicked_at, 'infinity')
        OR m.machine_clicked < coalesce(r.machine_clicked_at, 'infinity')
    );

    {ENTER_RUNS}
END $$
"""

DEFINE_DRAIN = """
-- Stores what a spool has from number `before` to `upto`, and that it is drained so far: both or neither. Returns how
-- far it is drained; where that is not `upto`, nothing was stored, since somebody stored it before.
CREATE FUNCTION pg_temp.drain_engagement(
    spool text, before bigint, upto bigint, kinds text[], mailing_ids bigint[], recipient_ids bigint[],
    link_ids bigint[], moments timestamptz[], methods text[], agents text[], verdicts text[], reason_lists text[],
    machine_seconds double precision
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    UPDATE engagement_spool SET drained = upto, updated_at = now(), finished_at = NULL
    WHERE owner = spool AND drained = before;
    IF NOT FOUND THEN
        INSERT INTO engagement_spool (owner, drained) SELECT spool, upto WHERE before = 0 ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN coalesce((SELECT drained FROM engagement_spool WHERE owner = spool), 0);
        END IF;
    END IF;
    IF cardinality(kinds) > 0 THEN
        PERFORM pg_temp.store_engagement(
            kinds, mailing_ids, recipient_ids, link_ids, moments, methods, agents, verdicts, reason_lists,
            machine_seconds
        );
    END IF;
    RETURN upto;
END $$
"""


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
    -- A page of a mailing's links with their clicks: link_target_idx and the tally's primary key. Once it is frozen,
    -- those that were sent; before that, those of the latest preview or test.
    -- The tally is by the hour, so the sum is over hours, never over events.
    SELECT l.id, l.position, l.target, l.library_link_id, l.honeypot,
           coalesce(t.human, 0) AS human, coalesce(t.machine, 0) AS machine
    FROM link AS l
    LEFT JOIN LATERAL (
        SELECT sum(events) FILTER (WHERE verdict = 'human') AS human,
               sum(events) FILTER (WHERE verdict = 'machine') AS machine
        FROM engagement_tally WHERE mailing_id = l.mailing_id AND link_id = l.id AND kind = 'click'
    ) AS t ON true
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
