"""Interests, and who has them."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import interest_queries as queries
from app.contacts.errors import InterestNotFound, UnknownInterest
from app.contacts.models import Interest
from app.contacts.service import read_person
from app.platform.errors import InvalidField


async def create_interest(session: AsyncSession, *, name: str) -> Interest:
    """Add an interest; raises InterestTaken."""
    interest = Interest(name=name)
    await queries.add_interest(session, interest)
    return interest


async def read_interest(session: AsyncSession, *, interest_id: int) -> Interest:
    """Return an interest; raises InterestNotFound."""
    interest = await queries.find_interest(session, interest_id=interest_id)
    if interest is None:
        raise InterestNotFound(f"There is no interest {interest_id}.")
    return interest


async def rename_interest(session: AsyncSession, *, interest_id: int, name: str) -> Interest:
    """Give an interest another name; raises InterestNotFound and InterestTaken."""
    interest = await read_interest(session, interest_id=interest_id)
    interest.name = name
    await queries.add_interest(session, interest)
    return interest


async def delete_interest(session: AsyncSession, *, interest_id: int) -> None:
    """Delete an interest; nobody has it any more. Raises InterestNotFound."""
    await session.delete(await read_interest(session, interest_id=interest_id))


async def interests_of(session: AsyncSession, *, person_id: int) -> Sequence[Interest]:
    """Return a person's interests, in the order of their names; raises PersonNotFound."""
    await read_person(session, person_id=person_id)
    return await queries.interests_of(session, person_id=person_id)


async def set_interests(session: AsyncSession, *, person_id: int, interest_ids: Sequence[int]) -> Sequence[Interest]:
    """Give a person exactly these interests; raises PersonNotFound and UnknownInterest."""
    await read_person(session, person_id=person_id)
    known = await queries.known_interests(session, interest_ids=interest_ids)
    faults = [
        InvalidField(pointer=f"#/interest_ids/{place}", detail=f"There is no interest {interest_id}.")
        for place, interest_id in enumerate(interest_ids)
        if interest_id not in known
    ]
    if faults:
        raise UnknownInterest(f"{len(faults)} interest(s) do not exist.", errors=faults)
    await queries.replace_interests(session, told={person_id: interest_ids})
    return await queries.interests_of(session, person_id=person_id)
