"""Reading and writing interests."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import InterestTaken
from app.contacts.models import Interest, PersonInterest
from app.platform.db import run

_REPLACE = text("""
    -- Gives each person exactly the interests told; pairs that stay are not written. `persons` are those told of, once
    -- each, also those who get none. Needs person_interest_pkey and person_interest_person_id_idx. Interests are locked
    -- against deletion by their foreign keys, and pairs go in key order, so that two writers do not wait in a circle.
    WITH told AS (
        SELECT DISTINCT interest_id, person_id
        FROM unnest(cast(:interest_ids AS bigint[]), cast(:person_ids AS bigint[])) AS t (interest_id, person_id)
    ), removed AS (
        DELETE FROM person_interest AS h
        WHERE h.person_id = ANY(:persons) AND NOT EXISTS (
            SELECT FROM told WHERE told.interest_id = h.interest_id AND told.person_id = h.person_id)
    )
    INSERT INTO person_interest (interest_id, person_id)
    SELECT interest_id, person_id FROM told ORDER BY interest_id, person_id
    ON CONFLICT DO NOTHING
""").bindparams(
    sa.bindparam("interest_ids", type_=sa.ARRAY(sa.BigInteger)),
    sa.bindparam("person_ids", type_=sa.ARRAY(sa.BigInteger)),
    sa.bindparam("persons", type_=sa.ARRAY(sa.BigInteger)),
)

_NAMED = text("""
    -- The interests of these names, those that are not known created. Needs interest_name_key. Names go in order, so
    -- that two requests that create the same ones do not wait in a circle; a later statement sees what the other one
    -- created meanwhile, which is why the names are read again.
    INSERT INTO interest (name) SELECT name FROM unnest(:names) AS n (name)
    WHERE NOT EXISTS (SELECT FROM interest AS i WHERE i.name = n.name) ORDER BY name
    ON CONFLICT DO NOTHING
""").bindparams(sa.bindparam("names", type_=sa.ARRAY(sa.Text)))


async def find_interest(session: AsyncSession, *, interest_id: int) -> Interest | None:
    """Return an interest, or None."""
    return await session.get(Interest, interest_id)


async def add_interest(session: AsyncSession, interest: Interest) -> None:
    """Write a new or renamed interest; raises InterestTaken."""
    session.add(interest)
    try:
        await session.flush()
    except IntegrityError as error:
        raise InterestTaken("Another interest has this name; take another one.") from error
    await session.refresh(interest)


async def page_of_interests(
    session: AsyncSession, *, name: str | None, after: int | None, limit: int
) -> Sequence[Interest]:
    """Return at most `limit + 1` interests with ids over `after`."""
    query = select(Interest).order_by(col(Interest.id)).limit(limit + 1)
    if name is not None:
        query = query.where(Interest.name == name)
    if after is not None:
        query = query.where(col(Interest.id) > after)
    return (await session.exec(query)).all()


async def interests_of(session: AsyncSession, *, person_id: int) -> Sequence[Interest]:
    """Return a person's interests, in the order of their names."""
    query = (
        select(Interest)
        .join(PersonInterest, col(PersonInterest.interest_id) == col(Interest.id))
        .where(PersonInterest.person_id == person_id)
        .order_by(col(Interest.name))
    )
    return (await session.exec(query)).all()


async def known_interests(session: AsyncSession, *, interest_ids: Sequence[int]) -> set[int]:
    """Return those ids that are interests', and keep these from being deleted until the transaction ends."""
    query = select(Interest.id).where(col(Interest.id).in_(interest_ids)).order_by(col(Interest.id))
    return set((await session.exec(query.with_for_update(read=True, key_share=True))).all())


async def interests_named(session: AsyncSession, *, names: Sequence[str]) -> dict[str, int]:
    """Return the ids of interests by name; those that are not known are created."""
    await run(session, _NAMED, names=list(names))
    query = select(Interest.name, Interest.id).where(col(Interest.name).in_(names))
    return dict((await session.exec(query)).all())


async def replace_interests(session: AsyncSession, *, told: Mapping[int, Sequence[int]]) -> None:
    """Give each person, by id, exactly these interests."""
    pairs = [(interest_id, person_id) for person_id, interests in told.items() for interest_id in interests]
    values = {
        "interest_ids": [interest_id for interest_id, _ in pairs],
        "person_ids": [person_id for _, person_id in pairs],
        "persons": list(told),
    }
    await run(session, _REPLACE, **values)


async def replace_by_name(session: AsyncSession, *, names: Mapping[int, Sequence[str]]) -> None:
    """Give each person, by id, exactly the interests of these names; interests that are not known are created."""
    if not names:
        return
    wanted = sorted({name for each in names.values() for name in each})
    ids = await interests_named(session, names=wanted) if wanted else {}
    told = {person_id: [ids[name] for name in each] for person_id, each in names.items()}
    await replace_interests(session, told=told)
