"""Reading and writing persons and companies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import ExternalIdTaken
from app.contacts.models import Company, Person, PersonEmail, PersonInterest

PERSON_COLUMNS = {
    "external_id": "text", "company_id": "bigint", "name": "text", "first_name": "text", "last_name": "text",
    "salutation": "text", "title": "text", "email": "text", "email_key": "text", "cellphone": "text", "direct": "text",
    "category": "text", "business": "text", "number": "text", "position": "text", "city": "text", "country": "text",
    "language": "text", "time_zone": "text", "our_contact_name": "text", "our_contact_email": "text",
    "support_contact_name": "text", "support_contact_email": "text", "former_employee": "boolean", "extra": "jsonb",
}  # fmt: skip
COMPANY_COLUMNS = {
    "external_id": "text", "name": "text", "department": "text", "email": "text", "email_key": "text",
    "country": "text", "phone": "text", "url": "text", "category": "text", "business": "text", "number": "text",
    "city": "text", "extra": "jsonb",
}  # fmt: skip

BLANK_PERSON: dict[str, Any] = dict.fromkeys(PERSON_COLUMNS) | {"name": "", "former_employee": False, "extra": {}}
BLANK_COMPANY: dict[str, Any] = dict.fromkeys(COMPANY_COLUMNS) | {"name": "", "extra": {}}


async def hold_companies(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are companies'; none of these is deleted until the commit."""
    query = select(Company.id).where(col(Company.id).in_(ids)).order_by(col(Company.id))
    return set((await session.exec(query.with_for_update(read=True, key_share=True))).all())


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


async def find_person(session: AsyncSession, *, person_id: int, lock: bool = False) -> Person | None:
    """Return a person, or None; `lock` keeps others from changing it until the commit."""
    return await session.get(Person, person_id, with_for_update={"key_share": True} if lock else None)


async def find_company(session: AsyncSession, *, company_id: int, lock: bool = False) -> Company | None:
    """Return a company, or None; `lock` keeps others from changing it until the commit."""
    return await session.get(Company, company_id, with_for_update={"key_share": True} if lock else None)


async def page_of_persons(
    session: AsyncSession,
    *,
    external_id: str | None,
    email_key: str | None,
    company_id: int | None,
    interest_id: int | None,
    name: str | None,
    updated_after: datetime | None,
    after: int | None,
    limit: int,
) -> Sequence[Person]:
    """Return at most `limit + 1` persons with ids over `after`.

    `email_key` is that of any of their addresses. `name` is the beginning of the name or of the last name; it needs
    person_name_prefix_idx and person_last_name_prefix_idx, and `updated_after` person_updated_at_idx.
    """
    query = select(Person).order_by(col(Person.id)).limit(limit + 1)
    if external_id is not None:
        query = query.where(Person.external_id == external_id)
    if email_key is not None:
        # A union, since an OR over two tables would walk all persons.
        preferred = select(Person.id).where(Person.email_key == email_key)
        further = select(PersonEmail.person_id).where(PersonEmail.email_key == email_key)
        query = query.where(col(Person.id).in_(preferred.union_all(further)))
    if company_id is not None:
        query = query.where(Person.company_id == company_id)
    if interest_id is not None:
        having = select(PersonInterest.person_id).where(PersonInterest.interest_id == interest_id)
        query = query.where(col(Person.id).in_(having))
    if name is not None:
        begins = [
            func.lower(column).startswith(name.lower(), autoescape=True) for column in (Person.name, Person.last_name)
        ]
        query = query.where(sa.or_(*begins))
    if updated_after is not None:
        query = query.where(col(Person.updated_at) > updated_after)
    if after is not None:
        query = query.where(col(Person.id) > after)
    return (await session.exec(query)).all()


async def page_of_companies(
    session: AsyncSession,
    *,
    external_id: str | None,
    email_key: str | None,
    name: str | None,
    updated_after: datetime | None,
    after: int | None,
    limit: int,
) -> Sequence[Company]:
    """Return at most `limit + 1` companies with ids over `after`; `name` is the beginning of the name.

    Needs company_email_key_idx, company_name_prefix_idx and company_updated_at_idx.
    """
    query = select(Company).order_by(col(Company.id)).limit(limit + 1)
    if external_id is not None:
        query = query.where(Company.external_id == external_id)
    if email_key is not None:
        query = query.where(Company.email_key == email_key)
    if name is not None:
        query = query.where(func.lower(Company.name).startswith(name.lower(), autoescape=True))
    if updated_after is not None:
        query = query.where(col(Company.updated_at) > updated_after)
    if after is not None:
        query = query.where(col(Company.id) > after)
    return (await session.exec(query)).all()
