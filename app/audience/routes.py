"""`/v1/selections`."""

from app.audience import queries, selection_queries, service
from app.audience.errors import MemberNotFound, SelectionNotFound
from app.audience.models import Selection
from app.audience.schemas import (
    CompanyMemberOut,
    CountOut,
    MemberOut,
    MembersIn,
    MembersOut,
    SelectionIn,
    SelectionOut,
    SelectionPatch,
)
from app.contacts.models import Company, Person
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/selections", tag="selections")


def show(selection: Selection) -> SelectionOut:
    """Return a selection as the API shows it."""
    return SelectionOut(**selection.model_dump())


def show_member(person: Person) -> MemberOut:
    """Return a member as the API shows it."""
    return MemberOut(person_id=person.id, external_id=person.external_id, name=person.name, email=person.email)


def show_company(company: Company) -> CompanyMemberOut:
    """Return a company that is a member as the API shows it."""
    return CompanyMemberOut(
        company_id=company.id, external_id=company.external_id, name=company.name, email=company.email
    )


@routes.post("", operation_id="create_selection", status_code=201, responses=declare(), summary="Create a selection")
async def create_selection(caller: ContactsWrite, session: Session, body: SelectionIn) -> SelectionOut:
    """Add a static selection, without members."""
    return show(await service.create_selection(session, fields=body.model_dump()))


@routes.get("", operation_id="list_selections", responses=declare(), summary="List selections")
async def list_selections(
    caller: ContactsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[SelectionOut]:
    """List selections, oldest first."""
    rows = await queries.page_of_selections(session, after=read_cursor(cursor), limit=limit)
    return Page[SelectionOut](**page_of(rows, limit=limit, show=show))


@routes.get(
    "/{selection_id}", operation_id="get_selection", responses=declare(SelectionNotFound), summary="Get a selection"
)
async def get_selection(caller: ContactsRead, session: Session, selection_id: int) -> SelectionOut:
    """Return one selection; its members are at `/members`."""
    return show(await service.read_selection(session, selection_id=selection_id))


@routes.patch(
    "/{selection_id}", operation_id="update_selection", responses=declare(SelectionNotFound),
    summary="Change a selection",
)  # fmt: skip
async def update_selection(
    caller: ContactsWrite, session: Session, selection_id: int, body: SelectionPatch
) -> SelectionOut:
    """Change the fields that are sent."""
    fields = body.model_dump(exclude_unset=True)
    return show(await service.change_selection(session, selection_id=selection_id, fields=fields))


@routes.delete(
    "/{selection_id}", operation_id="delete_selection", status_code=204, responses=declare(SelectionNotFound),
    summary="Delete a selection",
)  # fmt: skip
async def delete_selection(caller: ContactsWrite, session: Session, selection_id: int) -> None:
    """Delete a selection. Its persons stay; mailings lose it as a source."""
    await service.delete_selection(session, selection_id=selection_id)


@routes.get(
    "/{selection_id}/count", operation_id="count_members", responses=declare(SelectionNotFound),
    summary="Count a selection",
)  # fmt: skip
async def count_members(caller: ContactsRead, session: Session, selection_id: int) -> CountOut:
    """Return how many persons and companies are in the selection."""
    await service.read_selection(session, selection_id=selection_id)
    persons, companies = await selection_queries.count_members(session, selection_id=selection_id)
    return CountOut(persons=persons, companies=companies)


@routes.get(
    "/{selection_id}/members", operation_id="list_members", responses=declare(SelectionNotFound),
    summary="List the members of a selection",
)  # fmt: skip
async def list_members(
    caller: ContactsRead, session: Session, selection_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemberOut]:
    """List the persons in the selection, in the order in which they came to be."""
    await service.read_selection(session, selection_id=selection_id)
    rows = await queries.page_of_members(session, selection_id=selection_id, after=read_cursor(cursor), limit=limit)
    return Page[MemberOut](**page_of(rows, limit=limit, show=show_member))


@routes.post(
    "/{selection_id}/members", operation_id="add_members", responses=declare(SelectionNotFound),
    summary="Add persons and companies to a selection",
)  # fmt: skip
async def add_members(caller: ContactsWrite, session: Session, selection_id: int, body: MembersIn) -> MembersOut:
    """Add up to 10 000 persons and 10 000 companies by id, or everyone who fits the criteria at this moment.

    Members stay members, so that it can be repeated. Ids of nobody are skipped and named in the answer.
    """
    if body.criteria is not None:
        return await service.add_matching(session, selection_id=selection_id, criteria=body.criteria)
    return await service.add_members(
        session, selection_id=selection_id, person_ids=body.person_ids or [], company_ids=body.company_ids or []
    )


@routes.delete(
    "/{selection_id}/members/{person_id}", operation_id="remove_member", status_code=204,
    responses=declare(SelectionNotFound, MemberNotFound), summary="Take a person out of a selection",
)  # fmt: skip
async def remove_member(caller: ContactsWrite, session: Session, selection_id: int, person_id: int) -> None:
    """Take a person out of the selection."""
    await service.remove_member(session, selection_id=selection_id, person_id=person_id)


@routes.get(
    "/{selection_id}/companies", operation_id="list_member_companies", responses=declare(SelectionNotFound),
    summary="List the companies of a selection",
)  # fmt: skip
async def list_member_companies(
    caller: ContactsRead, session: Session, selection_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[CompanyMemberOut]:
    """List the companies that are in the selection themselves, in the order in which they came to be."""
    await service.read_selection(session, selection_id=selection_id)
    after = read_cursor(cursor)
    rows = await selection_queries.page_of_companies(session, selection_id=selection_id, after=after, limit=limit)
    return Page[CompanyMemberOut](**page_of(rows, limit=limit, show=show_company))


@routes.delete(
    "/{selection_id}/companies/{company_id}", operation_id="remove_member_company", status_code=204,
    responses=declare(SelectionNotFound, MemberNotFound), summary="Take a company out of a selection",
)  # fmt: skip
async def remove_member_company(caller: ContactsWrite, session: Session, selection_id: int, company_id: int) -> None:
    """Take a company out of the selection. Its persons stay in it if they are members themselves."""
    await service.remove_company(session, selection_id=selection_id, company_id=company_id)
