"""Static selections."""

from collections.abc import Sequence
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import queries, selection_queries
from app.audience.errors import MemberNotFound, SelectionNotFound
from app.audience.models import Selection
from app.audience.schemas import Criteria, MembersOut
from app.platform.clock import now


async def create_selection(session: AsyncSession, *, fields: dict[str, Any]) -> Selection:
    """Add a selection, without members."""
    selection = Selection(**fields)
    session.add(selection)
    await session.flush()
    await session.refresh(selection)
    return selection


async def read_selection(session: AsyncSession, *, selection_id: int) -> Selection:
    """Return a selection; raises SelectionNotFound."""
    selection = await queries.find_selection(session, selection_id=selection_id)
    if selection is None:
        raise SelectionNotFound(f"There is no selection {selection_id}.")
    return selection


async def change_selection(session: AsyncSession, *, selection_id: int, fields: dict[str, Any]) -> Selection:
    """Change a selection; raises SelectionNotFound."""
    selection = await read_selection(session, selection_id=selection_id)
    selection.sqlmodel_update(fields)
    selection.updated_at = now()
    await session.flush()
    return selection


async def delete_selection(session: AsyncSession, *, selection_id: int) -> None:
    """Delete a selection; its persons stay, and mailings lose it as a source."""
    await session.delete(await read_selection(session, selection_id=selection_id))


async def add_members(
    session: AsyncSession, *, selection_id: int, person_ids: Sequence[int], company_ids: Sequence[int]
) -> MembersOut:
    """Add persons and companies to a selection; ids of nobody are skipped and named. Raises SelectionNotFound."""
    await read_selection(session, selection_id=selection_id)
    persons = await queries.add_members(session, selection_id=selection_id, person_ids=person_ids)
    companies = await selection_queries.add_companies(session, selection_id=selection_id, company_ids=company_ids)
    return MembersOut(
        added=persons.added,
        already=persons.known - persons.added,
        unknown=persons.unknown,
        companies_added=companies.added,
        companies_already=companies.known - companies.added,
        unknown_companies=companies.unknown,
    )


async def add_matching(session: AsyncSession, *, selection_id: int, criteria: Criteria) -> MembersOut:
    """Add everyone who fits the criteria at this moment, and nobody later; raises SelectionNotFound."""
    await read_selection(session, selection_id=selection_id)
    done = await queries.add_matching(session, selection_id=selection_id, criteria=criteria.model_dump())
    return MembersOut(added=done.added, already=done.known - done.added, unknown=[])


async def remove_member(session: AsyncSession, *, selection_id: int, person_id: int) -> None:
    """Take a person out of a selection; raises SelectionNotFound and MemberNotFound."""
    await read_selection(session, selection_id=selection_id)
    if not await queries.remove_member(session, selection_id=selection_id, person_id=person_id):
        raise MemberNotFound(f"Person {person_id} is not in selection {selection_id}.")


async def remove_company(session: AsyncSession, *, selection_id: int, company_id: int) -> None:
    """Take a company out of a selection; raises SelectionNotFound and MemberNotFound."""
    await read_selection(session, selection_id=selection_id)
    if not await selection_queries.remove_company(session, selection_id=selection_id, company_id=company_id):
        raise MemberNotFound(f"Company {company_id} is not in selection {selection_id}.")
