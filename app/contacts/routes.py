"""`/v1/persons` and `/v1/companies`."""

from typing import Annotated

from fastapi import Query, Request

from app.contacts import bulk, queries, service
from app.contacts.errors import CompanyNotFound, ExternalIdTaken, InvalidContact, PersonNotFound
from app.contacts.models import Company, Person
from app.contacts.schemas import (
    BulkOut,
    CompanyBulk,
    CompanyIn,
    CompanyOut,
    CompanyPatch,
    PersonBulk,
    PersonIn,
    PersonOut,
    PersonPatch,
)
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="persons and companies")

Key = Annotated[int, Query(ge=1, le=2**63 - 1)]
Filter = Annotated[str | None, Query(max_length=500)]
NameFilter = Annotated[str | None, Query(max_length=200, description="Beginning of the name, in any case")]


def show_person(person: Person) -> PersonOut:
    """Return a person as the API shows it."""
    return PersonOut(**person.model_dump(exclude={"email_key"}), email_valid=person.email_key is not None)


def show_company(company: Company) -> CompanyOut:
    """Return a company as the API shows it."""
    return CompanyOut(**company.model_dump())


def _country(request: Request) -> str:
    return str(request.app.state.settings.default_country)


@routes.post(
    "/v1/persons", operation_id="create_person", status_code=201, responses=declare(ExternalIdTaken, InvalidContact),
    summary="Create a person",
)  # fmt: skip
async def create_person(caller: ContactsWrite, session: Session, request: Request, body: PersonIn) -> PersonOut:
    """Add a person. An invalid address or number is refused, and so is an external id that another person has."""
    fields = body.model_dump(exclude_unset=True)
    return show_person(await service.create_person(session, fields=fields, default_country=_country(request)))


@routes.get("/v1/persons", operation_id="list_persons", responses=declare(), summary="List persons")
async def list_persons(
    caller: ContactsRead, session: Session, external_id: Filter = None, email: Filter = None,
    company_id: Key | None = None, q: NameFilter = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[PersonOut]:  # fmt: skip
    """List persons, oldest first. `email` finds an address in whatever way it is written; `q` begins a name."""
    rows = await queries.page_of_persons(
        session, external_id=external_id, email_key=None if email is None else service.search_key(email),
        company_id=company_id, name=q, after=read_cursor(cursor), limit=limit,
    )  # fmt: skip
    return Page[PersonOut](**page_of(rows, limit=limit, show=show_person))


@routes.post(
    "/v1/persons/bulk", operation_id="upsert_persons", responses=declare(ExternalIdTaken),
    summary="Create or change many persons",
)  # fmt: skip
async def upsert_persons(caller: ContactsWrite, session: Session, request: Request, body: PersonBulk) -> BulkOut:
    """Create or change up to 10 000 persons by external id, each as by a merge patch.

    Each item has its own outcome: what is wrong with one does not keep the others from being saved. An external id that
    comes twice is created or changed twice, in order. A company that is not known yet is created if its name is given.
    """
    return await bulk.upsert_persons(session, items=body.items, default_country=_country(request))


@routes.get(
    "/v1/persons/{person_id}", operation_id="get_person", responses=declare(PersonNotFound), summary="Get a person"
)
async def get_person(caller: ContactsRead, session: Session, person_id: int) -> PersonOut:
    """Return one person."""
    return show_person(await service.read_person(session, person_id=person_id))


@routes.patch(
    "/v1/persons/{person_id}", operation_id="update_person",
    responses=declare(PersonNotFound, ExternalIdTaken, InvalidContact), summary="Change a person",
)  # fmt: skip
async def update_person(
    caller: ContactsWrite, session: Session, request: Request, person_id: int, body: PersonPatch
) -> PersonOut:
    """Change the fields that are sent; null clears one. `extra` is merged field by field."""
    fields = body.model_dump(exclude_unset=True)
    person = await service.change_person(session, person_id=person_id, fields=fields, default_country=_country(request))
    return show_person(person)


@routes.delete(
    "/v1/persons/{person_id}", operation_id="delete_person", status_code=204, responses=declare(PersonNotFound),
    summary="Delete a person",
)  # fmt: skip
async def delete_person(caller: ContactsWrite, session: Session, person_id: int) -> None:
    """Delete a person, with memberships and subscriptions. The consent ledger and sent mailings keep their lines."""
    await service.delete_person(session, person_id=person_id)


@routes.post(
    "/v1/companies", operation_id="create_company", status_code=201, responses=declare(ExternalIdTaken, InvalidContact),
    summary="Create a company",
)  # fmt: skip
async def create_company(caller: ContactsWrite, session: Session, request: Request, body: CompanyIn) -> CompanyOut:
    """Add a company. An external id that another company has is refused."""
    fields = body.model_dump(exclude_unset=True)
    return show_company(await service.create_company(session, fields=fields, default_country=_country(request)))


@routes.get("/v1/companies", operation_id="list_companies", responses=declare(), summary="List companies")
async def list_companies(
    caller: ContactsRead, session: Session, external_id: Filter = None, q: NameFilter = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CompanyOut]:  # fmt: skip
    """List companies, oldest first. `q` begins the name."""
    rows = await queries.page_of_companies(
        session, external_id=external_id, name=q, after=read_cursor(cursor), limit=limit
    )
    return Page[CompanyOut](**page_of(rows, limit=limit, show=show_company))


@routes.post(
    "/v1/companies/bulk", operation_id="upsert_companies", responses=declare(ExternalIdTaken),
    summary="Create or change many companies",
)  # fmt: skip
async def upsert_companies(caller: ContactsWrite, session: Session, request: Request, body: CompanyBulk) -> BulkOut:
    """Create or change up to 10 000 companies by external id, each with its own outcome."""
    return await bulk.upsert_companies(session, items=body.items, default_country=_country(request))


@routes.get(
    "/v1/companies/{company_id}", operation_id="get_company", responses=declare(CompanyNotFound),
    summary="Get a company",
)  # fmt: skip
async def get_company(caller: ContactsRead, session: Session, company_id: int) -> CompanyOut:
    """Return one company."""
    return show_company(await service.read_company(session, company_id=company_id))


@routes.patch(
    "/v1/companies/{company_id}", operation_id="update_company",
    responses=declare(CompanyNotFound, ExternalIdTaken, InvalidContact), summary="Change a company",
)  # fmt: skip
async def update_company(
    caller: ContactsWrite, session: Session, request: Request, company_id: int, body: CompanyPatch
) -> CompanyOut:
    """Change the fields that are sent; null clears one. `extra` is merged field by field."""
    fields = body.model_dump(exclude_unset=True)
    company = await service.change_company(
        session, company_id=company_id, fields=fields, default_country=_country(request)
    )
    return show_company(company)


@routes.delete(
    "/v1/companies/{company_id}", operation_id="delete_company", status_code=204, responses=declare(CompanyNotFound),
    summary="Delete a company",
)  # fmt: skip
async def delete_company(caller: ContactsWrite, session: Session, company_id: int) -> None:
    """Delete a company. Its persons stay, without one."""
    await service.delete_company(session, company_id=company_id)
