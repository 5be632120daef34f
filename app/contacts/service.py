"""Persons and companies, one at a time. Many at once are in `bulk`."""

from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import queries
from app.contacts.addresses import InvalidEmail, InvalidPhone, normalise_email, normalise_phone
from app.contacts.errors import CompanyNotFound, InvalidContact, PersonNotFound
from app.contacts.merging import Line, merged
from app.contacts.models import Company, Person
from app.platform.clock import now
from app.platform.errors import InvalidField

PHONES = ("cellphone", "direct", "phone")
IDENTITIES = ("name", "email", "cellphone", "external_id")


def normalised(fields: Mapping[str, Any], *, default_country: str) -> tuple[dict[str, Any], list[InvalidField]]:
    """Return the fields with addresses and numbers in the form they are kept in, and what is wrong with them."""
    line, faults = dict(fields), []
    if "email" in line:
        raw, line["email"], line["email_key"] = line["email"], None, None
        try:
            if raw:
                email = normalise_email(raw)
                line["email"], line["email_key"] = email.address, email.key
        except InvalidEmail as refusal:
            faults.append(InvalidField(pointer="#/email", detail=refusal.reason))
    for field in PHONES:
        try:
            if field in line:
                line[field] = normalise_phone(line[field], default_country) if line[field] else None
        except InvalidPhone as refusal:
            faults.append(InvalidField(pointer=f"#/{field}", detail=refusal.reason))
    return line, faults


def nameless(person: Line) -> list[InvalidField]:
    """Return what is wrong with a person of whom nothing says who it is."""
    if any(person.get(field) for field in IDENTITIES):
        return []
    detail = "Nothing says who this is: give a name, an email address, a mobile number or an external id."
    return [InvalidField(pointer="#", detail=detail)]


def _checked(fields: Mapping[str, Any], default_country: str) -> dict[str, Any]:
    line, faults = normalised(fields, default_country=default_country)
    if faults:
        raise InvalidContact(f"{len(faults)} field(s) are wrong.", errors=faults)
    return line


async def _checked_person(session: AsyncSession, values: Line, *, company_id: int | None) -> None:
    faults = nameless(values)
    if company_id is not None and await queries.find_company(session, company_id=company_id) is None:
        faults.append(InvalidField(pointer="#/company_id", detail=f"There is no company {company_id}."))
    if faults:
        raise InvalidContact(faults[0].detail, errors=faults)


async def create_person(session: AsyncSession, *, fields: Mapping[str, Any], default_country: str) -> Person:
    """Add a person; raises InvalidContact and ExternalIdTaken."""
    values = merged(queries.BLANK_PERSON, _checked(fields, default_country))
    await _checked_person(session, values, company_id=values["company_id"])
    person = Person(**values)
    await queries.add(session, person)
    return person


async def read_person(session: AsyncSession, *, person_id: int) -> Person:
    """Return a person; raises PersonNotFound."""
    person = await queries.find_person(session, person_id=person_id)
    if person is None:
        raise PersonNotFound(f"There is no person {person_id}.")
    return person


async def change_person(
    session: AsyncSession, *, person_id: int, fields: Mapping[str, Any], default_country: str
) -> Person:
    """Change a person by merge patch; raises PersonNotFound, InvalidContact and ExternalIdTaken."""
    person = await read_person(session, person_id=person_id)
    line = _checked(fields, default_country)
    values = merged(person.model_dump(include=set(queries.BLANK_PERSON)), line)
    await _checked_person(session, values, company_id=line.get("company_id"))
    person.sqlmodel_update(values)
    person.updated_at = now()
    await queries.add(session, person)
    return person


async def delete_person(session: AsyncSession, *, person_id: int) -> None:
    """Delete a person with memberships and subscriptions; the consent ledger and sent mailings keep their lines."""
    await session.delete(await read_person(session, person_id=person_id))


async def create_company(session: AsyncSession, *, fields: Mapping[str, Any], default_country: str) -> Company:
    """Add a company; raises InvalidContact and ExternalIdTaken."""
    company = Company(**merged(queries.BLANK_COMPANY, _checked(fields, default_country)))
    await queries.add(session, company)
    return company


async def read_company(session: AsyncSession, *, company_id: int) -> Company:
    """Return a company; raises CompanyNotFound."""
    company = await queries.find_company(session, company_id=company_id)
    if company is None:
        raise CompanyNotFound(f"There is no company {company_id}.")
    return company


async def change_company(
    session: AsyncSession, *, company_id: int, fields: Mapping[str, Any], default_country: str
) -> Company:
    """Change a company by merge patch; raises CompanyNotFound, InvalidContact and ExternalIdTaken."""
    company = await read_company(session, company_id=company_id)
    line = _checked(fields, default_country)
    company.sqlmodel_update(merged(company.model_dump(include=set(queries.BLANK_COMPANY)), line))
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
