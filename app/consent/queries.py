"""Reading and writing consent, subscriptions and blocked addresses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.errors import SubscriptionTypeInUse, SubscriptionTypeTaken
from app.consent.models import BlockedAddress, BlockReason, Consent, SubscriptionType

IMPORTED = "import: "
"""How the source of an imported line begins; the file's name follows."""

_LOCK_PERSONS = text("""
    -- Locks persons in the order of their ids, so that two writers of one person's ledger take turns, and the second
    -- sees the first one's line. Answers those that exist.
    SELECT id FROM person WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_RECORD = text("""
    -- Appends lines to the ledger and brings the state in line with it, in one statement. A line that is older than
    -- the one a state rests on (by valid_from, then id) stays in the ledger only. Persons must be locked. With
    -- only_changes, lines that would change no state are left out; with only_unknown, those of persons with a state.
    -- Answers how many lines were appended.
    -- Needs consent_state_pkey and consent_pkey.
    WITH line AS (
        SELECT * FROM jsonb_to_recordset(cast(:lines AS jsonb)) AS l (
            n int, person_id bigint, email_key text, purpose text, action text, legal_basis text, source text,
            text_version text, valid_from timestamptz, recorded_by text)
    ), added AS (
        INSERT INTO consent (person_id, email_key, purpose, action, legal_basis, source, text_version, valid_from,
                             recorded_by)
        SELECT person_id, email_key, purpose, action, legal_basis, source, text_version, coalesce(valid_from, now()),
               recorded_by
        FROM line AS l
        WHERE NOT EXISTS (
            SELECT FROM consent_state AS s JOIN consent AS c ON c.id = s.consent_id
            WHERE s.person_id = l.person_id AND s.purpose = l.purpose AND (
                :only_unknown
                OR :only_changes AND (s.given = (l.action = 'given') OR c.valid_from > coalesce(l.valid_from, now()))))
        ORDER BY n
        RETURNING id, person_id, purpose, action, valid_from
    ), newest AS (
        SELECT DISTINCT ON (person_id, purpose) * FROM added WHERE person_id IS NOT NULL
        ORDER BY person_id, purpose, valid_from DESC, id DESC
    ), newer AS (
        SELECT n.* FROM newest AS n
        LEFT JOIN consent_state AS s USING (person_id, purpose)
        LEFT JOIN consent AS c ON c.id = s.consent_id
        WHERE c.id IS NULL OR (n.valid_from, n.id) > (c.valid_from, c.id)
    ), stated AS (
        INSERT INTO consent_state (person_id, purpose, given, consent_id)
        SELECT person_id, purpose, action = 'given', id FROM newer ORDER BY person_id, purpose
        ON CONFLICT (person_id, purpose) DO UPDATE SET given = excluded.given, consent_id = excluded.consent_id
    )
    SELECT count(*) AS appended FROM added
""").bindparams(
    sa.bindparam("lines", type_=sa.JSON),
    sa.bindparam("only_changes", type_=sa.Boolean),
    sa.bindparam("only_unknown", type_=sa.Boolean),
)

_SUBSCRIBE = text("""
    -- Sets answers; one that is the same already keeps its time and source, and with only_unknown each that is there.
    -- Answers how many changed.
    WITH changed AS (
        INSERT INTO subscription AS s (person_id, subscription_type_id, subscribed, source)
        SELECT person_id, subscription_type_id, subscribed, source
        FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS r (
            person_id bigint, subscription_type_id bigint, subscribed boolean, source text)
        ORDER BY person_id, subscription_type_id
        ON CONFLICT (person_id, subscription_type_id) DO UPDATE
        SET subscribed = excluded.subscribed, source = excluded.source, changed_at = now()
        WHERE s.subscribed <> excluded.subscribed AND NOT :only_unknown
        RETURNING 1
    )
    SELECT count(*) AS changed FROM changed
""").bindparams(sa.bindparam("rows", type_=sa.JSON), sa.bindparam("only_unknown", type_=sa.Boolean))

_UNSUBSCRIBE_ALL = text("""
    -- A no to every subscription type there is, also to those the person was never asked about.
    INSERT INTO subscription AS s (person_id, subscription_type_id, subscribed, source)
    SELECT :person_id, id, false, :source FROM subscription_type ORDER BY id
    ON CONFLICT (person_id, subscription_type_id) DO UPDATE
    SET subscribed = false, source = excluded.source, changed_at = now()
    WHERE s.subscribed
""").bindparams(sa.bindparam("person_id", type_=sa.BigInteger), sa.bindparam("source", type_=sa.Text))

_REFUSALS = text("""
    -- What persons refused themselves, and when: consent to e-marketing (type NULL), or a subscription type. A no that
    -- came with an import is not among them. Needs consent_state_pkey, consent_pkey and subscription_pkey.
    SELECT s.person_id, cast(NULL AS bigint) AS subscription_type_id, c.valid_from AS refused_at
    FROM consent_state AS s JOIN consent AS c ON c.id = s.consent_id
    WHERE s.person_id = ANY(:ids) AND s.purpose = 'e_marketing' AND NOT s.given AND NOT starts_with(c.source, :imported)
    UNION ALL
    SELECT person_id, subscription_type_id, changed_at FROM subscription
    WHERE person_id = ANY(:ids) AND NOT subscribed AND NOT starts_with(source, :imported)
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_TYPES_NAMED = text("""
    -- Subscription types by name; those that are not there yet are added. The second part sees what was there before,
    -- the first what is new.
    WITH added AS (
        INSERT INTO subscription_type (name) SELECT name FROM unnest(:names) AS n (name)
        ON CONFLICT (name) DO NOTHING RETURNING id, name
    )
    SELECT id, name FROM added UNION ALL SELECT id, name FROM subscription_type WHERE name = ANY(:names)
""").bindparams(sa.bindparam("names", type_=sa.ARRAY(sa.Text)))

_BLOCK = text("""
    -- Blocks an address once. The first reason stays, save that an unsubscription gives way to a harder one: a person
    -- may take it back, but not a bounce. Answers a row unless nothing changed; is_new when it was not blocked before.
    INSERT INTO blocked_address AS b (email, email_key, reason, origin, mailing_id)
    VALUES (:email, :email_key, :reason, :origin, :mailing_id)
    ON CONFLICT (email_key) DO UPDATE
    SET reason = excluded.reason, origin = excluded.origin, mailing_id = excluded.mailing_id
    WHERE b.reason = 'unsubscribed_all' AND excluded.reason <> 'unsubscribed_all'
    RETURNING id, (xmax = 0) AS is_new
""").bindparams(
    sa.bindparam("email", type_=sa.Text), sa.bindparam("email_key", type_=sa.Text),
    sa.bindparam("reason", type_=sa.Text), sa.bindparam("origin", type_=sa.Text),
    sa.bindparam("mailing_id", type_=sa.BigInteger),
)  # fmt: skip

_LIFT = text("""
    -- Takes back what only an unsubscription blocked, for persons who consent again. Needs
    -- blocked_address_email_key_key.
    DELETE FROM blocked_address
    WHERE reason = 'unsubscribed_all' AND email_key IN (
        SELECT p.email_key FROM person AS p
        JOIN consent_state AS s ON s.person_id = p.id AND s.purpose = 'e_marketing' AND s.given
        WHERE p.id = ANY(:ids))
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_SUBSCRIPTIONS = text("""
    -- A person's answer to every subscription type. Needs subscription_pkey.
    SELECT t.id AS subscription_type_id, t.name, s.subscribed, s.source, s.changed_at
    FROM subscription_type AS t
    LEFT JOIN subscription AS s ON s.subscription_type_id = t.id AND s.person_id = :person_id
    ORDER BY t.name, t.id
""")


async def lock_persons(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Lock persons until the commit, and return those that exist."""
    rows = await session.exec(_LOCK_PERSONS, params={"ids": list(ids)})  # type: ignore[call-overload]
    return {row.id for row in rows}


async def append(
    session: AsyncSession, *, lines: Sequence[dict[str, Any]], only_changes: bool, only_unknown: bool
) -> int:
    """Append lines to the ledger and bring the state in line; return how many. Persons must be locked."""
    numbered = [{**line, "n": number} for number, line in enumerate(lines)]
    values = {"lines": numbered, "only_changes": only_changes, "only_unknown": only_unknown}
    return int((await session.exec(_RECORD, params=values)).one().appended)  # type: ignore[call-overload]


async def subscribe(session: AsyncSession, *, rows: Sequence[dict[str, Any]], only_unknown: bool) -> int:
    """Set answers to subscription types, at most one per person and type; return how many changed."""
    values = {"rows": list(rows), "only_unknown": only_unknown}
    return int((await session.exec(_SUBSCRIBE, params=values)).one().changed)  # type: ignore[call-overload]


async def unsubscribe_all(session: AsyncSession, *, person_id: int, source: str) -> None:
    """Set a no to every subscription type."""
    await session.exec(_UNSUBSCRIBE_ALL, params={"person_id": person_id, "source": source})  # type: ignore[call-overload]


async def refusals(session: AsyncSession, *, person_ids: Sequence[int]) -> dict[tuple[int, int | None], datetime]:
    """Return when persons refused what themselves, by person and subscription type (None: consent to e-marketing)."""
    rows = await session.exec(_REFUSALS, params={"ids": list(person_ids), "imported": IMPORTED})  # type: ignore[call-overload]
    return {(row.person_id, row.subscription_type_id): row.refused_at for row in rows}


async def types_named(session: AsyncSession, *, names: Sequence[str]) -> dict[str, int]:
    """Return ids of subscription types by name; those that are not there yet are added."""
    rows = await session.exec(_TYPES_NAMED, params={"names": sorted(set(names))})  # type: ignore[call-overload]
    return {row.name: row.id for row in rows}


async def block(
    session: AsyncSession, *, email: str, email_key: str, reason: BlockReason, origin: str, mailing_id: int | None
) -> int | None:
    """Block an address; return the row's id, or None when it was blocked before."""
    values = {
        "email": email, "email_key": email_key, "reason": reason.value, "origin": origin, "mailing_id": mailing_id,
    }  # fmt: skip
    row = (await session.exec(_BLOCK, params=values)).one_or_none()  # type: ignore[call-overload]
    return int(row.id) if row is not None and row.is_new else None


async def lift(session: AsyncSession, *, person_ids: Sequence[int]) -> None:
    """Unblock addresses of persons who consent to e-marketing, where an unsubscription is all that blocked them."""
    await session.exec(_LIFT, params={"ids": list(person_ids)})  # type: ignore[call-overload]


async def subscriptions_of(session: AsyncSession, *, person_id: int) -> Sequence[Any]:
    """Return a row (subscription_type_id, name, subscribed, source, changed_at) per subscription type."""
    rows = await session.exec(_SUBSCRIPTIONS, params={"person_id": person_id})  # type: ignore[call-overload]
    return list(rows)


async def known_type_ids(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are subscription types'."""
    return set((await session.exec(select(SubscriptionType.id).where(col(SubscriptionType.id).in_(ids)))).all())


async def page_of_consents(
    session: AsyncSession, *, person_id: int, after: int | None, limit: int
) -> Sequence[Consent]:
    """Return at most `limit + 1` lines of a person's ledger with ids over `after`; needs consent_person_purpose_idx."""
    query = select(Consent).where(Consent.person_id == person_id).order_by(col(Consent.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(Consent.id) > after)
    return (await session.exec(query)).all()


async def last_consent(session: AsyncSession, *, person_id: int) -> Consent:
    """Return the line that was appended last for a person."""
    query = select(Consent).where(Consent.person_id == person_id).order_by(col(Consent.id).desc()).limit(1)
    return (await session.exec(query)).one()


async def find_type(session: AsyncSession, *, subscription_type_id: int) -> SubscriptionType | None:
    """Return a subscription type, or None."""
    return await session.get(SubscriptionType, subscription_type_id)


async def page_of_types(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[SubscriptionType]:
    """Return at most `limit + 1` subscription types with ids over `after`."""
    query = select(SubscriptionType).order_by(col(SubscriptionType.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(SubscriptionType.id) > after)
    return (await session.exec(query)).all()


async def save_type(session: AsyncSession, kind: SubscriptionType) -> None:
    """Write a new or changed subscription type; raises SubscriptionTypeTaken."""
    session.add(kind)
    try:
        await session.flush()
    except IntegrityError as error:
        raise SubscriptionTypeTaken("Another subscription type has this name; take another one.") from error
    await session.refresh(kind)


async def delete_type(session: AsyncSession, kind: SubscriptionType) -> None:
    """Delete a subscription type with its subscriptions; raises SubscriptionTypeInUse."""
    await session.delete(kind)
    try:
        await session.flush()
    except IntegrityError as error:
        raise SubscriptionTypeInUse("Mailings are of this type; give them another one, or delete them.") from error


async def find_blocked(session: AsyncSession, *, blocked_address_id: int) -> BlockedAddress | None:
    """Return a blocked address, or None."""
    return await session.get(BlockedAddress, blocked_address_id)


async def page_of_blocked(
    session: AsyncSession, *, reason: BlockReason | None, email_key: str | None, after: int | None, limit: int
) -> Sequence[BlockedAddress]:
    """Return at most `limit + 1` blocked addresses with ids over `after`."""
    query = select(BlockedAddress).order_by(col(BlockedAddress.id)).limit(limit + 1)
    if reason is not None:
        query = query.where(BlockedAddress.reason == reason)
    if email_key is not None:
        query = query.where(BlockedAddress.email_key == email_key)
    if after is not None:
        query = query.where(col(BlockedAddress.id) > after)
    return (await session.exec(query)).all()
