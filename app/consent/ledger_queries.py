"""The append-only ledger and the states that rest on it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.models import Consent
from app.platform.db import run
from app.platform.plans import by_key

_IDS = sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger))

_LOCK = """
    -- Locks {table} rows in the order of their ids, so that two writers of one ledger take turns, and the second sees
    -- the first one's line. Answers those that exist.
    SELECT id FROM {table} WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_PERSONS = text(_LOCK.format(table="person")).bindparams(_IDS)
_LOCK_COMPANIES = text(_LOCK.format(table="company")).bindparams(_IDS)

_LOCK_PURPOSES = text("""
    -- Instead of a foreign key, whose check of each line took a sixth of an import's time.
    SELECT key FROM consent_purpose WHERE key = ANY(:keys) ORDER BY key FOR KEY SHARE
""").bindparams(sa.bindparam("keys", type_=sa.ARRAY(sa.Text)))

_RECORD = text("""
    -- Appends lines to the ledger and brings the states in line with it, in one statement. A line that is older than
    -- the one a state rests on (by valid_from, then id) stays in the ledger only. Owners and purposes must be locked.
    -- With only_changes, lines that would change no state are left out; with only_unknown, those of whom a state is
    -- known. Answers the ns and the ids of the lines that were appended.
    -- A time in the future becomes that of the statement, else a withdrawal of today would be older than such a yes.
    -- It is the statement's and not now(), the transaction's: whoever waited for the lock writes the newer line.
    -- No row is looked up but by consent_state_pkey: the upserts compare with what they meet, so that the statement
    -- costs the same while a first load outruns the statistics. Joins with the states do not.
    -- What lines say comes once for all that say the same: an import's thousands differ in whom they are about only.
    WITH line AS MATERIALIZED (
        SELECT nextval((SELECT cast(pg_get_serial_sequence('consent', 'id') AS regclass))) AS id, l.*,
               least(coalesce(l.valid_from, statement_timestamp()), statement_timestamp()) AS since
        FROM (
            SELECT w.n, w.person_id, w.company_id, w.email_key, c.*
            FROM unnest(:ns, :persons, :companies, :keys, :places) AS w (n, person_id, company_id, email_key, place)
            JOIN jsonb_to_recordset(cast(:contents AS jsonb)) AS c (
                place int, purpose text, action text, legal_basis text, source text, text_version text, language text,
                evidence text, valid_from timestamptz, valid_until timestamptz, recorded_by text) USING (place)
            ORDER BY n
        ) AS l
    ), dated AS (
        SELECT l.*, CASE action
                   WHEN 'given' THEN coalesce(l.valid_until, l.since + make_interval(months => p.valid_months))
                   WHEN 'expired' THEN l.since
               END AS until
        FROM line AS l JOIN consent_purpose AS p ON p.key = l.purpose
    ), added AS (
        INSERT INTO consent (id, person_id, company_id, email_key, purpose, action, legal_basis, source, text_version,
                             language, evidence, valid_from, valid_until, recorded_by)
        SELECT id, person_id, company_id, email_key, purpose, action, legal_basis, source, text_version, language,
               evidence, since, until, recorded_by
        FROM dated AS l
        WHERE NOT (:only_changes OR :only_unknown) OR NOT EXISTS (
            SELECT FROM (
                SELECT given, s.valid_from, s.valid_until FROM consent_state AS s
                WHERE s.person_id = l.person_id AND s.purpose = l.purpose
                UNION ALL
                SELECT given, s.valid_from, s.valid_until FROM company_consent_state AS s
                WHERE s.company_id = l.company_id AND s.purpose = l.purpose
            ) AS s
            WHERE :only_unknown OR s.valid_from > l.since OR (
                (s.given AND coalesce(s.valid_until > now(), true)) = (l.action = 'given')
                AND NOT (l.action = 'given' AND l.valid_from IS NOT NULL
                         AND coalesce(l.until, 'infinity') > coalesce(s.valid_until, 'infinity'))))
        RETURNING id, person_id, company_id, purpose, action, valid_from, valid_until
    ), newest AS (
        SELECT DISTINCT ON (person_id, company_id, purpose) * FROM added
        ORDER BY person_id, company_id, purpose, valid_from DESC, id DESC
    ), persons AS (
        INSERT INTO consent_state AS s (person_id, purpose, given, consent_id, valid_from, valid_until)
        SELECT person_id, purpose, action = 'given', id, valid_from, valid_until FROM newest
        WHERE person_id IS NOT NULL ORDER BY person_id, purpose
        ON CONFLICT (person_id, purpose) DO UPDATE
        SET given = excluded.given, consent_id = excluded.consent_id, valid_from = excluded.valid_from,
            valid_until = excluded.valid_until
        WHERE (s.valid_from, s.consent_id) < (excluded.valid_from, excluded.consent_id)
    ), companies AS (
        INSERT INTO company_consent_state AS s (company_id, purpose, given, consent_id, valid_from, valid_until)
        SELECT company_id, purpose, action = 'given', id, valid_from, valid_until FROM newest
        WHERE company_id IS NOT NULL ORDER BY company_id, purpose
        ON CONFLICT (company_id, purpose) DO UPDATE
        SET given = excluded.given, consent_id = excluded.consent_id, valid_from = excluded.valid_from,
            valid_until = excluded.valid_until
        WHERE (s.valid_from, s.consent_id) < (excluded.valid_from, excluded.consent_id)
    )
    SELECT coalesce(array_agg(n ORDER BY n), '{}') AS ns, coalesce(array_agg(id ORDER BY n), '{}') AS ids
    FROM line WHERE id IN (SELECT id FROM added)
""").bindparams(
    sa.bindparam("contents", type_=sa.JSON),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.Integer)) for name in ("ns", "places")),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.BigInteger)) for name in ("persons", "companies")),
    sa.bindparam("keys", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("only_changes", type_=sa.Boolean),
    sa.bindparam("only_unknown", type_=sa.Boolean),
)

_STATES = """
    -- What the ledger says now of one {owner}, of every purpose there is. By {table}_pkey.
    SELECT p.key AS purpose, p.name, CASE
               WHEN s.consent_id IS NULL THEN 'unknown'
               WHEN s.given AND coalesce(s.valid_until > now(), true) THEN 'given'
               WHEN s.given OR c.action = 'expired' THEN 'expired'
               ELSE 'withdrawn'
           END AS state,
           s.valid_from AS since, s.valid_until AS until, s.consent_id
    FROM consent_purpose AS p
    LEFT JOIN {table} AS s ON s.purpose = p.key AND s.{owner}_id = :id
    LEFT JOIN consent AS c ON c.id = s.consent_id
    ORDER BY p.built_in DESC, p.created_at, p.key
"""
_OF_PERSON = text(_STATES.format(table="consent_state", owner="person"))
_OF_COMPANY = text(_STATES.format(table="company_consent_state", owner="company"))

_DRIFT = """
    -- Where states differ from what the ledger, read anew, comes to: no rows when all is well. Reads both whole.
    SELECT '{owner}' AS owner, coalesce(n.{owner}_id, s.{owner}_id) AS owner_id, coalesce(n.purpose, s.purpose) AS purpose
    FROM (
        SELECT DISTINCT ON ({owner}_id, purpose) {owner}_id, purpose, id, action, valid_from, valid_until
        FROM consent WHERE {owner}_id IN (SELECT id FROM {owner})
        ORDER BY {owner}_id, purpose, valid_from DESC, id DESC
    ) AS n
    FULL JOIN {table} AS s ON s.{owner}_id = n.{owner}_id AND s.purpose = n.purpose
    WHERE (s.consent_id, s.given, s.valid_from, s.valid_until)
        IS DISTINCT FROM (n.id, n.action = 'given', n.valid_from, n.valid_until)
"""  # noqa: E501 - a statement of one column list
_DRIFTS = text(
    _DRIFT.format(owner="person", table="consent_state")
    + "UNION ALL"
    + _DRIFT.format(owner="company", table="company_consent_state")
)

_DUE = """
    -- Yeses past their time, of each purpose those that ran out first, and of given ids only where some are given. By
    -- {table}_valid_until_idx. None ran out before it was given: the line `expired` must be the newer one.
    SELECT s.{owner}_id AS owner_id, s.purpose, greatest(s.valid_until, s.valid_from) AS valid_until, c.legal_basis
    FROM consent_purpose AS p
    CROSS JOIN LATERAL (
        SELECT * FROM {table} AS s
        WHERE s.purpose = p.key AND s.given AND s.valid_until <= now()
          AND (cast(:ids AS bigint[]) IS NULL OR s.{owner}_id = ANY(:ids))
        ORDER BY s.valid_until, s.{owner}_id LIMIT :most
    ) AS s
    JOIN consent AS c ON c.id = s.consent_id
    LIMIT :most
"""
_DUE_PERSONS = text(_DUE.format(table="consent_state", owner="person")).bindparams(_IDS)
_DUE_COMPANIES = text(_DUE.format(table="company_consent_state", owner="company")).bindparams(_IDS)

_REFUSALS = text("""
    -- What persons refused themselves, and when: consent to e-marketing (type NULL), or a subscription type; and when
    -- their yes to e-marketing ran out, whether or not the ledger has its line `expired` yet. A no that came with an
    -- import is not among them. Needs consent_state_pkey, consent_pkey and subscription_pkey.
    SELECT s.person_id, cast(NULL AS bigint) AS subscription_type_id,
           CASE WHEN s.given THEN s.valid_until ELSE s.valid_from END AS since, c.action <> 'withdrawn' AS ran_out
    FROM consent_state AS s JOIN consent AS c ON c.id = s.consent_id
    WHERE s.person_id = ANY(:ids) AND s.purpose = 'e_marketing' AND CASE c.action
        WHEN 'given' THEN s.valid_until <= now()
        WHEN 'expired' THEN true
        ELSE NOT starts_with(c.source, :imported)
    END
    UNION ALL
    SELECT person_id, subscription_type_id, changed_at, false FROM subscription
    WHERE person_id = ANY(:ids) AND NOT subscribed AND NOT starts_with(source, :imported)
""").bindparams(_IDS)


async def lock_persons(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Lock persons until the commit, and return those that exist."""
    return {row.id for row in await run(session, _LOCK_PERSONS, ids=list(ids))}


async def lock_companies(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Lock companies until the commit, and return those that exist."""
    return {row.id for row in await run(session, _LOCK_COMPANIES, ids=list(ids))}


async def lock_purposes(session: AsyncSession, *, keys: Sequence[str]) -> set[str]:
    """Keep purposes from being deleted until the commit, and return those that exist."""
    return {row.key for row in await run(session, _LOCK_PURPOSES, keys=list(keys))}


async def append(
    session: AsyncSession,
    *,
    contents: Sequence[dict[str, Any]],
    subjects: Sequence[tuple[int, int | None, int | None, str | None, int]],
    only_changes: bool,
    only_unknown: bool,
) -> dict[int, int]:
    """Append lines to the ledger and bring the states in line; return the new ids by `n`.

    `contents` are what lines say, each with its `place`; `subjects` are (n, person, company, email_key, place). Owners
    and purposes must be locked.
    """
    columns = zip(("ns", "persons", "companies", "keys", "places"), zip(*subjects, strict=True), strict=True)
    async with by_key(session):
        done = await run(
            session, _RECORD, contents=list(contents), only_changes=only_changes, only_unknown=only_unknown,
            **{name: list(values) for name, values in columns},
        )  # fmt: skip
    row = done.one()
    return dict(zip(row.ns, row.ids, strict=True))


async def states_of(session: AsyncSession, *, person_id: int | None = None, company_id: int | None = None) -> list[Any]:
    """Return a row (purpose, name, state, since, until, consent_id) per purpose, of a person or a company."""
    if person_id is not None:
        return list(await run(session, _OF_PERSON, id=person_id))
    return list(await run(session, _OF_COMPANY, id=company_id))


async def drifts(session: AsyncSession) -> list[tuple[str, int, str]]:
    """Return (person or company, its id, purpose) where a state differs from a recount of the ledger."""
    return [(row.owner, row.owner_id, row.purpose) for row in await run(session, _DRIFTS)]


async def past_their_time(
    session: AsyncSession, *, companies: bool, most: int, ids: Sequence[int] | None = None
) -> list[Any]:
    """Return rows (owner_id, purpose, valid_until, legal_basis) of at most `most` yeses that ran out."""
    statement = _DUE_COMPANIES if companies else _DUE_PERSONS
    return list(await run(session, statement, ids=None if ids is None else list(ids), most=most))


class Refusal(NamedTuple):
    """Since when there is no yes: the person said no, or the yes ran out."""

    since: datetime
    ran_out: bool


Refusals = Mapping[tuple[int, int | None], Refusal]
"""By person and subscription type; with None in its place, refusals of consent to e-marketing."""


async def refusals(session: AsyncSession, *, person_ids: Sequence[int], imported: str) -> Refusals:
    """Return what persons refused themselves, and what ran out. A source that begins with `imported` is no person's."""
    rows = await run(session, _REFUSALS, ids=list(person_ids), imported=imported)
    return {(row.person_id, row.subscription_type_id): Refusal(row.since, row.ran_out) for row in rows}


async def page_of_consents(
    session: AsyncSession,
    *,
    after: int | None,
    limit: int,
    person_id: int | None = None,
    company_id: int | None = None,
    email_key: str | None = None,
) -> Sequence[Consent]:
    """Return at most `limit + 1` lines of a person, a company or an address with ids over `after`, oldest first.

    Needs consent_person_purpose_idx, consent_company_idx or consent_address_idx.
    """
    query = select(Consent).order_by(col(Consent.id)).limit(limit + 1)
    for column, value in (
        (Consent.person_id, person_id), (Consent.company_id, company_id), (Consent.email_key, email_key),
    ):  # fmt: skip
        if value is not None:
            query = query.where(col(column) == value)
    if after is not None:
        query = query.where(col(Consent.id) > after)
    return (await session.exec(query)).all()


async def find_consent(session: AsyncSession, *, consent_id: int) -> Consent | None:
    """Return a line of the ledger, or None."""
    return await session.get(Consent, consent_id)
