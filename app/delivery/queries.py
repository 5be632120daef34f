"""SQL of dispatches: cutting chunks, leasing them, storing results, mending what crashes left (exactness.md)."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.waiting_queries import IS_BLOCKED
from app.delivery.merge_data import BY_RANGE, select_recipients
from app.delivery.models import CHUNK_SIZE, Dispatch
from app.platform.db import run
from app.platform.plans import by_key

_CUT_CHUNKS = text("""
    -- Cuts the recipients behind the dispatch's last_seq into chunks; a second run finds nothing to cut.
    WITH reach AS (
        SELECT d.id, d.last_seq AS cut, (SELECT max(seq) FROM recipient AS r WHERE r.mailing_id = d.mailing_id) AS seq
        FROM dispatch AS d WHERE d.id = :dispatch_id FOR UPDATE
    ), moved AS (
        UPDATE dispatch SET last_seq = reach.seq FROM reach WHERE dispatch.id = reach.id AND reach.seq > reach.cut
    )
    INSERT INTO chunk (dispatch_id, number, first_seq, last_seq, window_end)
    SELECT reach.id, (SELECT count(*) FROM chunk WHERE dispatch_id = reach.id) + row_number() OVER (ORDER BY first),
           first, least(first + :size - 1, reach.seq), first - 1
    FROM reach, generate_series(reach.cut + 1, reach.seq, :size) AS first
""").bindparams(sa.bindparam("size", value=CHUNK_SIZE))

_DUE = """
    (not_before IS NULL OR not_before <= now()) AND (send_before IS NULL OR send_before > now() OR epoch > 0)
"""  # whether the time of a chunk has come, and is not over (D27); one that was begun is seen through

_CLAIM = """
    -- Leases the next due chunk that nobody holds, by chunk_open_idx. Its window is closed: nothing may be started
    -- before a flush has opened one. SKIP LOCKED, so that senders never wait for each other.
    UPDATE chunk SET owner = :owner, epoch = epoch + 1, window_end = first_seq - 1,
                     lease_until = now() + make_interval(secs => :lease)
    WHERE (dispatch_id, number) IN (
        SELECT dispatch_id, number FROM chunk
        WHERE dispatch_id = :dispatch_id AND done_at IS NULL AND owner IS NULL AND {due} AND {which}
        ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING number, epoch, first_seq, last_seq, destination
"""
_HELD = sa.bindparam("held", type_=sa.ARRAY(sa.Text))
_CLAIM_ANY = text(_CLAIM.format(due=_DUE, which="(destination IS NULL OR destination <> ALL(:held))")).bindparams(_HELD)
_CLAIM_KEPT_BACK = text(
    _CLAIM.format(due=_DUE, which="destination IS NOT NULL AND destination <> ALL(:held)")
).bindparams(_HELD)  # chunk_kept_back_idx

_BAR = text(f"""
    -- Blocks the recipients of a chunk whose address was blocked or erased since the list was judged (D47, D59); what
    -- is tried or sent again comes this way, too. By recipient_seq_idx and blocked_address_email_key_key.
    UPDATE recipient AS r SET status = 'blocked', reason = 'blocked_address'
    WHERE r.mailing_id = :mailing_id AND r.seq BETWEEN :first_seq AND :last_seq AND r.status = 'ready' AND {IS_BLOCKED}
""")

_FLUSH = text("""
    -- Stores results, extends windows and renews leases in one commit, guarded by owner and epoch: a sender that was
    -- overtaken gets its chunk's number back no more, and starts nothing more (fenced). What it learned is still true,
    -- so results are stored either way; but a final status is never taken back, hence the list of statuses.
    -- Answers the places (from 1) of the chunks that are still ours, and who of those newly allowed is not ready any
    -- more: blocked since the chunk was read, so not to be sent (D47). Found by primary key: over a range of seq, the
    -- planner would read whole lists. Must stay HOT: no index on a column that it sets.
    -- 'ready' is who was refused for a fault of ours: he stays what he is, with the server's words (suspects.py).
    -- A line without an address was erased while its message was on its way (D78): it is not tried again, and the
    -- server's words, which name the address, are not kept.
    WITH held AS (
        UPDATE chunk AS c
        SET window_end = v.window_end, lease_until = now() + make_interval(secs => :lease),
            done_at = CASE WHEN v.done THEN now() END, owner = CASE WHEN v.done THEN NULL ELSE c.owner END
        FROM unnest(:numbers, :epochs, :window_ends, :dones)
            WITH ORDINALITY AS v (number, epoch, window_end, done, place)
        WHERE c.dispatch_id = :dispatch_id AND c.number = v.number AND c.epoch = v.epoch AND c.owner = :owner
        RETURNING v.place
    ), stored AS (
        UPDATE recipient AS r
        SET status = CASE WHEN v.status = 'deferred' AND r.email_key IS NULL THEN 'blocked'
                          WHEN v.status = 'ready' THEN r.status ELSE v.status END,
            reason = CASE WHEN v.status = 'deferred' AND r.email_key IS NULL THEN 'blocked_address'
                          WHEN v.status = 'ready' THEN r.reason END,
            code = v.code, reply = CASE WHEN r.email_key IS NOT NULL THEN v.reply END, bounce = v.bounce,
            attempts = v.attempt, tried_at = now(),
            first_tried_at = coalesce(r.first_tried_at, CASE WHEN v.status = 'deferred' THEN now() END),
            sent_at = CASE WHEN v.status = 'sent' THEN now() ELSE r.sent_at END,
            bounced_at = CASE WHEN v.status = 'bounced' THEN now() ELSE r.bounced_at END,
            due_at = CASE WHEN v.status = 'deferred' THEN now() + make_interval(secs => v.wait) END
        FROM unnest(:ids, :attempts, :statuses, :codes, :replies, :bounces, :waits)
            AS v (id, attempt, status, code, reply, bounce, wait)
        WHERE r.id = v.id
            AND (r.status IN ('ready', 'blocked') OR (r.status = 'unconfirmed' AND r.attempts = v.attempt))
    )
    SELECT (SELECT coalesce(array_agg(place), '{}') FROM held) AS held,
           (SELECT coalesce(array_agg(id), '{}') FROM recipient
            WHERE id = ANY(:granted) AND status <> 'ready') AS barred,
           (SELECT halted_at IS NOT NULL FROM dispatch WHERE id = :dispatch_id) AS halted
""").bindparams(
    *(
        sa.bindparam(name, type_=sa.ARRAY(sa.Integer))
        for name in ("numbers", "epochs", "window_ends", "attempts", "codes")
    ),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.Text)) for name in ("statuses", "replies", "bounces")),
    sa.bindparam("dones", type_=sa.ARRAY(sa.Boolean)),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.BigInteger)) for name in ("ids", "granted")),
    sa.bindparam("waits", type_=sa.ARRAY(sa.Float)),
)

_RELEASE = text("""
    -- Gives chunks back and closes their windows; done by their own sender, so nothing is in doubt.
    UPDATE chunk SET owner = NULL, lease_until = NULL, window_end = first_seq - 1
    WHERE dispatch_id = :dispatch_id AND owner = :owner AND done_at IS NULL
""")

_RECOVER = text("""
    -- Stores what a dead sender's journal knows. A start without reply becomes unconfirmed. `attempt` tells a start of
    -- this try from one whose result was stored before the crash. Repeatable. Uses recipient_seq_idx.
    UPDATE recipient AS r
    SET status = CASE WHEN v.status = 'deferred' AND r.email_key IS NULL THEN 'blocked' ELSE v.status END,
        reason = CASE WHEN v.status = 'deferred' AND r.email_key IS NULL THEN 'blocked_address' ELSE r.reason END,
        code = v.code, attempts = v.attempt, tried_at = now(),
        first_tried_at = coalesce(r.first_tried_at, CASE WHEN v.status = 'deferred' THEN now() END),
        reply = CASE WHEN v.status = 'unconfirmed' THEN 'The sender was killed before the server replied.' END,
        bounce = CASE WHEN v.status = 'bounced' THEN 'soft' END,
        sent_at = CASE WHEN v.status = 'sent' THEN now() ELSE r.sent_at END,
        bounced_at = CASE WHEN v.status = 'bounced' THEN now() ELSE r.bounced_at END,
        due_at = CASE WHEN v.status = 'deferred' THEN now() + make_interval(secs => :wait) END
    FROM unnest(:dispatches, :seqs, :attempts, :statuses, :codes) AS v (dispatch_id, seq, attempt, status, code)
    JOIN dispatch AS d ON d.id = v.dispatch_id
    WHERE r.mailing_id = d.mailing_id AND r.seq = v.seq
        AND ((r.attempts = v.attempt - 1 AND r.status IN ('ready', 'blocked'))
             OR (r.attempts = v.attempt AND r.status = 'unconfirmed' AND v.status <> 'unconfirmed'))
""").bindparams(
    *(sa.bindparam(name, type_=sa.ARRAY(sa.Integer)) for name in ("seqs", "attempts", "codes")),
    sa.bindparam("dispatches", type_=sa.ARRAY(sa.BigInteger)),
    sa.bindparam("statuses", type_=sa.ARRAY(sa.Text)),
)

_DOUBT = """
    -- What stands inside a committed window without a result may have been sent: it becomes unconfirmed, never sent
    -- again by itself (exactness 5, 6). Then the chunks are free, under a new epoch for whoever comes next.
    WITH lost AS (
        SELECT c.dispatch_id, c.number, c.first_seq, c.window_end, d.mailing_id
        FROM chunk AS c JOIN dispatch AS d ON d.id = c.dispatch_id
        WHERE c.done_at IS NULL AND {which} FOR UPDATE OF c SKIP LOCKED
    ), doubted AS (
        UPDATE recipient AS r
        SET status = 'unconfirmed', attempts = r.attempts + 1, tried_at = now(),
            reply = 'The sender was lost inside its window; nobody knows whether it had been sent.'
        FROM lost WHERE r.mailing_id = lost.mailing_id AND r.seq BETWEEN lost.first_seq AND lost.window_end
            AND r.status = 'ready'
        RETURNING 1
    ), freed AS (
        UPDATE chunk AS c SET owner = NULL, lease_until = NULL, epoch = c.epoch + 1, window_end = c.first_seq - 1
        FROM lost WHERE c.dispatch_id = lost.dispatch_id AND c.number = lost.number
        RETURNING c.dispatch_id
    )
    SELECT (SELECT count(*) FROM doubted) AS doubted, (SELECT count(*) FROM freed) AS freed
"""

_DOUBT_OWNER = text(_DOUBT.format(which="c.owner = :owner"))

_DOUBT_EXPIRED = text(_DOUBT.format(which="c.lease_until < now() - make_interval(secs => :grace)"))

_FREE_OWNER = text("""
    -- Frees the chunks of a dead sender whose journal told everything.
    UPDATE chunk SET owner = NULL, lease_until = NULL, epoch = epoch + 1, window_end = first_seq - 1
    WHERE owner = :owner AND done_at IS NULL
""")

_REQUEUE = """
    -- Puts recipients behind the dispatch's last seq, where new chunks are cut for them. Reads the whole list, as no
    -- index knows the status (results would not be HOT): ask the tallies first.
    UPDATE recipient AS r
    SET status = 'ready', due_at = NULL, seq = again.seq
    FROM (
        SELECT r.id, (SELECT max(seq) FROM recipient WHERE mailing_id = d.mailing_id)
                   + row_number() OVER (ORDER BY r.id) AS seq
        FROM recipient AS r JOIN dispatch AS d ON d.mailing_id = r.mailing_id
        WHERE d.id = :dispatch_id AND {which}
    ) AS again
    WHERE r.id = again.id
"""

_LOCK_DISPATCH = text("SELECT FROM dispatch WHERE id = :dispatch_id FOR NO KEY UPDATE")

_REQUEUE_DUE = text(_REQUEUE.format(which="r.status = 'deferred' AND r.due_at <= now()"))
_REQUEUE_READY = text(_REQUEUE.format(which="r.status = 'ready'"))
_REQUEUE_UNCONFIRMED = text(
    _REQUEUE.format(which="r.status = 'unconfirmed' AND r.attempts < 5 AND r.email_key IS NOT NULL")
)

_OPEN_CHUNKS = text(f"""
    -- How many chunks of a dispatch are not done, how many of them nobody holds though they are due, and how many were
    -- not begun in time (chunk_open_idx).
    SELECT count(*) AS open, count(*) FILTER (WHERE owner IS NULL AND {_DUE}) AS free,
           count(*) FILTER (WHERE owner IS NULL AND epoch = 0 AND send_before <= now()) AS late
    FROM chunk WHERE dispatch_id = :dispatch_id AND done_at IS NULL
""")

FEW_CHUNKS = 2  # so many can be sent within a short turn

_FEW_CHUNKS = text(f"""
    -- Whether few chunks of a dispatch are open and due; by chunk_open_idx.
    SELECT count(*) <= :few AS few
    FROM (SELECT FROM chunk WHERE dispatch_id = :dispatch_id AND done_at IS NULL AND {_DUE} LIMIT :few + 1) AS open
""").bindparams(sa.bindparam("few", value=FEW_CHUNKS, type_=sa.Integer))


async def find_dispatch(session: AsyncSession, *, mailing_id: int) -> Dispatch | None:
    """Return a mailing's dispatch, or None before it was prepared."""
    query = select(Dispatch).where(Dispatch.mailing_id == mailing_id).order_by(col(Dispatch.id).desc()).limit(1)
    return (await session.exec(query)).one_or_none()


async def cut_chunks(session: AsyncSession, *, dispatch_id: int) -> None:
    """Cut the recipients that no chunk covers yet."""
    await session.exec(_CUT_CHUNKS, params={"dispatch_id": dispatch_id})  # type: ignore[call-overload]


async def claim_chunk(
    session: AsyncSession, *, dispatch_id: int, owner: str, lease: float, held: Sequence[str] = ()
) -> Any | None:
    """Lease the next free chunk for `lease` seconds; of kept-back ones, none of a destination in `held`.

    Returns (number, epoch, first_seq, last_seq, destination) or None.
    """
    params = {"dispatch_id": dispatch_id, "owner": owner, "lease": lease, "held": list(held)}
    return (await run(session, _CLAIM_ANY, **params)).one_or_none()


async def claim_kept_back(
    session: AsyncSession, *, dispatch_id: int, owner: str, lease: float, held: Sequence[str]
) -> Any | None:
    """Lease the next free chunk of a limited destination that is not in `held`, as `claim_chunk` does."""
    params = {"dispatch_id": dispatch_id, "owner": owner, "lease": lease, "held": list(held)}
    return (await run(session, _CLAIM_KEPT_BACK, **params)).one_or_none()


async def load_chunk(
    session: AsyncSession, *, mailing_id: int, tags: Sequence[str], first_seq: int, last_seq: int
) -> Sequence[Any]:
    """Return a chunk's recipients as `select_recipients` does, less those whose address is blocked or erased by now."""
    chunk = {"mailing_id": mailing_id, "first_seq": first_seq, "last_seq": last_seq}
    async with by_key(session):
        await run(session, _BAR, **chunk)
        rows: Sequence[Any] = (await run(session, select_recipients(tags, where=BY_RANGE), **chunk)).all()
    return rows


async def flush(session: AsyncSession, **values: Any) -> Any:
    """Run the flush statement; returns (held: places of the chunks still ours, barred: recipient ids, halted)."""
    return (await session.exec(_FLUSH, params=values)).one()  # type: ignore[call-overload]


async def release_chunks(session: AsyncSession, *, dispatch_id: int, owner: str) -> None:
    """Give a sender's chunks back."""
    await session.exec(_RELEASE, params={"dispatch_id": dispatch_id, "owner": owner})  # type: ignore[call-overload]


async def store_journal(session: AsyncSession, *, wait: float, entries: Sequence[tuple[Any, ...]]) -> None:
    """Store journal entries (dispatch, seq, attempt, status, code)."""
    columns = dict(
        zip(("dispatches", "seqs", "attempts", "statuses", "codes"), map(list, zip(*entries, strict=True)), strict=True)
    )
    await session.exec(_RECOVER, params={**columns, "wait": wait})  # type: ignore[call-overload]


async def free_owner(session: AsyncSession, *, owner: str) -> None:
    """Free the chunks of a dead sender whose journal told everything."""
    await session.exec(_FREE_OWNER, params={"owner": owner})  # type: ignore[call-overload]


async def doubt_owner(session: AsyncSession, *, owner: str) -> Any:
    """Doubt what a dead sender's windows hold, and free its chunks; returns (doubted, freed)."""
    return (await session.exec(_DOUBT_OWNER, params={"owner": owner})).one()  # type: ignore[call-overload]


async def doubt_expired(session: AsyncSession, *, grace: float) -> Any:
    """Doubt the windows of leases that ended over `grace` seconds ago; returns (doubted, freed)."""
    return (await session.exec(_DOUBT_EXPIRED, params={"grace": grace})).one()  # type: ignore[call-overload]


async def lock_dispatch(session: AsyncSession, *, dispatch_id: int) -> None:
    """Let nobody else give out places behind a dispatch's list until the commit: they would be the same ones."""
    await run(session, _LOCK_DISPATCH, dispatch_id=dispatch_id)


async def requeue_due(session: AsyncSession, *, dispatch_id: int) -> int:
    """Put deferred recipients whose time has come behind the others; return how many."""
    return int((await session.exec(_REQUEUE_DUE, params={"dispatch_id": dispatch_id})).rowcount)  # type: ignore[call-overload]


async def requeue_ready(session: AsyncSession, *, dispatch_id: int) -> int:
    """Put recipients that became ready behind the chunk that had passed them over at the end; return how many."""
    return int((await session.exec(_REQUEUE_READY, params={"dispatch_id": dispatch_id})).rowcount)  # type: ignore[call-overload]


async def requeue_unconfirmed(session: AsyncSession, *, dispatch_id: int) -> int:
    """Put unconfirmed recipients behind the others, for the policy `resend` (D34); return how many."""
    return int((await session.exec(_REQUEUE_UNCONFIRMED, params={"dispatch_id": dispatch_id})).rowcount)  # type: ignore[call-overload]


async def has_few_chunks(session: AsyncSession, *, dispatch_id: int) -> bool:
    """Tell whether at most FEW_CHUNKS of a dispatch are due and not done."""
    return bool((await run(session, _FEW_CHUNKS, dispatch_id=dispatch_id)).one().few)


async def count_open_chunks(session: AsyncSession, *, dispatch_id: int) -> Any:
    """Return (open: chunks that are not done, free: due and held by nobody, late: not begun in time)."""
    return (await run(session, _OPEN_CHUNKS, dispatch_id=dispatch_id)).one()
