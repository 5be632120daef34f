"""Selections: static ones with members, dynamic ones with criteria."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import criteria_queries, queries
from app.audience import selection_queries as members
from app.audience.combining import check_selections
from app.audience.criteria import read_criteria, to_json
from app.audience.criteria_checks import checked, read_surroundings
from app.audience.criteria_sql import Persons, compile_criteria
from app.audience.criteria_values import Node
from app.audience.errors import SelectionInUse, SelectionNotFound, WrongSelectionKind
from app.audience.models import Selection, SelectionKind
from app.audience.selection_schemas import Combination, CountOut
from app.folders.models import FolderKind
from app.folders.service import check_folder
from app.platform.clock import now

_NAMED_AT_MOST = 20


async def create_selection(
    session: AsyncSession, *, fields: dict[str, Any], criteria: Node | None, combination: Combination | None
) -> Selection:
    """Add a selection: dynamic with criteria or a combination, else static and without members.

    Raises Invalid for a folder that is none for selections, and what `checked` raises for criteria.
    """
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.SELECTION)
    selection = Selection(**fields)
    if combination is not None:
        await check_selections(session, combination.selection_ids)
        criteria = combination.criteria()
    if criteria is not None:
        await criteria_queries.take_references_turn(session)
        await checked(session, criteria)
        selection.kind, selection.criteria = SelectionKind.DYNAMIC, to_json(criteria)
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


async def read_static(session: AsyncSession, *, selection_id: int) -> Selection:
    """Return a selection that has members of its own, which nobody deletes until the commit.

    Raises SelectionNotFound and WrongSelectionKind.
    """
    selection = await queries.hold_selection(session, selection_id=selection_id)
    if selection is None:
        raise SelectionNotFound(f"There is no selection {selection_id}.")
    if selection.kind is not SelectionKind.STATIC:
        raise WrongSelectionKind(
            f"Selection {selection_id} is dynamic: its criteria say who is in it. Change these, or take a static one."
        )
    return selection


async def change_selection(
    session: AsyncSession, *, selection_id: int, fields: dict[str, Any], criteria: Node | None
) -> Selection:
    """Change a selection.

    Raises SelectionNotFound, Invalid for a folder that is none for selections, WrongSelectionKind for criteria of a
    static one, and what `checked` raises for criteria.
    """
    selection = await read_selection(session, selection_id=selection_id)
    if "folder_id" in fields:
        await check_folder(session, folder_id=fields["folder_id"], kind=FolderKind.SELECTION)
    if criteria is not None:
        if selection.kind is not SelectionKind.DYNAMIC:
            raise WrongSelectionKind(f"Selection {selection_id} is static: it has members and no criteria.")
        await criteria_queries.take_references_turn(session)
        await checked(session, criteria, selection_id=selection_id)
        fields = {**fields, "criteria": to_json(criteria)}
    selection.sqlmodel_update(fields)
    selection.updated_at = now()
    await session.flush()
    return selection


async def delete_selection(session: AsyncSession, *, selection_id: int) -> None:
    """Delete a selection; its persons stay, and mailings lose it as a source.

    Raises SelectionNotFound, and SelectionInUse when criteria of others refer to it.
    """
    selection = await read_selection(session, selection_id=selection_id)
    await criteria_queries.take_references_turn(session)
    found = await criteria_queries.referring_to(session, selection_id=selection_id, most=_NAMED_AT_MOST + 1)
    others = [row for row in found if row.id != selection_id]
    if others:
        named = ", ".join(f"{row.id} ({row.name})" for row in others[:_NAMED_AT_MOST])
        more = " and more" if len(others) > _NAMED_AT_MOST else ""
        raise SelectionInUse(f"Criteria of other selections refer to it: {named}{more}. Change or delete those first.")
    await session.delete(selection)


async def persons_in(session: AsyncSession, selection: Selection) -> Persons:
    """Return whom the criteria of a dynamic selection mean; raises CriteriaOutOfDate and CyclicSelection."""
    criteria = read_criteria(selection.criteria)
    around = await read_surroundings(session, [criteria])
    return compile_criteria(criteria, around, selection_id=selection.id)


async def count(session: AsyncSession, *, selection_id: int) -> CountOut:
    """Return how many persons and companies are in a selection.

    Raises SelectionNotFound, CriteriaOutOfDate and CyclicSelection.
    """
    selection = await read_selection(session, selection_id=selection_id)
    if selection.kind is SelectionKind.DYNAMIC:
        persons = await persons_in(session, selection)
        return CountOut(persons=await members.count_persons(session, persons=persons), companies=0)
    in_persons, in_companies = await members.count_members(session, selection_id=selection_id)
    return CountOut(persons=in_persons, companies=in_companies)


async def page_of_members(session: AsyncSession, *, selection_id: int, after: int | None, limit: int) -> Any:
    """Return at most `limit + 1` persons of a selection with ids over `after`, in the order of their ids.

    Raises SelectionNotFound, CriteriaOutOfDate and CyclicSelection.
    """
    selection = await read_selection(session, selection_id=selection_id)
    if selection.kind is SelectionKind.DYNAMIC:
        persons = await persons_in(session, selection)
        return await members.page_of_persons(session, persons=persons, after=after, limit=limit)
    return await members.page_of_members(session, selection_id=selection_id, after=after, limit=limit)
