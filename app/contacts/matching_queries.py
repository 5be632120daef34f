"""Persons and companies by the thousand: who is meant by lines, and writing what became of them.

The statements go to asyncpg itself: binary arrays and COPY cost a tenth of what a JSON document of the rows does, and
there is no row object between. See docs/decisions for the measurements.
"""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import ExternalIdTaken
from app.contacts.merging import Draft
from app.contacts.queries import COMPANY_COLUMNS, PERSON_COLUMNS
from app.platform.db import driver_connection, run
from app.platform.memory import uncollected

_MATCHING_LOCK = 0x636F6E7461637473  # "contacts"

_BY_INDEX = """
    -- Some thousand keys out of millions are looked up one by one. While a first load outruns the statistics, the
    -- planner takes the table for a few pages and reads all of it for every batch, ever longer ones.
    SELECT set_config('enable_seqscan', $1, true), set_config('enable_hashjoin', $1, true),
           set_config('enable_mergejoin', $1, true)
"""


def _quoted(columns: dict[str, str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _readable(columns: dict[str, str]) -> str:
    """Return the columns for a SELECT, JSON as text: nearly all of it is `{}`, and need not be parsed."""
    return ", ".join(f'"{name}"{"::text" if kind == "jsonb" else ""}' for name, kind in columns.items())


def persons_meant_in(person: str, further: str, *, lock: str = "") -> str:
    """Return the statement that finds persons by $1 external ids and $2 addresses in the tables of that name."""
    return f"""
    -- The persons that lines may mean: those with an external id of theirs, and per address up to 50 with an external
    -- id and 50 without, former employees last, else the oldest first (an address shared by thousands must not load
    -- them all); those who have the address beside another preferred one likewise. With every further address of each,
    -- in the order of their ids; those of the address book are locked until the commit.
    -- Needs person_external_id_key, person_email_key_idx, person_email_email_key_idx and
    -- person_email_person_id_email_key_key. What is looked up stands in arrays and LATERAL, not in plain joins: of a
    -- table that its statistics call empty, a join goes through all persons for each key, minutes for 3 000 of them.
    WITH meant AS (
        SELECT id FROM {person} WHERE external_id = ANY($1::text[])
        UNION
        SELECT id FROM (
            SELECT p.id, row_number() OVER (PARTITION BY p.email_key, p.external_id IS NULL
                                            ORDER BY p.former_employee, p.id) AS place
            FROM {person} AS p WHERE p.email_key = ANY($2::text[])
        ) AS sharing WHERE place <= 50
        UNION
        SELECT id FROM (
            SELECT p.id, row_number() OVER (PARTITION BY f.email_key, p.external_id IS NULL
                                            ORDER BY p.former_employee, p.id) AS place
            FROM (SELECT person_id, email_key FROM {further} WHERE email_key = ANY($2::text[]) OFFSET 0) AS f
            CROSS JOIN LATERAL (SELECT * FROM {person} WHERE id = f.person_id OFFSET 0) AS p
        ) AS further WHERE place <= 50
    )
    SELECT p.id, {_readable(PERSON_COLUMNS)},
           ARRAY(SELECT f.email_key FROM {further} AS f WHERE f.person_id = p.id) AS further
    FROM {person} AS p WHERE p.id = ANY(ARRAY(SELECT id FROM meant))
    ORDER BY p.id {lock}
    """


_PERSONS_MEANT = persons_meant_in("person", "person_email", lock="FOR NO KEY UPDATE OF p")

_COMPANIES_MEANT = f"""
    -- The companies that lines mean by external id, locked until the commit. Needs company_external_id_key.
    SELECT id, {_readable(COMPANY_COLUMNS)}, '{{}}'::text[] AS further
    FROM unnest($1::text[]) AS e (external_id) JOIN company USING (external_id)
    ORDER BY id FOR NO KEY UPDATE OF company
"""

_COMPANIES_NAMED = """
    -- The oldest company of each name, whatever its case. Needs company_name_prefix_idx.
    SELECT k.name, min(c.id) AS id
    FROM unnest($1::text[]) AS k (name) JOIN company AS c ON lower(c.name) = lower(k.name)
    GROUP BY k.name
"""

_RESERVE = {
    table: f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) FROM generate_series(1, $1::int)"
    for table in ("person", "company")
}


@lru_cache(maxsize=256)
def _change(table: str, names: tuple[str, ...]) -> str:
    columns = {name: _COLUMNS[table][name] for name in names}
    arrays = ", ".join(
        f"${number}::{'text' if kind == 'jsonb' else kind}[]" for number, kind in enumerate(columns.values(), 2)
    )
    changes = ", ".join(
        f'"{name}" = r."{name}"{"::jsonb" if kind == "jsonb" else ""}' for name, kind in columns.items()
    )
    return f"""
        -- Writes the columns in which any of the rows differs from what is stored; they are locked since they were
        -- read. Needs the primary key. An array costs 0.4 µs per value, so that whole rows took twice as long.
        UPDATE {table} AS t SET {changes}, updated_at = now()
        FROM unnest($1::bigint[], {arrays}) AS r (id, {_quoted(columns)})
        WHERE t.id = r.id
    """


_COLUMNS = {"person": PERSON_COLUMNS, "company": COMPANY_COLUMNS}
_LEAVE_ADDRESS = "DELETE FROM person_email WHERE person_id = $1 AND email_key = $2"
_KEEP_ADDRESS = """
    INSERT INTO person_email (person_id, email, email_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""


async def take_matching_turn(session: AsyncSession) -> None:
    """Wait until no other transaction is matching lines to persons and companies.

    Addresses and company names are not unique, so two writers at once could each create what the other one just did.
    """
    await run(session, text("SELECT pg_advisory_xact_lock(:lock)"), lock=_MATCHING_LOCK)


@asynccontextmanager
async def by_index(session: AsyncSession) -> AsyncIterator[Any]:
    """Lend the driver's connection while the planner looks keys up; translates what the driver raises."""
    connection = await driver_connection(session)
    try:
        await connection.fetchrow(_BY_INDEX, "off")
        yield connection
        await connection.fetchrow(_BY_INDEX, "on")
    except asyncpg.UniqueViolationError as error:
        if "_external_id_key" in str(error.constraint_name):
            detail = "Another one has this external id; change that one, or send another external id."
            raise ExternalIdTaken(detail) from error
        raise
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
        raise ConnectionError("the database went away") from error


async def persons_meant(
    session: AsyncSession, *, external_ids: Sequence[str], email_keys: Sequence[str]
) -> list[Draft]:
    """Return, and lock, the persons that have one of these external ids or addresses."""
    async with by_index(session) as connection:
        return drafts_of(await connection.fetch(_PERSONS_MEANT, external_ids, email_keys))


async def companies_meant(session: AsyncSession, *, external_ids: Sequence[str]) -> list[Draft]:
    """Return, and lock, the companies that have one of these external ids."""
    async with by_index(session) as connection:
        return drafts_of(await connection.fetch(_COMPANIES_MEANT, external_ids))


async def companies_named(session: AsyncSession, *, names: Sequence[str]) -> dict[str, int]:
    """Return the ids of companies by the names that were asked for."""
    async with by_index(session) as connection:
        return {row["name"]: row["id"] for row in await connection.fetch(_COMPANIES_NAMED, names)}


def drafts_of(rows: Sequence[Any]) -> list[Draft]:
    """Return rows of a statement of this module as drafts."""
    drafts = []
    with uncollected():
        for row in rows:
            values = dict(row)
            further = values.pop("further")
            values["extra"] = {} if values["extra"] == "{}" else json.loads(values["extra"])
            drafts.append(Draft(values.pop("id"), values, further=frozenset(further)))
    return drafts


async def write_persons(session: AsyncSession, drafts: Sequence[Draft]) -> None:
    """Write new and changed persons, and give the new ones their ids; raises ExternalIdTaken."""
    await _write_all(session, "person", drafts)
    swaps = [(draft.id, *swap) for draft in drafts for swap in draft.swapped]
    if swaps:
        async with by_index(session) as connection:
            for person_id, key, old, old_key in swaps:
                await connection.execute(_LEAVE_ADDRESS, person_id, key)
                if old_key is not None:
                    await connection.execute(_KEEP_ADDRESS, person_id, old, old_key)


async def write_companies(session: AsyncSession, drafts: Sequence[Draft]) -> None:
    """Write new and changed companies, and give the new ones their ids; raises ExternalIdTaken."""
    await _write_all(session, "company", drafts)


async def _write_all(session: AsyncSession, table: str, drafts: Sequence[Draft]) -> None:
    new = [draft for draft in drafts if draft.id is None]
    known = [draft for draft in drafts if draft.id is not None]
    columns = _COLUMNS[table]
    async with by_index(session) as connection:
        if known:
            known.sort(key=lambda draft: draft.id or 0)
            names = _differing(known, columns)
            if names:  # two lines may change a row back and forth
                await connection.execute(_change(table, names), *_arrays(known, names))
        if new:
            for draft, row in zip(new, await connection.fetch(_RESERVE[table], len(new)), strict=True):
                draft.id = row[0]
            await connection.copy_records_to_table(table, records=records_of(new, columns), columns=["id", *columns])


def records_of(drafts: Sequence[Draft], columns: Iterable[str]) -> list[tuple[Any, ...]]:
    """Return rows (id, columns in order) for COPY."""
    with uncollected():
        return list(zip(*_arrays(drafts, tuple(columns)), strict=True))


def _differing(drafts: Sequence[Draft], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns in which any of the rows differs from what is stored."""
    return tuple(
        name for name in columns
        if any(draft.stored is None or draft.stored[name] != draft.values[name] for draft in drafts)
    )  # fmt: skip


def _arrays(drafts: Sequence[Draft], names: Sequence[str]) -> list[list[Any]]:
    """Return ids, and the values of each column; `extra` is the text that the driver's codec takes."""
    arrays: list[list[Any]] = [[draft.id for draft in drafts]]
    for name in names:
        values = [draft.values[name] for draft in drafts]
        arrays.append([json.dumps(value) if value else "{}" for value in values] if name == "extra" else values)
    return arrays
