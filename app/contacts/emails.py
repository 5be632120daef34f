"""The addresses of one person: one is preferred, and mail goes to it; the others find the person, too."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import email_queries, queries
from app.contacts.addresses import InvalidEmail, normalise_email
from app.contacts.errors import EmailNotFound, InvalidContact
from app.contacts.models import Person
from app.contacts.schemas import EMAILS_LIMIT
from app.contacts.service import read_person, search_key
from app.platform.clock import now
from app.platform.errors import InvalidField


async def add_email(session: AsyncSession, *, person_id: int, address: str, preferred: bool) -> Person:
    """Add an address, or make a present one the preferred one; raises PersonNotFound and InvalidContact."""
    person = await read_person(session, person_id=person_id, lock=True)
    try:
        email = normalise_email(address)
    except InvalidEmail as refusal:
        fault = InvalidField(pointer="#/email", detail=refusal.reason)
        raise InvalidContact(refusal.reason, errors=[fault]) from refusal
    further = await email_queries.further_keys(session, person_id=person.id)
    if email.key != person.email_key and email.key not in further and len(further) + 1 >= EMAILS_LIMIT:
        detail = f"A person has at most {EMAILS_LIMIT} addresses; remove one first."
        raise InvalidContact(detail, errors=[InvalidField(pointer="#/email", detail=detail)])
    person.updated_at = now()
    if person.email_key in (None, email.key):
        person.email, person.email_key = email.address, email.key
    else:
        await email_queries.add_further(session, person_id=person.id, email=email)
        if preferred:
            before = (person.email, person.email_key)
            person.email, person.email_key = email.address, email.key
            await session.flush()
            await email_queries.settle(session, before={person.id: before})
    await queries.add(session, person)
    return person


async def remove_email(session: AsyncSession, *, person_id: int, address: str) -> Person:
    """Remove an address; the first further one takes the place of the preferred one.

    Raises PersonNotFound and EmailNotFound.
    """
    person = await read_person(session, person_id=person_id, lock=True)
    key = search_key(address)
    if key and person.email_key == key:
        before = (person.email, person.email_key)
        person.email = person.email_key = None
        await session.flush()
        await email_queries.settle(session, before={person.id: before})
    elif not await email_queries.remove_further(session, person_id=person.id, email_key=key):
        raise EmailNotFound("The person does not have this address; GET the person for those that are there.")
    person.updated_at = now()
    await session.flush()
    await session.refresh(person)
    return person
