"""SQL of runs: what is due, what is known of it, what came of it."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions.models import ActionKind, ActionRun, RunState
from app.actions.outcomes import Outcome
from app.platform.db import run

LEASE_SECONDS = 60  # a claimed call of a script whose worker died is made again after this

_IS_DUE = """
    state IN ('held', 'waiting')
    AND due_at <= now() - make_interval(secs => CASE state WHEN 'held' THEN cast(:hold AS float) ELSE 0 END)
"""

_DUE = text(f"""
    -- Which of the two jobs have something to do: action_run_due_idx holds what is not over.
    SELECT coalesce(bool_or(kind <> 'script'), false) AS actions, coalesce(bool_or(kind = 'script'), false) AS scripts
    FROM (SELECT DISTINCT kind FROM (
        SELECT kind FROM action_run WHERE {_IS_DUE} ORDER BY due_at LIMIT 1000
    ) AS few) AS kinds
""")

_CLAIM = text(f"""
    -- The next runs that are due, locked until the commit: what is done for them and that it is done end together, so
    -- a killed worker leaves both or neither. By action_run_due_idx; those of one click in the order of its actions.
    SELECT id FROM action_run WHERE {_IS_DUE} AND (kind = 'script') = :scripts
    ORDER BY due_at, id LIMIT :most FOR UPDATE SKIP LOCKED
""").bindparams(sa.bindparam("scripts", type_=sa.Boolean))

_FACTS = text("""
    -- What is known of claimed runs: the action as it is now, the line and its person, and the clicks of this line on
    -- the link (a library link may be in a mailing at several places). By primary keys and engagement_recipient_idx.
    -- An erased person's lines have neither name nor address (decision 14).
    SELECT r.id, r.action_id, r.kind, r.state, r.attempts, r.clicked_at, r.library_link_id, r.recipient_id,
           r.mailing_id, r.link_id, a.settings, rc.id IS NOT NULL AS has_line,
           coalesce(rc.email = '' AND rc.name = '' AND rc.person_id IS NULL AND rc.company_id IS NULL, false) AS erased,
           rc.person_id, rc.company_id, rc.name, rc.email, p.id IS NOT NULL AS has_person, p.external_id,
           p.our_contact_name, p.our_contact_email, c.human, c.reasons, l.name AS link_name, t.target,
           m.name AS mailing_name
    FROM action_run AS r
    LEFT JOIN link_action AS a ON a.id = r.action_id
    LEFT JOIN library_link AS l ON l.id = r.library_link_id
    LEFT JOIN link AS t ON t.id = r.link_id
    LEFT JOIN mailing AS m ON m.id = r.mailing_id
    LEFT JOIN recipient AS rc ON rc.id = r.recipient_id
    LEFT JOIN person AS p ON p.id = rc.person_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE e.verdict = 'human') AS human, array(
            SELECT DISTINCT reason FROM engagement AS o CROSS JOIN LATERAL unnest(o.reasons) AS reason
            WHERE o.recipient_id = r.recipient_id AND o.kind = 'click' AND o.verdict = 'machine' AND o.link_id IN (
                SELECT id FROM link WHERE mailing_id = r.mailing_id AND library_link_id = r.library_link_id)
            ORDER BY reason) AS reasons
        FROM engagement AS e JOIN link AS k ON k.id = e.link_id
        WHERE e.recipient_id = r.recipient_id AND e.kind = 'click' AND k.library_link_id = r.library_link_id
    ) AS c
    WHERE r.id = ANY(:ids)
    ORDER BY r.due_at, r.id
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_SETTLE = text("""
    UPDATE action_run
    SET state = :state, detail = :detail, attempts = attempts + :tries, tried_at = now(),
        due_at = now() + make_interval(secs => :wait)
    WHERE id = :id
""").bindparams(
    sa.bindparam("detail", type_=sa.Text), sa.bindparam("wait", type_=sa.Float), sa.bindparam("tries", type_=sa.Integer)
)

_OUTCOMES = text("""
    -- How the runs of a link fare, those of deleted actions as well: counted in action_run_outcomes_idx alone, so that
    -- no row is read.
    SELECT action_id, kind, state, count(*) AS runs FROM action_run
    WHERE library_link_id = :link_id GROUP BY action_id, kind, state ORDER BY action_id
""")

_REPEAT = text("""
    -- Runs that may be done again, at once and whatever their clicks' verdict: somebody asks for it by hand.
    UPDATE action_run SET state = 'waiting', due_at = now(), attempts = 0
    WHERE id = :id AND (state IN ('failed', 'skipped', 'dropped') OR (kind = 'script' AND state = 'done'))
""")

_REPEAT_FAILED = text("""
    -- Every failed run, of a link, a mailing or an action where told; by action_run_failed_idx.
    UPDATE action_run SET state = 'waiting', due_at = now(), attempts = 0
    WHERE state = 'failed' AND (cast(:link_id AS bigint) IS NULL OR library_link_id = :link_id)
        AND (cast(:mailing_id AS bigint) IS NULL OR mailing_id = :mailing_id)
        AND (cast(:action_id AS bigint) IS NULL OR action_id = :action_id)
""").bindparams(*(sa.bindparam(name, type_=sa.BigInteger) for name in ("link_id", "mailing_id", "action_id")))


async def due(session: AsyncSession, *, hold: float) -> tuple[bool, bool]:
    """Tell whether actions, and whether calls of scripts, are due; `hold` is how long clicks are held, in seconds."""
    row = (await run(session, _DUE, hold=hold)).one()
    return bool(row.actions), bool(row.scripts)


async def claim(session: AsyncSession, *, hold: float, scripts: bool, most: int) -> Sequence[Any]:
    """Lock the next runs that are due, and return what is known of them (`_FACTS`)."""
    ids = [row.id for row in await run(session, _CLAIM, hold=hold, scripts=scripts, most=most)]
    return (await run(session, _FACTS, ids=ids)).all() if ids else []


async def settle(session: AsyncSession, *, run_id: int, outcome: Outcome, tries: int = 1) -> None:
    """Store what came of a run, and that it was tried."""
    await run(
        session, _SETTLE, id=run_id, state=outcome.state.value, detail=outcome.detail, wait=outcome.wait, tries=tries
    )


async def outcomes(session: AsyncSession, *, link_id: int) -> Sequence[Any]:
    """Return rows (action_id, kind, state, runs) of a link, in the order of the actions' ids."""
    return (await run(session, _OUTCOMES, link_id=link_id)).all()


async def repeat(session: AsyncSession, *, run_id: int) -> bool:
    """Plan a run again; return whether it may be."""
    return bool((await run(session, _REPEAT, id=run_id)).rowcount)


async def repeat_failed(
    session: AsyncSession, *, link_id: int | None, mailing_id: int | None, action_id: int | None
) -> int:
    """Plan every failed run again that fits; return how many."""
    params = {"link_id": link_id, "mailing_id": mailing_id, "action_id": action_id}
    return int((await run(session, _REPEAT_FAILED, **params)).rowcount)


async def find_run(session: AsyncSession, *, run_id: int) -> ActionRun | None:
    """Return a run as the database has it now, or None."""
    query = select(ActionRun).where(ActionRun.id == run_id).execution_options(populate_existing=True)
    return (await session.exec(query)).one_or_none()


async def page_of_runs(
    session: AsyncSession, *, equal: dict[str, int | None], state: RunState | None, kind: ActionKind | None,
    below: int | None, limit: int,
) -> Sequence[ActionRun]:  # fmt: skip
    """Return at most `limit + 1` runs, newest first, with columns that equal what is given.

    By action_run_link_idx, action_run_mailing_idx, action_run_once_idx or action_run_failed_idx.
    """
    query = select(ActionRun).order_by(col(ActionRun.id).desc()).limit(limit + 1)
    for column, value in equal.items():
        if value is not None:
            query = query.where(getattr(ActionRun, column) == value)
    if state is not None:
        query = query.where(ActionRun.state == state)
    if kind is not None:
        query = query.where(ActionRun.kind == kind)
    if below is not None:
        query = query.where(col(ActionRun.id) < below)
    return (await session.exec(query)).all()
