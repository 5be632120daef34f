"""Reading and writing selections, and who is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.criteria_sql import Persons
from app.audience.models import Selection, SelectionCompany, SelectionKind, SelectionMember
from app.contacts.models import Company, Person
from app.platform.db import run
from app.platform.plans import whole_sets

SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Whom:
    """A SELECT with the columns (person_id, company_id), one of them null; each pair comes once."""

    sql: str
    params: Mapping[str, Any]


_MEMBERS = {"person": "selection_member", "company": "selection_company"}

_ADD_NAMED = {
    table: text(f"""
        -- Adds persons or companies to a selection; those that are in it stay. Answers how many were added, how many of
        -- the ids are known, and which are nobody's. Needs {members}_pkey and {table}_pkey.
        WITH known AS (
            SELECT id FROM {table} WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE
        ), added AS (
            INSERT INTO {members} (selection_id, {table}_id) SELECT :selection_id, id FROM known
            ON CONFLICT DO NOTHING RETURNING 1
        )
        SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM known) AS known,
               ARRAY(SELECT DISTINCT u FROM unnest(:ids) AS u
                     WHERE NOT EXISTS (SELECT FROM known WHERE known.id = u) ORDER BY u) AS unknown
    """).bindparams(
        sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("selection_id", type_=sa.BigInteger)
    )
    for table, members in _MEMBERS.items()
}  # fmt: skip

_REMOVE_NAMED = {
    table: text(f"""
        -- Takes persons or companies out of a selection by their keys in it. Answers how many there were, how many of
        -- the ids are known, and which are nobody's.
        WITH known AS (
            SELECT id FROM {table} WHERE id = ANY(:ids)
        ), removed AS (
            DELETE FROM {members} WHERE selection_id = :selection_id AND {table}_id = ANY(:ids) RETURNING 1
        )
        SELECT (SELECT count(*) FROM removed) AS removed, (SELECT count(*) FROM known) AS known,
               ARRAY(SELECT DISTINCT u FROM unnest(:ids) AS u
                     WHERE NOT EXISTS (SELECT FROM known WHERE known.id = u) ORDER BY u) AS unknown
    """).bindparams(
        sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("selection_id", type_=sa.BigInteger)
    )
    for table, members in _MEMBERS.items()
}  # fmt: skip

_PERSONS_NAMED = text("""
    -- The persons that external ids and addresses mean. An address means one person: who prefers it, then who has it
    -- beside another; former employees last; the oldest. With `every`, all who have it. Needs person_external_id_key,
    -- person_email_key_idx and person_email_email_key_idx.
    SELECT 'external_id' AS named, e.given, p.id
    FROM unnest(:external_ids) AS e (given) JOIN person AS p ON p.external_id = e.given
    UNION ALL
    SELECT 'email', given, id FROM (
        SELECT given, id, row_number() OVER (PARTITION BY given ORDER BY further, former_employee, id) AS place
        FROM (
            SELECT k.given, p.id, p.former_employee, false AS further
            FROM unnest(:email_keys) AS k (given) JOIN person AS p ON p.email_key = k.given
            UNION ALL
            SELECT k.given, p.id, p.former_employee, true
            FROM unnest(:email_keys) AS k (given)
            JOIN person_email AS e ON e.email_key = k.given JOIN person AS p ON p.id = e.person_id
        ) AS holder
    ) AS ranked
    WHERE place = 1 OR :every
""").bindparams(
    sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)), sa.bindparam("email_keys", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("every", type_=sa.Boolean),
)  # fmt: skip

_ADD_WHOM = """
    -- Adds all of a set to a selection; those who are in it stay. In the order of keys, so that two that add to the
    -- same selection do not wait for each other in a circle. Who is new is locked first, as the foreign key's check
    -- would do one by one: whoever is deleted meanwhile is left out there, and fails the statement here.
    WITH whom AS MATERIALIZED ({whom}), new_person AS MATERIALIZED (
        SELECT p.id FROM whom AS w JOIN person AS p ON p.id = w.person_id
        WHERE NOT EXISTS (SELECT FROM selection_member AS m
                          WHERE m.selection_id = cast(:to_selection AS bigint) AND m.person_id = p.id)
        ORDER BY p.id FOR KEY SHARE OF p
    ), new_company AS MATERIALIZED (
        SELECT k.id FROM whom AS w JOIN company AS k ON k.id = w.company_id
        WHERE NOT EXISTS (SELECT FROM selection_company AS m
                          WHERE m.selection_id = cast(:to_selection AS bigint) AND m.company_id = k.id)
        ORDER BY k.id FOR KEY SHARE OF k
    ), persons AS (
        INSERT INTO selection_member (selection_id, person_id)
        SELECT cast(:to_selection AS bigint), id FROM new_person ORDER BY id ON CONFLICT DO NOTHING RETURNING 1
    ), companies AS (
        INSERT INTO selection_company (selection_id, company_id)
        SELECT cast(:to_selection AS bigint), id FROM new_company ORDER BY id ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM persons) AS persons, (SELECT count(*) FROM companies) AS companies,
           (SELECT count(person_id) FROM whom) AS all_persons, (SELECT count(company_id) FROM whom) AS all_companies
"""

_REMOVE_WHOM = """
    -- Takes all of a set out of a selection.
    WITH whom AS MATERIALIZED ({whom}), persons AS (
        DELETE FROM selection_member AS m USING whom
        WHERE m.selection_id = cast(:to_selection AS bigint) AND m.person_id = whom.person_id RETURNING 1
    ), companies AS (
        DELETE FROM selection_company AS m USING whom
        WHERE m.selection_id = cast(:to_selection AS bigint) AND m.company_id = whom.company_id RETURNING 1
    )
    SELECT (SELECT count(*) FROM persons) AS persons, (SELECT count(*) FROM companies) AS companies,
           (SELECT count(person_id) FROM whom) AS all_persons, (SELECT count(company_id) FROM whom) AS all_companies
"""

_PREVIEW = """
    -- How many persons criteria mean, and the first of them: evaluated once.
    WITH found AS MATERIALIZED ({persons})
    SELECT (SELECT count(*) FROM found) AS persons, ARRAY(SELECT id FROM found ORDER BY id LIMIT :sample) AS sample
"""

_MAILINGS = text("""
    -- A page of the mailings that a selection is associated with or a source of, by mailing_selection_id_idx and
    -- mailing_source_selection_id_idx.
    SELECT m.id, m.name, m.type, m.state, m.subject, m.created_at, m.started_at, m.finished_at,
           m.selection_id IS NOT DISTINCT FROM :selection_id AS associated,
           EXISTS (SELECT FROM mailing_source AS s
                   WHERE s.mailing_id = m.id AND s.selection_id = :selection_id) AS source
    FROM mailing AS m
    WHERE m.id > :after AND m.id IN (
        SELECT id FROM mailing WHERE selection_id = :selection_id
        UNION
        SELECT mailing_id FROM mailing_source WHERE selection_id = :selection_id
    )
    ORDER BY m.id LIMIT :limit
""").bindparams(sa.bindparam("selection_id", type_=sa.BigInteger))


async def page_of_selections(
    session: AsyncSession, *, folder_id: int | None, kind: SelectionKind | None, after: int | None, limit: int
) -> Sequence[Selection]:
    """Return at most `limit + 1` selections with ids over `after`."""
    query = select(Selection).order_by(col(Selection.id)).limit(limit + 1)
    if folder_id is not None:
        query = query.where(Selection.folder_id == folder_id)
    if kind is not None:
        query = query.where(Selection.kind == kind)
    if after is not None:
        query = query.where(col(Selection.id) > after)
    return (await session.exec(query)).all()


async def page_of_members(
    session: AsyncSession, *, selection_id: int, after: int | None, limit: int
) -> Sequence[Person]:
    """Return at most `limit + 1` members of a static selection with ids over `after`; walks selection_member_pkey."""
    query = (
        select(Person)
        .join(SelectionMember, col(SelectionMember.person_id) == col(Person.id))
        .where(SelectionMember.selection_id == selection_id)
        .order_by(col(SelectionMember.person_id))
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(col(SelectionMember.person_id) > after)
    return (await session.exec(query)).all()


async def page_of_companies(
    session: AsyncSession, *, selection_id: int, after: int | None, limit: int
) -> Sequence[Company]:
    """Return at most `limit + 1` companies of a static selection with ids over `after`; walks its primary key."""
    query = (
        select(Company)
        .join(SelectionCompany, col(SelectionCompany.company_id) == col(Company.id))
        .where(SelectionCompany.selection_id == selection_id)
        .order_by(col(SelectionCompany.company_id))
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(col(SelectionCompany.company_id) > after)
    return (await session.exec(query)).all()


async def page_of_persons(session: AsyncSession, *, persons: Persons, after: int | None, limit: int) -> Sequence[Any]:
    """Return at most `limit + 1` persons whom criteria mean, with ids over `after`: (id, external_id, name, email)."""
    statement = text(
        f"SELECT p.id, p.external_id, p.name, p.email FROM {persons.source} "
        f"WHERE ({persons.condition}) AND p.id > :after ORDER BY p.id LIMIT :limit"
    )
    async with whole_sets(session):
        rows: Sequence[Any] = (await run(session, statement, after=after or 0, limit=limit + 1, **persons.params)).all()
    return rows


async def count_persons(session: AsyncSession, *, persons: Persons) -> int:
    """Return how many persons criteria mean."""
    statement = text(f"SELECT count(*) AS persons FROM {persons.source} WHERE {persons.condition}")
    async with whole_sets(session):
        return int((await run(session, statement, **persons.params)).one().persons)


async def preview(session: AsyncSession, *, persons: Persons) -> tuple[int, Sequence[Person]]:
    """Return how many persons criteria mean, and the first of them."""
    statement = text(_PREVIEW.format(persons=persons.sql))
    async with whole_sets(session):
        found = (await run(session, statement, sample=SAMPLE, **persons.params)).one()
    rows = await session.exec(select(Person).where(col(Person.id).in_(found.sample)).order_by(col(Person.id)))
    return found.persons, rows.all()


async def count_members(session: AsyncSession, *, selection_id: int) -> tuple[int, int]:
    """Return how many persons and companies are in a static selection: index-only, some 50 ms for a million."""
    counts = []
    for table in (SelectionMember, SelectionCompany):
        query = select(func.count()).select_from(table).where(col(table.selection_id) == selection_id)
        counts.append((await session.exec(query)).one())
    return counts[0], counts[1]


async def persons_named(
    session: AsyncSession, *, external_ids: Sequence[str], email_keys: Sequence[str], every: bool
) -> Sequence[Any]:
    """Return rows (named, given, id): which person an external id or an address means, or every one that has it."""
    values = {"external_ids": list(external_ids), "email_keys": list(email_keys), "every": every}
    rows: Sequence[Any] = (await run(session, _PERSONS_NAMED, **values)).all()
    return rows


async def add_named(session: AsyncSession, *, selection_id: int, table: str, ids: Sequence[int]) -> Any:
    """Add persons or companies by id; return a row (added, known, unknown ids)."""
    return (await run(session, _ADD_NAMED[table], selection_id=selection_id, ids=list(ids))).one()


async def remove_named(session: AsyncSession, *, selection_id: int, table: str, ids: Sequence[int]) -> Any:
    """Take persons or companies out by id; return a row (removed, known, unknown ids)."""
    return (await run(session, _REMOVE_NAMED[table], selection_id=selection_id, ids=list(ids))).one()


async def add_whom(session: AsyncSession, *, selection_id: int, whom: Whom) -> Any:
    """Add a set; return a row (persons and companies added, all_persons and all_companies of the set)."""
    return await _move(session, _ADD_WHOM, selection_id, whom)


async def remove_whom(session: AsyncSession, *, selection_id: int, whom: Whom) -> Any:
    """Take a set out; return a row (persons and companies removed, all_persons and all_companies of the set)."""
    return await _move(session, _REMOVE_WHOM, selection_id, whom)


async def _move(session: AsyncSession, statement: str, selection_id: int, whom: Whom) -> Any:
    async with whole_sets(session):
        return (
            await run(session, text(statement.format(whom=whom.sql)), to_selection=selection_id, **whom.params)
        ).one()


async def remove_member(session: AsyncSession, *, selection_id: int, person_id: int) -> bool:
    """Take a person out of a selection; return whether the person was in it."""
    return await _remove(session, await session.get(SelectionMember, (selection_id, person_id)))


async def remove_company(session: AsyncSession, *, selection_id: int, company_id: int) -> bool:
    """Take a company out of a selection; return whether it was in it."""
    return await _remove(session, await session.get(SelectionCompany, (selection_id, company_id)))


async def _remove(session: AsyncSession, member: SelectionMember | SelectionCompany | None) -> bool:
    if member is None:
        return False
    await session.delete(member)
    return True


async def page_of_mailings(session: AsyncSession, *, selection_id: int, after: int | None, limit: int) -> Sequence[Any]:
    """Return at most `limit + 1` mailings that have a selection, with ids over `after`."""
    values = {"selection_id": selection_id, "after": after or 0, "limit": limit + 1}
    rows: Sequence[Any] = (await run(session, _MAILINGS, **values)).all()
    return rows
