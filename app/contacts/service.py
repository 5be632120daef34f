"""Persons and companies, one at a time. Many at once are in `bulk`."""

from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import email_queries, queries
from app.contacts.addresses import InvalidEmail, normalise_email
from app.contacts.errors import CompanyNotFound, InvalidContact, PersonNotFound
from app.contacts.extra_field_queries import declared_fields
from app.contacts.interest_queries import replace_by_name
from app.contacts.lines import Told, nameless
from app.contacts.lines import read_company as read_company_line
from app.contacts.lines import read_person as read_person_line
from app.contacts.merging import Line, merged
from app.contacts.models import Company, ExtraOwner, Person
from app.platform.clock import now
from app.platform.errors import InvalidField


async def _checked(
    session: AsyncSession, fields: Mapping[str, Any], *, owner: ExtraOwner, default_country: str
) -> Told:
    """Return what the fields tell, all of it fit to be kept; raises InvalidContact."""
    names = fields.get("extra")
    declared = await declared_fields(session, owner=owner, names=names) if names else {}
    read = read_person_line if owner is ExtraOwner.PERSON else read_company_line
    told = read(fields, declared=declared, default_country=default_country)
    if told.faults:
        raise InvalidContact(f"{len(told.faults)} field(s) are wrong.", errors=told.faults)
    return told


async def _checked_person(session: AsyncSession, values: Line, *, company_id: int | None) -> None:
    faults = nameless(values)
    if company_id is not None and not await queries.hold_companies(session, ids=[company_id]):
        faults.append(InvalidField(pointer="#/company_id", detail=f"There is no company {company_id}."))
    if faults:
        raise InvalidContact(faults[0].detail, errors=faults)


async def create_person(session: AsyncSession, *, fields: Mapping[str, Any], default_country: str) -> Person:
    """Add a person; raises InvalidContact and ExternalIdTaken."""
    told = await _checked(session, fields, owner=ExtraOwner.PERSON, default_country=default_country)
    values = merged(queries.BLANK_PERSON, told.line)
    await _checked_person(session, values, company_id=values["company_id"])
    person = Person(**values)
    await queries.add(session, person)
    await _give(session, person, told)
    return person


async def read_person(session: AsyncSession, *, person_id: int, lock: bool = False) -> Person:
    """Return a person, with `lock` one that nobody else changes until the commit; raises PersonNotFound."""
    person = await queries.find_person(session, person_id=person_id, lock=lock)
    if person is None:
        raise PersonNotFound(f"There is no person {person_id}.")
    return person


async def change_person(
    session: AsyncSession, *, person_id: int, fields: Mapping[str, Any], default_country: str
) -> Person:
    """Change a person by merge patch; raises PersonNotFound, InvalidContact and ExternalIdTaken."""
    await read_person(session, person_id=person_id)
    told = await _checked(session, fields, owner=ExtraOwner.PERSON, default_country=default_country)
    person = await read_person(
        session, person_id=person_id, lock=True
    )  # after the extra fields, as everybody locks them
    values = merged(person.model_dump(include=set(queries.BLANK_PERSON)), told.line)
    await _checked_person(session, values, company_id=told.line.get("company_id"))
    before = (person.email, person.email_key)
    person.sqlmodel_update(values)
    person.updated_at = now()
    await queries.add(session, person)
    await _give(session, person, told)
    if before != (person.email, person.email_key):
        await email_queries.settle(session, before={person.id: before})
        await session.refresh(person)
    return person


async def _give(session: AsyncSession, person: Person, told: Told) -> None:
    if told.further is not None:
        await email_queries.replace_further(session, told={person.id: told.further})
    if told.interests is not None:
        await replace_by_name(session, names={person.id: told.interests})


async def delete_person(session: AsyncSession, *, person_id: int) -> None:
    """Delete a person with memberships and subscriptions; the consent ledger and sent mailings keep their lines."""
    await session.delete(await read_person(session, person_id=person_id))


async def create_company(session: AsyncSession, *, fields: Mapping[str, Any], default_country: str) -> Company:
    """Add a company; raises InvalidContact and ExternalIdTaken."""
    told = await _checked(session, fields, owner=ExtraOwner.COMPANY, default_country=default_country)
    company = Company(**merged(queries.BLANK_COMPANY, told.line))
    await queries.add(session, company)
    return company


async def read_company(session: AsyncSession, *, company_id: int, lock: bool = False) -> Company:
    """Return a company, with `lock` one that nobody else changes until the commit; raises CompanyNotFound."""
    company = await queries.find_company(session, company_id=company_id, lock=lock)
    if company is None:
        raise CompanyNotFound(f"There is no company {company_id}.")
    return company


async def change_company(
    session: AsyncSession, *, company_id: int, fields: Mapping[str, Any], default_country: str
) -> Company:
    """Change a company by merge patch; raises CompanyNotFound, InvalidContact and ExternalIdTaken."""
    await read_company(session, company_id=company_id)
    told = await _checked(session, fields, owner=ExtraOwner.COMPANY, default_country=default_country)
    company = await read_company(session, company_id=company_id, lock=True)
    company.sqlmodel_update(merged(company.model_dump(include=set(queries.BLANK_COMPANY)), told.line))
    company.updated_at = now()
    await queries.add(session, company)
    return company


async def delete_company(session: AsyncSession, *, company_id: int) -> None:
    """Delete a company; its persons stay, without one."""
    await session.delete(await read_company(session, company_id=company_id))


def search_key(email: str) -> str:
    """Return the key to look an address up by; an address that is not valid finds nothing."""
    try:
        return normalise_email(email).key
    except InvalidEmail:
        return ""
