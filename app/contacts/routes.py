"""`/v1/persons`. Many at once are in `bulk_routes`."""

from typing import Annotated

from fastapi import Query, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import emails, queries, service
from app.contacts.email_queries import Belongings, belongings
from app.contacts.errors import EmailNotFound, ExternalIdTaken, InvalidContact, PersonNotFound
from app.contacts.models import Person
from app.contacts.schemas import ContactOut, PersonEmailIn, PersonIn, PersonOut, PersonPatch
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.clock import Instant
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="persons and companies")

Key = Annotated[int, Query(ge=1, le=2**63 - 1)]
Filter = Annotated[str | None, Query(max_length=500)]
NameFilter = Annotated[str | None, Query(max_length=200, description="Beginning of the name, in any case")]
UpdatedAfter = Annotated[
    Instant | None,
    Query(description="Only those created or changed after this time, to keep another system in step"),
]
_CONTACT_COLUMNS = {"our_contact_name", "our_contact_email", "support_contact_name", "support_contact_email"}


def show_person(person: Person, has: Belongings) -> PersonOut:
    """Return a person as the API shows it."""
    preferred = [person.email] if person.email and person.email_key else []
    return PersonOut(
        **person.model_dump(exclude={"email_key", *_CONTACT_COLUMNS}), email_valid=person.email_key is not None,
        emails=[*preferred, *has.further], interests=list(has.interests),
        our_contact=_contact(person.our_contact_name, person.our_contact_email),
        support_contact=_contact(person.support_contact_name, person.support_contact_email),
    )  # fmt: skip


def _contact(name: str | None, email: str | None) -> ContactOut | None:
    return ContactOut(name=name, email=email) if name or email else None


async def _shown(session: AsyncSession, person: Person) -> PersonOut:
    return show_person(person, (await belongings(session, person_ids=[person.id]))[person.id])


def country_of(request: Request) -> str:
    """Return the country that numbers without a country code are read for."""
    return str(request.app.state.settings.default_country)


@routes.post(
    "/v1/persons", operation_id="create_person", status_code=201, responses=declare(ExternalIdTaken, InvalidContact),
    summary="Create a person",
)  # fmt: skip
async def create_person(caller: ContactsWrite, session: Session, request: Request, body: PersonIn) -> PersonOut:
    """Add a person.

    An invalid address, number or extra field is refused, and so is an external id that another person has. Two persons
    may have the same address.
    """
    fields = body.model_dump(exclude_unset=True)
    person = await service.create_person(session, fields=fields, default_country=country_of(request))
    return await _shown(session, person)


@routes.get("/v1/persons", operation_id="list_persons", responses=declare(), summary="List persons")
async def list_persons(
    caller: ContactsRead, session: Session, external_id: Filter = None, email: Filter = None,
    company_id: Key | None = None, interest_id: Key | None = None, q: NameFilter = None,
    updated_after: UpdatedAfter = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[PersonOut]:  # fmt: skip
    """List persons, oldest first; several filters narrow each other.

    `email` finds any of a person's addresses, in whatever way it is written. `q` begins the name or the last name.
    """
    rows = await queries.page_of_persons(
        session, external_id=external_id, email_key=None if email is None else service.search_key(email),
        company_id=company_id, interest_id=interest_id, name=q, updated_after=updated_after,
        after=read_cursor(cursor), limit=limit,
    )  # fmt: skip
    has = await belongings(session, person_ids=[person.id for person in rows[:limit]])
    return Page[PersonOut](**page_of(rows, limit=limit, show=lambda person: show_person(person, has[person.id])))


@routes.get(
    "/v1/persons/{person_id}", operation_id="get_person", responses=declare(PersonNotFound), summary="Get a person"
)
async def get_person(caller: ContactsRead, session: Session, person_id: int) -> PersonOut:
    """Return one person."""
    return await _shown(session, await service.read_person(session, person_id=person_id))


@routes.patch(
    "/v1/persons/{person_id}", operation_id="update_person",
    responses=declare(PersonNotFound, ExternalIdTaken, InvalidContact), summary="Change a person",
)  # fmt: skip
async def update_person(
    caller: ContactsWrite, session: Session, request: Request, person_id: int, body: PersonPatch
) -> PersonOut:
    """Change the fields that are sent; null clears one. `extra` and the contacts are merged field by field.

    `emails` and `interests` are replaced whole. `email` alone changes the preferred address, or makes another one of
    the person's addresses the preferred one.
    """
    fields = body.model_dump(exclude_unset=True)
    person = await service.change_person(
        session, person_id=person_id, fields=fields, default_country=country_of(request)
    )
    return await _shown(session, person)


@routes.delete(
    "/v1/persons/{person_id}", operation_id="delete_person", status_code=204, responses=declare(PersonNotFound),
    summary="Delete a person",
)  # fmt: skip
async def delete_person(caller: ContactsWrite, session: Session, person_id: int) -> None:
    """Delete a person, with memberships and subscriptions. The consent ledger and sent mailings keep their lines.

    Links in messages that the person got go on working.
    """
    await service.delete_person(session, person_id=person_id)


@routes.post(
    "/v1/persons/{person_id}/emails", operation_id="add_email", responses=declare(PersonNotFound, InvalidContact),
    summary="Add an address to a person",
)  # fmt: skip
async def add_email(caller: ContactsWrite, session: Session, person_id: int, body: PersonEmailIn) -> PersonOut:
    """Add an address, or make one that the person has already the preferred one. The others stay.

    With `preferred` mail goes to it from now on; the first address is preferred in any case. Returns the person. An
    invalid address is refused, and so is one more than 20.
    """
    person = await emails.add_email(session, person_id=person_id, address=body.email, preferred=body.preferred)
    return await _shown(session, person)


@routes.delete(
    "/v1/persons/{person_id}/emails", operation_id="remove_email", responses=declare(PersonNotFound, EmailNotFound),
    summary="Remove an address from a person",
)  # fmt: skip
async def remove_email(
    caller: ContactsWrite, session: Session, person_id: int,
    email: Annotated[str, Query(max_length=500, description="The address, in whatever way it is written")],
) -> PersonOut:  # fmt: skip
    """Remove one of a person's addresses; after the preferred one, the next one is. Returns the person."""
    return await _shown(session, await emails.remove_email(session, person_id=person_id, address=email))
