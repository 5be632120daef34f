"""Who is *sending* (D24): said when it is read, since storing it would cost another update for every message.

A line is `sending` while it says ready and stands inside the committed window of a chunk that a sender holds: from then
on its message may leave at any moment. There are no more of them than windows allow.
"""

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.plans import by_key

_IN_WINDOWS = text("""
    -- Ready lines inside committed windows; the tables of sending lie above this slice. By dispatch_mailing_id_idx,
    -- chunk_open_idx and recipient_seq_idx: at most the lines of the chunks that are held, a thousand each.
    SELECT r.id
    FROM dispatch AS d
    JOIN chunk AS c ON c.dispatch_id = d.id AND c.done_at IS NULL AND c.owner IS NOT NULL
    JOIN recipient AS r ON r.mailing_id = d.mailing_id AND r.seq BETWEEN c.first_seq AND c.window_end
    WHERE d.mailing_id = :mailing_id AND r.status = 'ready'
    ORDER BY r.id
""").bindparams(sa.bindparam("mailing_id", type_=sa.BigInteger))


async def lines_being_sent(session: AsyncSession, *, mailing_id: int) -> list[int]:
    """Return the ids of the lines of a mailing that are being sent, in order."""
    async with by_key(session):
        return [row.id for row in await run(session, _IN_WINDOWS, mailing_id=mailing_id)]
