"""SQL of schedules."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_DUE = text("""
    -- Scheduled mailings whose time has come, longest due first; every watch asks every two seconds: by
    -- mailing_scheduled_idx.
    SELECT id FROM mailing WHERE state = 'scheduled' AND starts_at <= :at ORDER BY starts_at LIMIT 100
""").bindparams(sa.bindparam("at", type_=sa.DateTime(timezone=True)))


async def due_mailings(session: AsyncSession, *, at: datetime) -> list[int]:
    """Return the ids of scheduled mailings that are to be prepared now, at most 100."""
    return [row.id for row in await run(session, _DUE, at=at)]
