"""SQL of the event feed.

Readers go by `seq`, and must never miss an event. Ids are no good for that: they are drawn when a row is written and
seen when its transaction commits, so a reader who has seen id 8 may find id 7 appear behind its back. So an event gets
its `seq` after its commit, from whoever reads next and holds the lock of `event_feed`: of two who number, the second
waits for the first one's commit, so numbers become visible in their order, and whatever commits later gets a higher
one.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.webhooks.models import Event, EventType

NUMBER_AT_ONCE = 10_000  # some 0.2 s; a reader numbers on with its next page

_LOCK = text("SELECT last_seq FROM event_feed WHERE id = 1 FOR UPDATE")

_NUMBER = text("""
    -- Numbers committed events in the order of their ids; answers the last number. A statement of its own after _LOCK:
    -- its snapshot must see what the one who held the lock before has numbered. Needs event_unnumbered_idx.
    WITH numbered AS (
        UPDATE event AS e SET seq = :last_seq + n.place
        FROM (
            SELECT id, row_number() OVER (ORDER BY id) AS place
            FROM (SELECT id FROM event WHERE seq IS NULL ORDER BY id LIMIT :most) AS waiting
        ) AS n
        WHERE e.id = n.id
        RETURNING e.seq
    )
    UPDATE event_feed SET last_seq = (SELECT max(seq) FROM numbered)
    WHERE id = 1 AND EXISTS (SELECT FROM numbered)
    RETURNING last_seq
""").bindparams(sa.bindparam("last_seq", type_=sa.BigInteger), sa.bindparam("most", type_=sa.BigInteger))

_WAITING = text("SELECT EXISTS (SELECT FROM event WHERE seq IS NULL) AS waiting, last_seq FROM event_feed WHERE id = 1")


async def number_events(session: AsyncSession) -> tuple[int, bool]:
    """Give numbers to what was committed since; return the feed's last one, and whether events are left over.

    Where there is something to number, the feed's lock is held until the commit.
    """
    row = (await run(session, _WAITING)).one()
    if not row.waiting:
        return int(row.last_seq), False
    before = int((await run(session, _LOCK)).one().last_seq)
    numbered = (await run(session, _NUMBER, last_seq=before, most=NUMBER_AT_ONCE)).one_or_none()
    last = before if numbered is None else int(numbered.last_seq)
    return last, last - before == NUMBER_AT_ONCE


async def events_after(
    session: AsyncSession, *, after: int, upto: int, types: Sequence[EventType], limit: int
) -> Sequence[Event]:
    """Return at most `limit + 1` events with `after < seq <= upto`, in order; walks event_seq_idx."""
    query = select(Event).where(col(Event.seq) > after, col(Event.seq) <= upto).order_by(col(Event.seq))
    if types:
        query = query.where(col(Event.type).in_(types))
    return (await session.exec(query.limit(limit + 1))).all()


_FORGET = text("""
    -- The oldest events of the feed, where their time is over, with what is left of their deliveries: by event_seq_idx.
    DELETE FROM event WHERE id IN (
        SELECT id FROM (SELECT id, occurred_at FROM event WHERE seq IS NOT NULL ORDER BY seq LIMIT :most) AS oldest
        WHERE occurred_at < now() - make_interval(days => :days))
""")


async def forget_events(session: AsyncSession, *, days: int, most: int) -> int:
    """Delete at most `most` events that are older than `days`; return how many (D79)."""
    return int((await run(session, _FORGET, days=days, most=most)).rowcount)
