"""Reading and writing persons and companies."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import ExternalIdTaken
from app.contacts.models import Company, Person

PERSON_COLUMNS = {
    "external_id": "text", "company_id": "bigint", "name": "text", "first_name": "text", "last_name": "text",
    "salutation": "text", "title": "text", "email": "text", "email_key": "text", "cellphone": "text", "direct": "text",
    "category": "text", "business": "text", "number": "text", "position": "text", "city": "text", "country": "text",
    "language": "text", "time_zone": "text", "former_employee": "boolean", "extra": "jsonb",
}  # fmt: skip
COMPANY_COLUMNS = {
    "external_id": "text", "name": "text", "department": "text", "country": "text", "phone": "text", "url": "text",
    "category": "text", "business": "text", "number": "text", "city": "text", "extra": "jsonb",
}  # fmt: skip

BLANK_PERSON: dict[str, Any] = dict.fromkeys(PERSON_COLUMNS) | {"name": "", "former_employee": False, "extra": {}}
BLANK_COMPANY: dict[str, Any] = dict.fromkeys(COMPANY_COLUMNS) | {"name": "", "extra": {}}


async def known_company_ids(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are companies'."""
    return set((await session.exec(select(Company.id).where(col(Company.id).in_(ids)))).all())


async def add(session: AsyncSession, row: Person | Company) -> None:
    """Write a new or changed person or company; raises ExternalIdTaken."""
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        raise _translated(error) from error
    await session.refresh(row)


def _translated(error: IntegrityError) -> Exception:
    if "_external_id_key" in str(error.orig):
        return ExternalIdTaken("Another one has this external id; change that one, or send another external id.")
    return error


async def find_person(session: AsyncSession, *, person_id: int) -> Person | None:
    """Return a person, or None."""
    return await session.get(Person, person_id)


async def find_company(session: AsyncSession, *, company_id: int) -> Company | None:
    """Return a company, or None."""
    return await session.get(Company, company_id)


async def page_of_persons(
    session: AsyncSession,
    *,
    external_id: str | None,
    email_key: str | None,
    company_id: int | None,
    name: str | None,
    after: int | None,
    limit: int,
) -> Sequence[Person]:
    """Return at most `limit + 1` persons with ids over `after`.

    `name` is the beginning of the name or of the last name. No index serves it: the walk along person_pkey ends at the
    page's last hit, and takes some 100 ms over a million persons that do not match.
    """
    query = select(Person).order_by(col(Person.id)).limit(limit + 1)
    if external_id is not None:
        query = query.where(Person.external_id == external_id)
    if email_key is not None:
        query = query.where(Person.email_key == email_key)
    if company_id is not None:
        query = query.where(Person.company_id == company_id)
    if name is not None:
        begins = [
            func.lower(column).startswith(name.lower(), autoescape=True) for column in (Person.name, Person.last_name)
        ]
        query = query.where(sa.or_(*begins))
    if after is not None:
        query = query.where(col(Person.id) > after)
    return (await session.exec(query)).all()


async def page_of_companies(
    session: AsyncSession, *, external_id: str | None, name: str | None, after: int | None, limit: int
) -> Sequence[Company]:
    """Return at most `limit + 1` companies with ids over `after`; `name` is the beginning of the name."""
    query = select(Company).order_by(col(Company.id)).limit(limit + 1)
    if external_id is not None:
        query = query.where(Company.external_id == external_id)
    if name is not None:
        query = query.where(func.lower(Company.name).startswith(name.lower(), autoescape=True))
    if after is not None:
        query = query.where(col(Company.id) > after)
    return (await session.exec(query)).all()
