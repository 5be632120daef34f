"""`/v1/selections/{id}/members` and `/companies`."""

from typing import Any

from app.audience import members, selection_queries, service
from app.audience.errors import (
    CriteriaOutOfDate,
    CyclicSelection,
    InvalidSelection,
    MemberNotFound,
    SelectionNotFound,
    WrongSelectionKind,
)
from app.audience.selection_schemas import CompanyMemberOut, CountOut, MemberOut, MembersIn, MembersOut, RemovedOut
from app.contacts.models import Company
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/selections/{selection_id}", tag="selections")

_EVALUATED = (SelectionNotFound, CriteriaOutOfDate, CyclicSelection)


def show_member(person: Any) -> MemberOut:
    """Return a member as the API shows it."""
    return MemberOut(person_id=person.id, external_id=person.external_id, name=person.name, email=person.email)


def show_company(company: Company) -> CompanyMemberOut:
    """Return a company that is a member as the API shows it."""
    return CompanyMemberOut(
        company_id=company.id, external_id=company.external_id, name=company.name, email=company.email
    )


@routes.get("/count", operation_id="count_members", responses=declare(*_EVALUATED), summary="Count a selection")
async def count_members(caller: ContactsRead, session: Session, selection_id: int) -> CountOut:
    """Return how many persons and companies are in the selection. A dynamic one is evaluated."""
    return await service.count(session, selection_id=selection_id)


@routes.get(
    "/members", operation_id="list_members", responses=declare(*_EVALUATED), summary="List the members of a selection"
)
async def list_members(
    caller: ContactsRead, session: Session, selection_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemberOut]:
    """List the persons in the selection, in the order in which they came to be.

    A dynamic selection is evaluated for every page: who comes to fit its criteria meanwhile is on a later page, or on
    none if the pages have passed their place.
    """
    rows = await service.page_of_members(session, selection_id=selection_id, after=read_cursor(cursor), limit=limit)
    return Page[MemberOut](**page_of(rows, limit=limit, show=show_member))


@routes.post(
    "/members", operation_id="add_members",
    responses=declare(SelectionNotFound, InvalidSelection, WrongSelectionKind, CriteriaOutOfDate, CyclicSelection),
    summary="Add persons and companies to a selection",
)  # fmt: skip
async def add_members(caller: ContactsWrite, session: Session, selection_id: int, body: MembersIn) -> MembersOut:
    """Add members to a static selection: a list of up to 10 000 each, or everyone at this moment in a set.

    Members stay members, so that it can be repeated. Ids, external ids and addresses of nobody are skipped and named
    in the answer. An address means one person: who prefers it before who has it beside another, former employees last,
    the oldest first. A dynamic selection has no members of its own: 409.
    """
    return await members.add(session, selection_id=selection_id, told=body)


@routes.post(
    "/members/remove", operation_id="remove_members",
    responses=declare(SelectionNotFound, InvalidSelection, WrongSelectionKind, CriteriaOutOfDate, CyclicSelection),
    summary="Take persons and companies out of a selection",
)  # fmt: skip
async def remove_members(caller: ContactsWrite, session: Session, selection_id: int, body: MembersIn) -> RemovedOut:
    """Take members out of a static selection: a list of up to 10 000 each, or everyone at this moment in a set.

    It can be repeated. Ids, external ids and addresses of nobody are skipped and named in the answer. An address means
    every person that has it. A dynamic selection has no members of its own: 409.
    """
    return await members.remove(session, selection_id=selection_id, told=body)


@routes.delete(
    "/members/{person_id}", operation_id="remove_member", status_code=204,
    responses=declare(SelectionNotFound, MemberNotFound, WrongSelectionKind),
    summary="Take a person out of a selection",
)  # fmt: skip
async def remove_member(caller: ContactsWrite, session: Session, selection_id: int, person_id: int) -> None:
    """Take a person out of a static selection."""
    await members.remove_person(session, selection_id=selection_id, person_id=person_id)


@routes.get(
    "/companies", operation_id="list_member_companies", responses=declare(SelectionNotFound),
    summary="List the companies of a selection",
)  # fmt: skip
async def list_member_companies(
    caller: ContactsRead, session: Session, selection_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[CompanyMemberOut]:
    """List the companies that are in the selection themselves, in the order in which they came to be.

    Criteria choose persons, so a dynamic selection has none.
    """
    await service.read_selection(session, selection_id=selection_id)
    after = read_cursor(cursor)
    rows = await selection_queries.page_of_companies(session, selection_id=selection_id, after=after, limit=limit)
    return Page[CompanyMemberOut](**page_of(rows, limit=limit, show=show_company))


@routes.delete(
    "/companies/{company_id}", operation_id="remove_member_company", status_code=204,
    responses=declare(SelectionNotFound, MemberNotFound, WrongSelectionKind),
    summary="Take a company out of a selection",
)  # fmt: skip
async def remove_member_company(caller: ContactsWrite, session: Session, selection_id: int, company_id: int) -> None:
    """Take a company out of a static selection. Its persons stay in it if they are members themselves."""
    await members.remove_company(session, selection_id=selection_id, company_id=company_id)
