"""Further addresses of persons, beside the preferred one in `person.email`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.addresses import Email
from app.contacts.models import PersonEmail
from app.platform.db import run

_IDS = sa.bindparam("person_ids", type_=sa.ARRAY(sa.BigInteger))
_EMAILS = sa.bindparam("emails", type_=sa.ARRAY(sa.Text))
_KEYS = sa.bindparam("email_keys", type_=sa.ARRAY(sa.Text))

_FURTHER = text("""
    -- The further addresses of persons, in their order. Needs person_email_person_id_email_key_key.
    SELECT person_id, array_agg(email ORDER BY id) AS emails FROM person_email
    WHERE person_id = ANY(:person_ids) GROUP BY person_id
""").bindparams(_IDS)

_ADD_ALL = text("""
    -- Adds further addresses to persons that have none; ids are their order.
    INSERT INTO person_email (person_id, email, email_key)
    SELECT person_id, email, email_key
    FROM unnest(cast(:person_ids AS bigint[]), :emails, :email_keys)
        WITH ORDINALITY AS t (person_id, email, email_key, place)
    ORDER BY place
""").bindparams(_IDS, _EMAILS, _KEYS)

_CHANGE_PLACES = text("""
    -- Where a further address has become the preferred one, the one that was preferred (told here) takes its place.
    -- Needs person_email_person_id_email_key_key.
    WITH risen AS (
        DELETE FROM person_email AS e USING person AS p
        WHERE p.id = ANY(:person_ids) AND e.person_id = p.id AND e.email_key = p.email_key
        RETURNING e.person_id
    )
    INSERT INTO person_email (person_id, email, email_key)
    SELECT person_id, email, email_key
    FROM unnest(cast(:person_ids AS bigint[]), :emails, :email_keys) AS t (person_id, email, email_key)
    JOIN risen USING (person_id) WHERE email_key IS NOT NULL
    ON CONFLICT (person_id, email_key) DO NOTHING
""").bindparams(_IDS, _EMAILS, _KEYS)

_PROMOTE = text("""
    -- Of persons without a valid preferred address, the first further one becomes it; mail goes to that one only.
    -- Needs person_email_person_id_email_key_key.
    WITH risen AS (
        DELETE FROM person_email WHERE id IN (
            SELECT min(e.id) FROM person_email AS e JOIN person AS p ON p.id = e.person_id
            WHERE e.person_id = ANY(:person_ids) AND p.email_key IS NULL GROUP BY e.person_id)
        RETURNING person_id, email, email_key
    )
    UPDATE person SET email = risen.email, email_key = risen.email_key, updated_at = now()
    FROM risen WHERE person.id = risen.person_id
""").bindparams(_IDS)

_ADD = text("""
    -- Adds a further address, or takes over the way it is written now. Needs person_email_person_id_email_key_key.
    INSERT INTO person_email (person_id, email, email_key) VALUES (:person_id, :email, :email_key)
    ON CONFLICT (person_id, email_key) DO UPDATE SET email = excluded.email
""")

_BELONGINGS = text("""
    -- Further addresses and interests of a page of persons. Needs person_email_person_id_email_key_key and
    -- person_interest_person_id_idx.
    SELECT p.id,
           ARRAY(SELECT e.email FROM person_email AS e WHERE e.person_id = p.id ORDER BY e.id) AS further,
           ARRAY(SELECT i.name FROM person_interest AS h JOIN interest AS i ON i.id = h.interest_id
                 WHERE h.person_id = p.id ORDER BY i.name) AS interests
    FROM unnest(:person_ids) AS p (id)
""").bindparams(_IDS)


_ADDRESSES = text("""
    -- All valid addresses of persons by external id, the preferred one first. Needs person_external_id_key and
    -- person_email_person_id_email_key_key.
    SELECT p.external_id, a.email, a.email_key
    FROM unnest(:external_ids) AS x (external_id) JOIN person AS p USING (external_id)
    CROSS JOIN LATERAL (
        SELECT p.email, p.email_key, 0 AS id WHERE p.email_key IS NOT NULL
        UNION ALL SELECT e.email, e.email_key, e.id FROM person_email AS e WHERE e.person_id = p.id
    ) AS a
    ORDER BY p.external_id, a.id
""").bindparams(sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)))


@dataclass(frozen=True, slots=True)
class Belongings:
    """What persons have that stands in other tables."""

    further: Sequence[str]
    interests: Sequence[str]


async def belongings(session: AsyncSession, *, person_ids: Sequence[int]) -> dict[int, Belongings]:
    """Return the further addresses and the interests of persons, by person id."""
    if not person_ids:
        return {}
    found = await run(session, _BELONGINGS, person_ids=list(person_ids))
    return {row.id: Belongings(row.further, row.interests) for row in found}


async def replace_further(session: AsyncSession, *, told: Mapping[int, Sequence[Email]]) -> None:
    """Give each person, by id, exactly these further addresses, in this order; what is so already is not written."""
    if not told:
        return
    found = {row.person_id: row.emails for row in await run(session, _FURTHER, person_ids=list(told))}
    other = {
        person_id: emails
        for person_id, emails in told.items()
        if [email.address for email in emails] != found.get(person_id, [])
    }
    if gone := other.keys() & found.keys():
        await session.exec(delete(PersonEmail).where(col(PersonEmail.person_id).in_(gone)))
    rows = [(person_id, email) for person_id, emails in other.items() for email in emails]
    if rows:
        await run(
            session, _ADD_ALL, person_ids=[person_id for person_id, _ in rows],
            emails=[email.address for _, email in rows], email_keys=[email.key for _, email in rows],
        )  # fmt: skip


async def settle(session: AsyncSession, *, before: Mapping[int, tuple[str | None, str | None]]) -> None:
    """Bring further addresses in line with preferred ones that have changed.

    `before` holds, by person id, address and key that were preferred. One that rises from the further addresses changes
    places with it; one that is cleared leaves its place to the first further one.
    """
    if not before:
        return
    await run(
        session, _CHANGE_PLACES, person_ids=list(before), emails=[email for email, _ in before.values()],
        email_keys=[key for _, key in before.values()],
    )  # fmt: skip
    await promote(session, person_ids=list(before))


async def promote(session: AsyncSession, *, person_ids: Sequence[int]) -> None:
    """Of those persons who have no valid preferred address, make the first further one the preferred one."""
    if person_ids:
        await run(session, _PROMOTE, person_ids=list(person_ids))


async def further_keys(session: AsyncSession, *, person_id: int) -> set[str]:
    """Return the keys of a person's further addresses."""
    return set((await session.exec(select(PersonEmail.email_key).where(PersonEmail.person_id == person_id))).all())


async def add_further(session: AsyncSession, *, person_id: int, email: Email) -> None:
    """Add a further address, unless the person has it already."""
    await run(session, _ADD, person_id=person_id, email=email.address, email_key=email.key)


async def remove_further(session: AsyncSession, *, person_id: int, email_key: str) -> bool:
    """Remove a further address; return whether the person had it."""
    found = delete(PersonEmail).where(col(PersonEmail.person_id) == person_id, col(PersonEmail.email_key) == email_key)
    return bool((await session.exec(found)).rowcount)


async def addresses_of(session: AsyncSession, *, external_ids: Sequence[str]) -> dict[str, list[Email]]:
    """Return the valid addresses of persons by external id, the preferred one first."""
    found: dict[str, list[Email]] = {}
    for row in await run(session, _ADDRESSES, external_ids=list(external_ids)):
        found.setdefault(row.external_id, []).append(Email(row.email, row.email, row.email_key))
    return found
