"""SQL of what answers a click: responses and scripts that may redirect, and what such a script is told."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_ANSWERING = """
    FROM link_action AS a
    LEFT JOIN script AS s ON a.kind = 'script' AND s.id = (a.settings ->> 'script_id')::bigint
    WHERE a.kind = 'response' OR (a.kind = 'script' AND a.settings @> '{"may_redirect": true}')
"""

_STAMP = text(f"""
    -- Something that is another one whenever what answers clicks has changed. Every process asks every two seconds; a
    -- look at all actions, of which ten thousand take some milliseconds.
    SELECT md5(coalesce(string_agg(concat_ws(' ', a.id, a.updated_at, s.updated_at), ',' ORDER BY a.id), '')) AS stamp
    {_ANSWERING}
""")

_ANSWERS = text(f"""
    -- What answers clicks, by library link.
    SELECT a.library_link_id, a.kind, a.settings, s.id AS script_id, s.url, s.timeout_ms, s.secret_salt
    {_ANSWERING}
    ORDER BY a.library_link_id, a.position, a.id
""")

_ASKED = text("""
    -- What a script is told of a click that is waiting for it: by primary keys and engagement_recipient_idx. The click
    -- itself may be stored already, so what is younger than a second is left out of the hits, and it counts as one.
    -- Nothing of a person who does not want clicks tracked by now (D43): the condition of store_engagement.
    SELECT :recipient_id AS recipient_id, rc.person_id, rc.company_id, rc.name, rc.email, p.external_id,
           :library_link_id AS library_link_id, l.name AS link_name, :mailing_id AS mailing_id, m.name AS mailing_name,
           t.target, now() AS clicked_at, 1 + (
               SELECT count(*) FROM engagement AS e JOIN link AS k ON k.id = e.link_id
               WHERE e.recipient_id = rc.id AND e.kind = 'click' AND e.verdict = 'human'
                   AND k.library_link_id = :library_link_id AND e.occurred_at < now() - interval '1 s'
           ) AS human
    FROM recipient AS rc
    LEFT JOIN person AS p ON p.id = rc.person_id
    LEFT JOIN consent_state AS c ON c.person_id = rc.person_id AND c.purpose = 'track_clicks'
    LEFT JOIN library_link AS l ON l.id = :library_link_id
    LEFT JOIN link AS t ON t.id = :link_id
    LEFT JOIN mailing AS m ON m.id = :mailing_id
    WHERE rc.id = :recipient_id AND (rc.person_id IS NOT NULL OR rc.company_id IS NOT NULL OR rc.email <> '')
        AND coalesce(c.given AND (c.valid_until IS NULL OR c.valid_until > now()), :track_unknown)
""").bindparams(
    sa.bindparam("track_unknown", type_=sa.Boolean),
    *(
        sa.bindparam(name, type_=sa.BigInteger)
        for name in ("recipient_id", "library_link_id", "mailing_id", "link_id")
    ),
)  # fmt: skip


async def stamp(session: AsyncSession) -> str:
    """Return what tells one state of what answers clicks from another."""
    return str((await run(session, _STAMP)).one().stamp)


async def answers(session: AsyncSession) -> Sequence[Any]:
    """Return every action that answers clicks, with its script."""
    return (await run(session, _ANSWERS)).all()


async def asked(
    session: AsyncSession,
    *,
    recipient_id: int,
    library_link_id: int,
    mailing_id: int,
    link_id: int,
    track_unknown: bool,
) -> Any | None:
    """Return what a script is told of a click; None for a recipient who is gone, erased, or not to be tracked (D43)."""
    params = {
        "recipient_id": recipient_id, "library_link_id": library_link_id, "mailing_id": mailing_id, "link_id": link_id,
        "track_unknown": track_unknown,
    }  # fmt: skip
    return (await run(session, _ASKED, **params)).one_or_none()
