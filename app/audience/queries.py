"""Reading and writing selections and imports."""

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import Import, ImportProblem, Selection


async def find_selection(session: AsyncSession, *, selection_id: int) -> Selection | None:
    """Return a selection, or None."""
    return await session.get(Selection, selection_id)


async def hold_selection(session: AsyncSession, *, selection_id: int) -> Selection | None:
    """Return a selection that nobody deletes until the commit, or None."""
    query = select(Selection).where(Selection.id == selection_id).execution_options(populate_existing=True)
    return (await session.exec(query.with_for_update(read=True, key_share=True))).one_or_none()


async def find_import(session: AsyncSession, *, import_id: int) -> Import | None:
    """Return an import, or None."""
    return await session.get(Import, import_id)


async def lock_import(session: AsyncSession, *, import_id: int) -> Import | None:
    """Return an import as the database has it now, locked until the commit; None when it is gone."""
    query = select(Import).where(Import.id == import_id).with_for_update().execution_options(populate_existing=True)
    return (await session.exec(query)).one_or_none()


async def page_of_imports(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[Import]:
    """Return at most `limit + 1` imports with ids over `after`."""
    query = select(Import).order_by(col(Import.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(Import.id) > after)
    return (await session.exec(query)).all()


async def page_of_problems(
    session: AsyncSession, *, import_id: int, rejected: bool | None, after: int | None, limit: int
) -> Sequence[ImportProblem]:
    """Return at most `limit + 1` problems of an import with ids over `after`, in the order of the rows."""
    query = select(ImportProblem).where(ImportProblem.import_id == import_id)
    if rejected is not None:
        query = query.where(ImportProblem.rejected == rejected)
    if after is not None:
        query = query.where(col(ImportProblem.id) > after)
    return (await session.exec(query.order_by(col(ImportProblem.id)).limit(limit + 1))).all()
