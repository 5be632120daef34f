"""Reading and writing what belongs to imports."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import ImportProblem
from app.consent.models import SubscriptionType
from app.platform.db import driver_connection, run

Problem = tuple[int, str | None, str, str, bool]
"""Row number, field, code, detail, and whether the row was rejected."""

OPEN_STATES = ("draft", "scheduled")
"""In which a mailing takes recipients: until sending starts (D17)."""

_MAILING = text("SELECT type, state FROM mailing WHERE id = :mailing_id")


async def mailing_of(session: AsyncSession, *, mailing_id: int) -> Any | None:
    """Return type and state of a mailing, or None; the slice that owns its table lies above."""
    return (await run(session, _MAILING, mailing_id=mailing_id)).one_or_none()


async def add_problems(session: AsyncSession, *, import_id: int, problems: Sequence[Problem]) -> None:
    """Add problems of an import, in the order of the rows."""
    if problems:
        connection = await driver_connection(session)
        await connection.copy_records_to_table(
            "import_problem",
            records=[(import_id, *problem) for problem in sorted(problems, key=lambda problem: problem[0])],
            columns=["import_id", "row_number", "field", "code", "detail", "rejected"],
        )


_KEPT = text("""
    -- Imports whose files are kept, of those from before a time: a scan of a table of a row per import.
    SELECT id, file_id, state FROM import WHERE file_id IS NOT NULL AND created_at <= :until ORDER BY id
""").bindparams(sa.bindparam("until", type_=sa.DateTime(timezone=True)))


async def files_kept(session: AsyncSession, *, until: datetime) -> Sequence[Any]:
    """Return rows (id, file_id, state) of imports from before `until` whose files are kept."""
    rows: Sequence[Any] = (await run(session, _KEPT, until=until)).all()
    return rows


async def drop_problems(session: AsyncSession, *, import_id: int) -> None:
    """Delete the problems of an import."""
    await session.exec(delete(ImportProblem).where(col(ImportProblem.import_id) == import_id))


async def has_problems(session: AsyncSession, *, import_id: int) -> bool:
    """Tell whether an import has problems."""
    query = select(ImportProblem.id).where(ImportProblem.import_id == import_id).limit(1)
    return (await session.exec(query)).first() is not None


async def known_types(session: AsyncSession, *, names: Collection[str]) -> dict[str, int]:
    """Return the ids of those subscription types that there are."""
    query = select(SubscriptionType.name, SubscriptionType.id).where(col(SubscriptionType.name).in_(sorted(names)))
    return dict((await session.exec(query)).all())


_REASONS = text("""
    -- What is wrong with an import's rows, a line per row, in their order; at most :limit rows after :after.
    SELECT row_number, string_agg(coalesce(field || ': ', '') || detail, ' | ' ORDER BY id) AS reason
    FROM import_problem WHERE import_id = :import_id AND row_number > :after
    GROUP BY row_number ORDER BY row_number LIMIT :limit
""").bindparams(sa.bindparam("import_id", type_=sa.BigInteger))


async def page_of_reasons(
    session: AsyncSession, *, import_id: int, after: int, limit: int
) -> Sequence[tuple[int, str]]:
    """Return at most `limit` row numbers over `after` with what is wrong, in order.

    Needs import_problem_import_id_row_number_idx.
    """
    rows = await run(session, _REASONS, import_id=import_id, after=after, limit=limit)
    return [(row.row_number, row.reason) for row in rows]
