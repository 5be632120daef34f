"""Reading and writing extra fields, and counting the values that are in them."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import ExtraFieldTaken
from app.contacts.models import ExtraField, ExtraKind, ExtraOwner
from app.platform.db import run

# The table of an owner is an identifier, which cannot be bound; it is the enumeration's own word.
_VALUES = {
    owner: text(f"""
        -- How many {owner} rows have a value in the field. Reads the whole table: fields are seldom dropped.
        SELECT count(*) AS values FROM {owner} WHERE extra ? :name
    """)
    for owner in ExtraOwner
}

_MISFITS = {
    owner: text(f"""
        -- How many values of the field would not fit the kind; the same verdicts as extra_values.misfit.
        -- Reads the whole table: kinds are seldom changed. CASE keeps make_date from values that are no date.
        SELECT count(*) AS values FROM (
            SELECT extra -> :name AS value, extra ->> :name AS word FROM {owner} WHERE extra ? :name
        ) AS v
        WHERE NOT CASE :kind
            WHEN 'text' THEN jsonb_typeof(value) = 'string'
            WHEN 'number' THEN jsonb_typeof(value) = 'number'
            WHEN 'boolean' THEN jsonb_typeof(value) = 'boolean'
            WHEN 'choice' THEN jsonb_typeof(value) = 'string' AND word = ANY(:choices)
            WHEN 'date' THEN CASE
                WHEN jsonb_typeof(value) <> 'string' OR left(word, 4) = '0000'
                    OR word !~ '^[0-9]{{4}}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' THEN false
                ELSE cast(right(word, 2) AS int) <= extract(day FROM
                    make_date(cast(left(word, 4) AS int), cast(substr(word, 6, 2) AS int), 1)
                    + interval '1 month' - interval '1 day')
            END
        END
    """).bindparams(
        sa.bindparam("name", type_=sa.Text),
        sa.bindparam("kind", type_=sa.Text),
        sa.bindparam("choices", type_=sa.ARRAY(sa.Text)),
    )
    for owner in ExtraOwner
}

_DROP_VALUES = {
    owner: text(f"""
        -- Takes the field out of every {owner} row that has it.
        UPDATE {owner} SET extra = extra - :name, updated_at = now() WHERE extra ? :name
    """).bindparams(sa.bindparam("name", type_=sa.Text))
    for owner in ExtraOwner
}

_DROP_PIECE = {
    owner: text(f"""
        -- Takes the field out of the next rows in the order of ids; answers the last one looked at (null at the end),
        -- and from how many it was taken. By {owner}_pkey.
        WITH piece AS (
            SELECT id FROM {owner} WHERE id > :after ORDER BY id LIMIT :most
        ), dropped AS (
            UPDATE {owner} AS t SET extra = t.extra - :name, updated_at = now()
            FROM piece WHERE t.id = piece.id AND t.extra ? :name RETURNING 1
        )
        SELECT (SELECT max(id) FROM piece) AS last, (SELECT count(*) FROM dropped) AS dropped
    """).bindparams(sa.bindparam("name", type_=sa.Text), sa.bindparam("after", type_=sa.BigInteger))
    for owner in ExtraOwner
}

_DECLARE_TEXTS = text("""
    -- Declares names that are not declared yet, as text; in order, so that two writers do not wait in a circle.
    INSERT INTO extra_field (owner, name, label, kind)
    SELECT :owner, name, name, 'text' FROM unnest(:names) AS n (name) ORDER BY name
    ON CONFLICT (owner, name) DO NOTHING
""").bindparams(sa.bindparam("owner", type_=sa.Text), sa.bindparam("names", type_=sa.ARRAY(sa.Text)))


async def find_extra_field(session: AsyncSession, *, field_id: int) -> ExtraField | None:
    """Return an extra field, or None."""
    return await session.get(ExtraField, field_id)


async def lock_extra_field(session: AsyncSession, *, field_id: int) -> ExtraField | None:
    """Return an extra field, or None; until the commit nobody writes values into it (see `declared_fields`)."""
    query = select(ExtraField).where(ExtraField.id == field_id).with_for_update()
    return (await session.exec(query)).one_or_none()


async def declared_fields(
    session: AsyncSession, *, owner: ExtraOwner, names: Collection[str] | None = None
) -> dict[str, ExtraField]:
    """Return the extra fields of an owner by name.

    Those of `names` are kept from being changed or deleted until the commit, so that a value that fits when it is
    checked still fits when it is written.
    """
    if names:
        held = select(ExtraField.id).where(ExtraField.owner == owner, col(ExtraField.name).in_(sorted(names)))
        await session.exec(held.order_by(ExtraField.name).with_for_update(read=True))
    query = select(ExtraField).where(ExtraField.owner == owner).execution_options(populate_existing=True)
    return {field.name: field for field in await session.exec(query)}


async def page_of_extra_fields(
    session: AsyncSession, *, owner: ExtraOwner | None, name: str | None, after: int | None, limit: int
) -> Sequence[ExtraField]:
    """Return at most `limit + 1` extra fields with ids over `after`."""
    query = select(ExtraField).order_by(col(ExtraField.id)).limit(limit + 1)
    if owner is not None:
        query = query.where(ExtraField.owner == owner)
    if name is not None:
        query = query.where(ExtraField.name == name)
    if after is not None:
        query = query.where(col(ExtraField.id) > after)
    return (await session.exec(query)).all()


async def add_extra_field(session: AsyncSession, field: ExtraField) -> None:
    """Write a new or changed extra field; raises ExtraFieldTaken."""
    session.add(field)
    try:
        await session.flush()
    except IntegrityError as error:
        raise ExtraFieldTaken(f"There is an extra field {field.name} already; take another name.") from error
    await session.refresh(field)


async def declare_texts(session: AsyncSession, *, owner: ExtraOwner, names: Collection[str]) -> None:
    """Declare those of the names that are not declared yet, as text; what is declared stays as it is."""
    if names:
        await run(session, _DECLARE_TEXTS, owner=owner.value, names=sorted(names))


async def count_values(session: AsyncSession, *, owner: ExtraOwner, name: str) -> int:
    """Return how many persons or companies have a value in the field."""
    return int((await run(session, _VALUES[owner], name=name)).one().values)


async def count_misfits(
    session: AsyncSession, *, owner: ExtraOwner, name: str, kind: ExtraKind, choices: Sequence[str]
) -> int:
    """Return how many values of the field would not fit the kind and its choices."""
    found = await run(session, _MISFITS[owner], name=name, kind=kind.value, choices=list(choices))
    return int(found.one().values)


async def drop_values(session: AsyncSession, *, owner: ExtraOwner, name: str) -> None:
    """Remove the field's value from every person or company."""
    await run(session, _DROP_VALUES[owner], name=name)


async def drop_piece(session: AsyncSession, *, owner: ExtraOwner, name: str, after: int, most: int) -> Any:
    """Remove the field's value from the next rows behind an id; return a row (last id or None, dropped)."""
    return (await run(session, _DROP_PIECE[owner], name=name, after=after, most=most)).one()
