"""`/v1/companies`. Many at once are in `bulk_routes`."""

from fastapi import Request

from app.contacts import queries, service
from app.contacts.errors import CompanyNotFound, ExternalIdTaken, InvalidContact
from app.contacts.models import Company
from app.contacts.routes import Filter, NameFilter, UpdatedAfter, country_of
from app.contacts.schemas import CompanyIn, CompanyOut, CompanyPatch
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="persons and companies")


def show_company(company: Company) -> CompanyOut:
    """Return a company as the API shows it."""
    return CompanyOut(**company.model_dump())


@routes.post(
    "/v1/companies", operation_id="create_company", status_code=201, responses=declare(ExternalIdTaken, InvalidContact),
    summary="Create a company",
)  # fmt: skip
async def create_company(caller: ContactsWrite, session: Session, request: Request, body: CompanyIn) -> CompanyOut:
    """Add a company. An invalid address, number or extra field is refused, and an external id that another one has."""
    fields = body.model_dump(exclude_unset=True)
    return show_company(await service.create_company(session, fields=fields, default_country=country_of(request)))


@routes.get("/v1/companies", operation_id="list_companies", responses=declare(), summary="List companies")
async def list_companies(
    caller: ContactsRead, session: Session, external_id: Filter = None, email: Filter = None, q: NameFilter = None,
    updated_after: UpdatedAfter = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[CompanyOut]:  # fmt: skip
    """List companies, oldest first. `email` finds an address in whatever way it is written; `q` begins the name."""
    rows = await queries.page_of_companies(
        session, external_id=external_id, email_key=None if email is None else service.search_key(email), name=q,
        updated_after=updated_after, after=read_cursor(cursor), limit=limit,
    )  # fmt: skip
    return Page[CompanyOut](**page_of(rows, limit=limit, show=show_company))


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
        session, company_id=company_id, fields=fields, default_country=country_of(request)
    )
    return show_company(company)


@routes.delete(
    "/v1/companies/{company_id}", operation_id="delete_company", status_code=204, responses=declare(CompanyNotFound),
    summary="Delete a company",
)  # fmt: skip
async def delete_company(caller: ContactsWrite, session: Session, company_id: int) -> None:
    """Delete a company. Its persons stay, without one."""
    await service.delete_company(session, company_id=company_id)
