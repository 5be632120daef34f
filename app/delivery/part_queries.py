"""SQL of parts: recipients by time zone, chunks that wait, and those whose time is over (D27)."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.models import CHUNK_SIZE
from app.platform.db import run
from app.platform.plans import whole_sets

TOO_LATE = "Not sent: its turn had not come before the time it was to be sent before (send_before)."

_ZONES = text("""
    -- How many ready recipients each time zone has; "" are those whose own is not known. Reads the whole list.
    SELECT coalesce(p.time_zone, '') AS zone, count(*) AS recipients
    FROM recipient AS r LEFT JOIN person AS p ON p.id = r.person_id
    WHERE r.mailing_id = :mailing_id AND r.status = 'ready'
    GROUP BY 1
""")

_LAST_SEQ = text("SELECT coalesce(max(seq), 0) AS seq FROM recipient WHERE mailing_id = :mailing_id")

_MOVE = text("""
    -- Puts the ready recipients of some time zones behind all others, place by place; answers the range of each place.
    -- A person who got another zone since they were counted stays, or moves along: each place is one range either way.
    WITH moved AS (
        UPDATE recipient AS r SET seq = behind.seq
        FROM (
            SELECT r.id, z.place, (SELECT max(seq) FROM recipient WHERE mailing_id = :mailing_id)
                                  + row_number() OVER (ORDER BY z.place, r.seq) AS seq
            FROM recipient AS r
            LEFT JOIN person AS p ON p.id = r.person_id
            JOIN unnest(:zones, :places) AS z (zone, place) ON z.zone = coalesce(p.time_zone, '')
            WHERE r.mailing_id = :mailing_id AND r.status = 'ready'
        ) AS behind
        WHERE r.id = behind.id
        RETURNING behind.place, r.seq
    )
    SELECT place, min(seq) AS first_seq, max(seq) AS last_seq FROM moved GROUP BY place
""").bindparams(
    sa.bindparam("zones", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("places", type_=sa.ARRAY(sa.Integer)),
    sa.bindparam("mailing_id", type_=sa.BigInteger),
)

_CUT = text("""
    -- Cuts ranges into chunks that wait, numbered in the order of the ranges: the first that is due is leased first.
    WITH reached AS (
        UPDATE dispatch SET last_seq = (SELECT max(last) FROM unnest(:lasts) AS last) WHERE id = :dispatch_id
    )
    INSERT INTO chunk (dispatch_id, number, first_seq, last_seq, window_end, not_before, send_before)
    SELECT :dispatch_id, row_number() OVER (ORDER BY p.place, piece.seq), piece.seq,
           least(piece.seq + :size - 1, p.last_seq), piece.seq - 1, p.not_before, p.send_before
    FROM unnest(:firsts, :lasts, :not_befores, :send_befores)
             WITH ORDINALITY AS p (first_seq, last_seq, not_before, send_before, place),
         generate_series(p.first_seq, p.last_seq, :size) AS piece (seq)
""").bindparams(
    sa.bindparam("size", value=CHUNK_SIZE),
    sa.bindparam("dispatch_id", type_=sa.BigInteger),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.Integer)) for name in ("firsts", "lasts")),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.DateTime(timezone=True))) for name in ("not_befores", "send_befores")),
)

_EXPIRE = text("""
    -- Ends chunks that were never leased and whose time is over: their recipients have failed, in our words, so that
    -- they are counted and found. SKIP LOCKED: one that is being leased has begun, and is sent. By chunk_open_idx.
    WITH late AS (
        SELECT c.number, c.first_seq, c.last_seq, d.mailing_id
        FROM chunk AS c JOIN dispatch AS d ON d.id = c.dispatch_id
        WHERE c.dispatch_id = :dispatch_id AND c.done_at IS NULL AND c.owner IS NULL AND c.epoch = 0
            AND c.send_before <= now()
        FOR UPDATE OF c SKIP LOCKED
    ), failed AS (
        UPDATE recipient AS r SET status = 'failed', reply = :words, tried_at = now()
        FROM late WHERE r.mailing_id = late.mailing_id AND r.seq BETWEEN late.first_seq AND late.last_seq
            AND r.status = 'ready'
    )
    UPDATE chunk AS c SET done_at = now() FROM late WHERE c.dispatch_id = :dispatch_id AND c.number = late.number
""").bindparams(sa.bindparam("words", type_=sa.Text), sa.bindparam("dispatch_id", type_=sa.BigInteger))


async def count_zones(session: AsyncSession, *, mailing_id: int) -> list[tuple[str, int]]:
    """Return (time zone, ready recipients), "" for those without one."""
    async with whole_sets(session):
        return [(row.zone, row.recipients) for row in await run(session, _ZONES, mailing_id=mailing_id)]


async def last_seq(session: AsyncSession, *, mailing_id: int) -> int:
    """Return the last place of a mailing's list; 0 when it is empty."""
    return int((await run(session, _LAST_SEQ, mailing_id=mailing_id)).one().seq)


async def move_zones(
    session: AsyncSession, *, mailing_id: int, moving: Sequence[tuple[str, int]]
) -> dict[int, tuple[int, int]]:
    """Put the recipients of (time zone, place) behind the others; return the range of seqs of each place."""
    zones, places = [zone for zone, _ in moving], [place for _, place in moving]
    async with whole_sets(session):
        rows = (await run(session, _MOVE, mailing_id=mailing_id, zones=zones, places=places)).all()
    return {row.place: (row.first_seq, row.last_seq) for row in rows}


async def cut(
    session: AsyncSession,
    *,
    dispatch_id: int,
    parts: Sequence[tuple[int, int, datetime | None, datetime | None]],
) -> None:
    """Cut parts (first seq, last seq, not before, send before) into chunks."""
    firsts, lasts, not_befores, send_befores = (list(column) for column in zip(*parts, strict=True))
    await run(
        session, _CUT, dispatch_id=dispatch_id, firsts=firsts, lasts=lasts, not_befores=not_befores,
        send_befores=send_befores,
    )  # fmt: skip


async def expire_chunks(session: AsyncSession, *, dispatch_id: int) -> int:
    """Give up the chunks whose time is over before they were begun; return how many."""
    return (await run(session, _EXPIRE, dispatch_id=dispatch_id, words=TOO_LATE)).rowcount
