"""Reading and writing persons and companies."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import ExternalIdTaken
from app.contacts.merging import Draft
from app.contacts.models import Company, Person
from app.platform.db import run

_PERSON_COLUMNS = {
    "external_id": "text", "company_id": "bigint", "name": "text", "first_name": "text", "last_name": "text",
    "salutation": "text", "title": "text", "email": "text", "email_key": "text", "cellphone": "text", "direct": "text",
    "category": "text", "business": "text", "number": "text", "position": "text", "city": "text", "country": "text",
    "language": "text", "time_zone": "text", "former_employee": "boolean", "extra": "jsonb",
}  # fmt: skip
_COMPANY_COLUMNS = {
    "external_id": "text", "name": "text", "department": "text", "country": "text", "phone": "text", "url": "text",
    "category": "text", "business": "text", "number": "text", "city": "text", "extra": "jsonb",
}  # fmt: skip

BLANK_PERSON: dict[str, Any] = dict.fromkeys(_PERSON_COLUMNS) | {"name": "", "former_employee": False, "extra": {}}
BLANK_COMPANY: dict[str, Any] = dict.fromkeys(_COMPANY_COLUMNS) | {"name": "", "extra": {}}

_MATCHING_LOCK = 0x636F6E7461637473  # "contacts"


def _quoted(columns: dict[str, str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _write(table: str, columns: dict[str, str]) -> sa.TextClause:
    record = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns)
    return text(f"""
        -- Writes whole rows, new ones and known ones alike, in the order of their ids so that two writers cannot wait
        -- for each other in a circle. Ids are reserved beforehand, which tells the caller what became of which line.
        -- One statement for 1 000 rows takes some 20 ms; one by one they take over a second.
        INSERT INTO {table} (id, {_quoted(columns)})
        SELECT id, {_quoted(columns)} FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS r (id bigint, {record})
        ORDER BY id
        ON CONFLICT (id) DO UPDATE SET {changes}, updated_at = now()
    """).bindparams(sa.bindparam("rows", type_=sa.JSON))


_WRITE_PERSONS = _write("person", _PERSON_COLUMNS)
_WRITE_COMPANIES = _write("company", _COMPANY_COLUMNS)

_PERSONS_MEANT = text(f"""
    -- The persons that lines may mean: those with an external id of theirs, and per address the oldest with an external
    -- id and up to 50 without (an address shared by thousands must not load them all). Locked until the commit.
    -- Needs person_external_id_key and person_email_key_idx. The joins must stay: while a first load outruns the
    -- statistics, `= ANY(array)` compares each person with each value, and a LATERAL with ORDER BY id LIMIT walks
    -- person_pkey for each address (20 000 persons took 3 s and 30 s instead of 0.3).
    WITH meant AS (
        SELECT p.id FROM unnest(:external_ids) AS e (external_id) JOIN person AS p USING (external_id)
        UNION
        SELECT id FROM (
            SELECT p.id, p.external_id,
                   row_number() OVER (PARTITION BY p.email_key, p.external_id IS NULL ORDER BY p.id) AS place
            FROM unnest(:email_keys) AS k (email_key) JOIN person AS p USING (email_key)
        ) AS sharing
        WHERE place = 1 OR (external_id IS NULL AND place <= 50)
    )
    SELECT id, {_quoted(_PERSON_COLUMNS)} FROM person JOIN meant USING (id)
    ORDER BY id FOR NO KEY UPDATE OF person
""").bindparams(
    sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)), sa.bindparam("email_keys", type_=sa.ARRAY(sa.Text))
)

_COMPANIES_MEANT = text(f"""
    -- The companies that lines mean by external id, locked until the commit. Needs company_external_id_key.
    SELECT id, {_quoted(_COMPANY_COLUMNS)}
    FROM unnest(:external_ids) AS e (external_id) JOIN company USING (external_id)
    ORDER BY id FOR NO KEY UPDATE OF company
""").bindparams(sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)))

_COMPANIES_NAMED = text("""
    -- The oldest company of each name, whatever its case. Needs company_name_idx.
    SELECT k.name, c.id FROM unnest(:names) AS k (name) CROSS JOIN LATERAL (
        SELECT id FROM company WHERE lower(company.name) = lower(k.name) ORDER BY id LIMIT 1
    ) AS c
""").bindparams(sa.bindparam("names", type_=sa.ARRAY(sa.Text)))

_RESERVE = {
    table: text(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) AS id FROM generate_series(1, :count)")
    for table in ("person", "company")
}


async def take_matching_turn(session: AsyncSession) -> None:
    """Wait until no other transaction is matching lines to persons and companies.

    Addresses and company names are not unique, so two writers at once could each create what the other one just did.
    """
    await run(session, text("SELECT pg_advisory_xact_lock(:lock)"), lock=_MATCHING_LOCK)


async def persons_meant(
    session: AsyncSession, *, external_ids: Sequence[str], email_keys: Sequence[str]
) -> list[Draft]:
    """Return, and lock, the persons that have one of these external ids or addresses."""
    return _drafts(await run(session, _PERSONS_MEANT, external_ids=list(external_ids), email_keys=list(email_keys)))


async def companies_meant(session: AsyncSession, *, external_ids: Sequence[str]) -> list[Draft]:
    """Return, and lock, the companies that have one of these external ids."""
    return _drafts(await run(session, _COMPANIES_MEANT, external_ids=list(external_ids)))


async def companies_named(session: AsyncSession, *, names: Sequence[str]) -> dict[str, int]:
    """Return the ids of companies by the names that were asked for."""
    rows = await run(session, _COMPANIES_NAMED, names=list(names))
    return {row.name: row.id for row in rows}


async def known_company_ids(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are companies'."""
    return set((await session.exec(select(Company.id).where(col(Company.id).in_(ids)))).all())


def _drafts(rows: Any) -> list[Draft]:
    drafts = []
    for row in rows.mappings():
        values = dict(row)
        drafts.append(Draft(values.pop("id"), values))
    return drafts


async def write_persons(session: AsyncSession, drafts: Sequence[Draft]) -> None:
    """Write new and changed persons, and give the new ones their ids; raises ExternalIdTaken."""
    await _write_all(session, "person", _WRITE_PERSONS, drafts)


async def write_companies(session: AsyncSession, drafts: Sequence[Draft]) -> None:
    """Write new and changed companies, and give the new ones their ids; raises ExternalIdTaken."""
    await _write_all(session, "company", _WRITE_COMPANIES, drafts)


async def _write_all(session: AsyncSession, table: str, statement: sa.TextClause, drafts: Sequence[Draft]) -> None:
    if not drafts:
        return
    new = [draft for draft in drafts if draft.id is None]
    if new:
        reserved = await run(session, _RESERVE[table], count=len(new))
        for draft, row in zip(new, reserved, strict=True):
            draft.id = row.id
    rows = [{"id": draft.id, **draft.values} for draft in drafts]
    try:
        await run(session, statement, rows=rows)
    except IntegrityError as error:
        raise _translated(error) from error


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
