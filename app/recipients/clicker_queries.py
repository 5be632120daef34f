"""SQL of the clickers of a library link as a set."""

from typing import Any

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_LINES = """
    FROM library_link_clicker AS k JOIN recipient AS r ON r.id = k.recipient_id
    WHERE k.library_link_id = cast(:m_link AS bigint) AND (cast(:m_machines AS boolean) OR k.clicked_at IS NOT NULL)
        AND (cast(:m_mailing AS bigint) IS NULL OR r.mailing_id = cast(:m_mailing AS bigint))
"""

CLICKERS_OF = f"""
    SELECT DISTINCT r.person_id, CASE WHEN r.person_id IS NULL THEN r.company_id END AS company_id {_LINES}
        AND (r.person_id IS NOT NULL OR r.company_id IS NOT NULL)
"""
"""The persons and companies who clicked, each once: a range of library_link_clicker_pkey, lines by key."""

_STRANGERS = text(f"SELECT count(*) AS lines {_LINES} AND r.person_id IS NULL AND r.company_id IS NULL")


async def strangers_among(session: AsyncSession, **params: Any) -> int:
    """Return how many of the clickers' lines are nobody's; parameters as in CLICKERS_OF."""
    return int((await run(session, _STRANGERS, **params)).one().lines)
