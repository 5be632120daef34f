"""SQL of a person's timeline: a page's worth of each source, newest first.

Every statement gives at most :limit rows that are in front of the key (:at, :kind, :id), at :since or later, by
(moment, kind, id) downwards; moments, kinds and ids never change once a row has them, but for marks that are taken
back. Kinds are compared octet by octet, as Python does.

Lines of lists cannot be walked in the order of time: no index may know what results set, or sending would write it for
every message. So a person's lines are read by recipient_person_idx, as many as mailings had this person.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.plans import by_key


def _page(moment: str, kind: str, key: str) -> str:
    """Return the condition of the next page; the first part of it is what an index on the moment can use."""
    return f"""
        {moment} BETWEEN :since AND :at
        AND ({moment}, ({kind}) COLLATE "C", {key}) < (:at, cast(:kind AS text) COLLATE "C", :id)
    """


def _newest(moment: str, kind: str, key: str) -> str:
    return f'ORDER BY {moment} DESC, ({kind}) COLLATE "C" DESC, {key} DESC LIMIT :limit'


def _statement(words: str) -> TextClause:
    types: dict[str, Any] = {
        "person_id": sa.BigInteger(), "at": sa.DateTime(timezone=True), "since": sa.DateTime(timezone=True),
        "kind": sa.Text(), "id": sa.BigInteger(), "limit": sa.Integer(), "kinds": sa.ARRAY(sa.Text),
        "verdicts": sa.ARRAY(sa.Text),
    }  # fmt: skip
    return text(words).bindparams(*(sa.bindparam(name, type_=of) for name, of in types.items() if f":{name}" in words))


_EXISTS = text("SELECT EXISTS (SELECT FROM person WHERE id = :person_id) AS found").bindparams(
    sa.bindparam("person_id", type_=sa.BigInteger)
)

LINES = _statement(f"""
    -- What became of the lines of the person, several entries of some: by recipient_person_idx, names by primary key.
    SELECT f.*, m.name AS mailing FROM (
        SELECT v.moment, v.kind, r.id, r.mailing_id, r.id AS recipient_id, r.bounce,
               CASE WHEN v.kind IN ('failed', 'unconfirmed', 'bounced') THEN r.code END AS code,
               CASE WHEN v.kind IN ('failed', 'unconfirmed', 'bounced') THEN r.reply END AS reply
        FROM recipient AS r CROSS JOIN LATERAL (VALUES
            ('sent', r.sent_at), ('bounced', r.bounced_at), ('unsubscribed', r.unsubscribed_at),
            ('complained', r.complained_at),
            (r.status, CASE WHEN r.status IN ('failed', 'unconfirmed') THEN coalesce(r.tried_at, r.created_at) END)
        ) AS v (kind, moment)
        WHERE r.person_id = :person_id AND v.kind = ANY(:kinds) AND {_page("v.moment", "v.kind", "r.id")}
        {_newest("v.moment", "v.kind", "r.id")}
    ) AS f LEFT JOIN mailing AS m ON m.id = f.mailing_id
""")

_EVENTS = f"""
    SELECT e.occurred_at AS moment, e.kind, e.id, e.link_id, e.verdict, e.reasons FROM engagement AS e
    WHERE e.recipient_id = :line AND e.kind = ANY(:kinds) AND e.verdict = ANY(:verdicts)
        AND {_page("e.occurred_at", "e.kind", "e.id")}
    {_newest("e.occurred_at", "e.kind", "e.id")}
"""

ENGAGEMENT = _statement(f"""
    -- Opens and clicks. Of each line that has any, the newest one, by engagement_recipient_idx read backwards; then as
    -- many events of as many lines as a page has: those are all that can be on it. No event is looked at that is older,
    -- except to find one of the wanted kinds and verdicts.
    SELECT f.*, m.name AS mailing, l.target, l.library_link_id, k.name AS library_link FROM (
        SELECT e.*, r.id AS recipient_id, r.mailing_id
        FROM (
            SELECT r.id, r.mailing_id FROM recipient AS r
            CROSS JOIN LATERAL ({_EVENTS.replace(":line", "r.id").replace(":limit", "1")}) AS newest
            WHERE r.person_id = :person_id AND coalesce(
                CASE WHEN 'open' = ANY(:kinds) THEN coalesce(r.opened_at, r.machine_opened_at) END,
                CASE WHEN 'click' = ANY(:kinds) THEN coalesce(r.clicked_at, r.machine_clicked_at) END
            ) IS NOT NULL
            {_newest("newest.moment", "newest.kind", "newest.id")}
        ) AS r CROSS JOIN LATERAL ({_EVENTS.replace(":line", "r.id")}) AS e
        {_newest("e.moment", "e.kind", "e.id")}
    ) AS f
    LEFT JOIN mailing AS m ON m.id = f.mailing_id
    LEFT JOIN link AS l ON l.id = f.link_id
    LEFT JOIN library_link AS k ON k.id = l.library_link_id
""")

CONSENTS = _statement(f"""
    -- Lines of the ledger, when they were written: by consent_person_purpose_idx.
    SELECT created_at AS moment, 'consent' AS kind, id, purpose, action, legal_basis, source, valid_from, valid_until
    FROM consent WHERE person_id = :person_id AND {_page("created_at", "'consent'", "id")}
    {_newest("created_at", "'consent'", "id")}
""")

SUBSCRIPTIONS = _statement(f"""
    -- The last answer to each type, which stays, and those before as long as the feed of events is kept: both have the
    -- time of their transaction. By subscription_pkey and event_person_idx; names by primary key.
    SELECT f.*, t.name AS subscription_type FROM (
        SELECT a.moment, k.kind, a.id, a.subscription_type_id, a.subscribed, a.source FROM (
            SELECT changed_at AS moment, subscription_type_id AS id, subscription_type_id, subscribed, source
            FROM subscription WHERE person_id = :person_id
            UNION ALL
            SELECT e.occurred_at, e.id, (e.data ->> 'subscription_type_id')::bigint,
                   (e.data ->> 'subscribed')::boolean, NULL
            FROM event AS e WHERE e.person_id = :person_id AND e.type = 'subscription.changed'
                AND NOT EXISTS (
                    SELECT FROM subscription AS s WHERE s.person_id = :person_id AND s.changed_at = e.occurred_at
                        AND s.subscription_type_id = (e.data ->> 'subscription_type_id')::bigint)
        ) AS a CROSS JOIN (VALUES ('subscription')) AS k (kind)
        WHERE {_page("a.moment", "k.kind", "a.id")}
        {_newest("a.moment", "k.kind", "a.id")}
    ) AS f LEFT JOIN subscription_type AS t ON t.id = f.subscription_type_id
""")

RUNS = _statement(f"""
    -- What actions of links did, at the time of the click: by recipient_person_idx and action_run_once_idx, of lines
    -- that have a click; names by primary key.
    SELECT f.*, m.name AS mailing, k.name AS library_link FROM (
        SELECT a.clicked_at AS moment, 'action' AS kind, a.id, a.kind AS action, a.state, a.detail, a.tried_at,
               a.library_link_id, a.mailing_id, a.recipient_id
        FROM recipient AS r JOIN action_run AS a ON a.recipient_id = r.id
        WHERE r.person_id = :person_id AND coalesce(r.clicked_at, r.machine_clicked_at) IS NOT NULL
            AND {_page("a.clicked_at", "'action'", "a.id")}
        {_newest("a.clicked_at", "'action'", "a.id")}
    ) AS f
    LEFT JOIN mailing AS m ON m.id = f.mailing_id
    LEFT JOIN library_link AS k ON k.id = f.library_link_id
""")


def _collected(table: str, kind: str, columns: str) -> TextClause:
    return _statement(f"""
        -- By {table}_person_id_idx; names by primary key.
        SELECT f.*, m.name AS mailing, k.name AS library_link FROM (
            SELECT created_at AS moment, '{kind}' AS kind, id, mailing_id, library_link_id, recipient_id, owner_name,
                   owner_email, taken_over_at, external_id, {columns}
            FROM {table} WHERE person_id = :person_id AND {_page("created_at", f"'{kind}'", "id")}
            {_newest("created_at", f"'{kind}'", "id")}
        ) AS f
        LEFT JOIN mailing AS m ON m.id = f.mailing_id
        LEFT JOIN library_link AS k ON k.id = f.library_link_id
    """)


FOLLOW_UPS = _collected("follow_up", "follow_up", "type, description")
REQUESTS = _collected("request", "request", "title, priority, category")


async def person_exists(session: AsyncSession, *, person_id: int) -> bool:
    """Tell whether there is such a person."""
    return bool((await run(session, _EXISTS, person_id=person_id)).one().found)


async def read(session: AsyncSession, statements: Sequence[TextClause], params: Mapping[str, Any]) -> list[Any]:
    """Return the rows of statements of this module, each run with those of the parameters that it takes."""
    rows: list[Any] = []
    async with by_key(session):
        for statement in statements:
            wanted = {name: params[name] for name in statement.compile().params}
            rows += await run(session, statement, **wanted)
    return rows
