"""Reading and writing subscriptions and subscription types."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import ledger_queries
from app.consent.errors import SubscriptionTypeInUse, SubscriptionTypeTaken
from app.consent.models import SubscriptionType
from app.platform.db import run

IMPORTED = "import: "
"""How the source of an imported line begins; the file's name follows."""


def _subscribe(table: str, owner: str) -> sa.TextClause:
    return text(f"""
        -- Sets answers; one that is the same already keeps its time and source, and with only_unknown each that is
        -- there. Answers whose changed.
        INSERT INTO {table} AS s ({owner}, subscription_type_id, subscribed, source)
        SELECT {owner}, subscription_type_id, subscribed, source
        FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS r (
            {owner} bigint, subscription_type_id bigint, subscribed boolean, source text)
        ORDER BY {owner}, subscription_type_id
        ON CONFLICT ({owner}, subscription_type_id) DO UPDATE
        SET subscribed = excluded.subscribed, source = excluded.source, changed_at = now()
        WHERE s.subscribed <> excluded.subscribed AND NOT :only_unknown
        RETURNING {owner} AS owner_id, subscription_type_id
    """).bindparams(sa.bindparam("rows", type_=sa.JSON), sa.bindparam("only_unknown", type_=sa.Boolean))


_SUBSCRIBE_PERSONS = _subscribe("subscription", "person_id")
_SUBSCRIBE_COMPANIES = _subscribe("company_subscription", "company_id")

_UNSUBSCRIBE_ALL = text("""
    -- A no to every subscription type there is, also to those the person was never asked about.
    INSERT INTO subscription AS s (person_id, subscription_type_id, subscribed, source)
    SELECT :person_id, id, false, :source FROM subscription_type ORDER BY id
    ON CONFLICT (person_id, subscription_type_id) DO UPDATE
    SET subscribed = false, source = excluded.source, changed_at = now()
    WHERE s.subscribed
""").bindparams(sa.bindparam("person_id", type_=sa.BigInteger), sa.bindparam("source", type_=sa.Text))

_TYPES_NAMED = text("""
    -- Subscription types by name; those that are not there yet are added. The second part sees what was there before,
    -- the first what is new.
    WITH added AS (
        INSERT INTO subscription_type (name) SELECT name FROM unnest(:names) AS n (name)
        ON CONFLICT (name) DO NOTHING RETURNING id, name
    )
    SELECT id, name FROM added UNION ALL SELECT id, name FROM subscription_type WHERE name = ANY(:names)
""").bindparams(sa.bindparam("names", type_=sa.ARRAY(sa.Text)))

_ANSWERS = """
    -- The answer of one {owner} to every subscription type. Needs {table}_pkey.
    SELECT t.id AS subscription_type_id, t.name, s.subscribed, s.source, s.changed_at
    FROM subscription_type AS t
    LEFT JOIN {table} AS s ON s.subscription_type_id = t.id AND s.{owner}_id = :id
    ORDER BY t.name, t.id
"""
_OF_PERSON = text(_ANSWERS.format(table="subscription", owner="person"))
_OF_COMPANY = text(_ANSWERS.format(table="company_subscription", owner="company"))


async def subscribe(
    session: AsyncSession, *, rows: Sequence[dict[str, Any]], only_unknown: bool
) -> set[tuple[int, int]]:
    """Set persons' answers, at most one per person and type; return (person, type) of those that changed."""
    changed = await run(session, _SUBSCRIBE_PERSONS, rows=list(rows), only_unknown=only_unknown)
    return {(row.owner_id, row.subscription_type_id) for row in changed}


async def subscribe_companies(session: AsyncSession, *, rows: Sequence[dict[str, Any]]) -> set[tuple[int, int]]:
    """Set companies' answers, at most one per company and type; return (company, type) of those that changed."""
    changed = await run(session, _SUBSCRIBE_COMPANIES, rows=list(rows), only_unknown=False)
    return {(row.owner_id, row.subscription_type_id) for row in changed}


async def unsubscribe_all(session: AsyncSession, *, person_id: int, source: str) -> None:
    """Set a no to every subscription type."""
    await run(session, _UNSUBSCRIBE_ALL, person_id=person_id, source=source)


async def refusals(session: AsyncSession, *, person_ids: Sequence[int]) -> ledger_queries.Refusals:
    """Return what persons refused themselves, and whose yes to e-marketing ran out; a file's no is not the person's."""
    return await ledger_queries.refusals(session, person_ids=person_ids, imported=IMPORTED)


async def types_named(session: AsyncSession, *, names: Sequence[str]) -> dict[str, int]:
    """Return ids of subscription types by name; those that are not there yet are added."""
    return {row.name: row.id for row in await run(session, _TYPES_NAMED, names=sorted(set(names)))}


async def subscriptions_of(session: AsyncSession, *, person_id: int) -> Sequence[Any]:
    """Return a row (subscription_type_id, name, subscribed, source, changed_at) per subscription type."""
    return list(await run(session, _OF_PERSON, id=person_id))


async def subscriptions_of_company(session: AsyncSession, *, company_id: int) -> Sequence[Any]:
    """Return what `subscriptions_of` does, of a company."""
    return list(await run(session, _OF_COMPANY, id=company_id))


async def known_type_ids(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are subscription types'."""
    return set((await session.exec(select(SubscriptionType.id).where(col(SubscriptionType.id).in_(ids)))).all())


async def find_type(session: AsyncSession, *, subscription_type_id: int) -> SubscriptionType | None:
    """Return a subscription type, or None."""
    return await session.get(SubscriptionType, subscription_type_id)


async def page_of_types(
    session: AsyncSession, *, external_id: str | None, after: int | None, limit: int
) -> Sequence[SubscriptionType]:
    """Return at most `limit + 1` subscription types with ids over `after`."""
    query = select(SubscriptionType).order_by(col(SubscriptionType.id)).limit(limit + 1)
    if external_id is not None:
        query = query.where(SubscriptionType.external_id == external_id)
    if after is not None:
        query = query.where(col(SubscriptionType.id) > after)
    return (await session.exec(query)).all()


async def save_type(session: AsyncSession, kind: SubscriptionType) -> None:
    """Write a new or changed subscription type; raises SubscriptionTypeTaken."""
    session.add(kind)
    try:
        await session.flush()
    except IntegrityError as error:
        taken = "external id" if "_external_id_key" in str(error.orig) else "name"
        raise SubscriptionTypeTaken(f"Another subscription type has this {taken}; take another one.") from error
    await session.refresh(kind)


async def delete_type(session: AsyncSession, kind: SubscriptionType) -> None:
    """Delete a subscription type with its subscriptions; raises SubscriptionTypeInUse."""
    await session.delete(kind)
    try:
        await session.flush()
    except IntegrityError as error:
        raise SubscriptionTypeInUse("Mailings are of this type; give them another one, or delete them.") from error
