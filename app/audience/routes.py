"""`/v1/selections`."""

from typing import Annotated

from fastapi import Query

from app.audience import criteria_checks, selection_queries, service
from app.audience.errors import (
    CriteriaOutOfDate,
    CyclicSelection,
    InvalidSelection,
    SelectionInUse,
    SelectionNotFound,
    WrongSelectionKind,
)
from app.audience.member_routes import show_member
from app.audience.models import Selection, SelectionKind
from app.audience.selection_schemas import (
    PreviewIn,
    PreviewOut,
    SelectionIn,
    SelectionMailingOut,
    SelectionOut,
    SelectionPatch,
)
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/selections", tag="selections")

_SAVED = {"name", "description", "folder_id"}


def show(selection: Selection) -> SelectionOut:
    """Return a selection as the API shows it."""
    return SelectionOut(**selection.model_dump())


@routes.post(
    "", operation_id="create_selection", status_code=201,
    responses=declare(InvalidSelection, CyclicSelection, CriteriaOutOfDate), summary="Create a selection",
)  # fmt: skip
async def create_selection(caller: ContactsWrite, session: Session, body: SelectionIn) -> SelectionOut:
    """Add a selection: dynamic if criteria or a combination of other selections are sent, else static.

    A static one begins without members. Criteria are evaluated whenever the selection is asked. Criteria that make no
    sense are 422, each error points at its node.
    """
    selection = await service.create_selection(
        session, fields=body.model_dump(include=_SAVED), criteria=body.criteria, combination=body.combination
    )
    return show(selection)


@routes.get("", operation_id="list_selections", responses=declare(), summary="List selections")
async def list_selections(
    caller: ContactsRead, session: Session,
    folder_id: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="In exactly this folder")] = None,
    kind: SelectionKind | None = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[SelectionOut]:  # fmt: skip
    """List selections, oldest first."""
    rows = await selection_queries.page_of_selections(
        session, folder_id=folder_id, kind=kind, after=read_cursor(cursor), limit=limit
    )
    return Page[SelectionOut](**page_of(rows, limit=limit, show=show))


@routes.post(
    "/preview", operation_id="preview_selection",
    responses=declare(InvalidSelection, CyclicSelection, CriteriaOutOfDate), summary="Try criteria",
)  # fmt: skip
async def preview_selection(caller: ContactsRead, session: Session, body: PreviewIn) -> PreviewOut:
    """Return how many persons fit criteria at this moment, and the first 20 of them; nothing is saved.

    Criteria that make no sense are 422, each error points at its node.
    """
    persons = await criteria_checks.checked(session, body.criteria)
    found, sample = await selection_queries.preview(session, persons=persons)
    return PreviewOut(persons=found, sample=[show_member(person) for person in sample])


@routes.get(
    "/{selection_id}", operation_id="get_selection", responses=declare(SelectionNotFound), summary="Get a selection"
)
async def get_selection(caller: ContactsRead, session: Session, selection_id: int) -> SelectionOut:
    """Return one selection; its members are at `/members`."""
    return show(await service.read_selection(session, selection_id=selection_id))


@routes.patch(
    "/{selection_id}", operation_id="update_selection",
    responses=declare(SelectionNotFound, InvalidSelection, WrongSelectionKind, CyclicSelection, CriteriaOutOfDate),
    summary="Change a selection",
)  # fmt: skip
async def update_selection(
    caller: ContactsWrite, session: Session, selection_id: int, body: SelectionPatch
) -> SelectionOut:
    """Change the fields that are sent. A dynamic selection stays dynamic, a static one static.

    Criteria that make no sense are 422, each error points at its node; selections that would refer to each other in a
    circle are 409 with the circle named.
    """
    fields = body.model_dump(include=_SAVED, exclude_unset=True)
    criteria = body.criteria if "criteria" in body.model_fields_set else None
    return show(await service.change_selection(session, selection_id=selection_id, fields=fields, criteria=criteria))


@routes.delete(
    "/{selection_id}", operation_id="delete_selection", status_code=204,
    responses=declare(SelectionNotFound, SelectionInUse), summary="Delete a selection",
)  # fmt: skip
async def delete_selection(caller: ContactsWrite, session: Session, selection_id: int) -> None:
    """Delete a selection. Its persons stay; mailings lose it as a source.

    While criteria of other selections refer to it, it stays: 409 with their names.
    """
    await service.delete_selection(session, selection_id=selection_id)


@routes.get(
    "/{selection_id}/mailings", operation_id="list_selection_mailings", responses=declare(SelectionNotFound),
    summary="List the mailings of a selection",
)  # fmt: skip
async def list_selection_mailings(
    caller: ContactsRead, session: Session, selection_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[SelectionMailingOut]:
    """List the mailings that the selection is associated with, or a source of recipients of, oldest first (D19)."""
    await service.read_selection(session, selection_id=selection_id)
    after = read_cursor(cursor)
    rows = await selection_queries.page_of_mailings(session, selection_id=selection_id, after=after, limit=limit)
    return Page[SelectionMailingOut](
        **page_of(rows, limit=limit, show=lambda row: SelectionMailingOut(**row._mapping))  # noqa: SLF001 - SQLAlchemy's public name
    )
