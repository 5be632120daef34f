"""Bringing a list in line with its sources: what the statement needs to know first, and running it."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.membership import Membership, membership
from app.platform.db import run
from app.platform.plans import whole_sets
from app.recipients.list_statement import Parts, list_statement
from app.recipients.models import SourceKind


@dataclass(frozen=True, slots=True)
class ListRules:
    """A mailing's options that decide who may get it (D21, D22)."""

    subscription_type_id: int | None
    override_consent: bool = False
    one_per_address: bool = False
    include_companies: bool = False
    prefer_company: bool = False
    """Needs `include_companies`."""


@dataclass(frozen=True, slots=True)
class ListChange:
    """What an update did to the list, in lines."""

    added: int
    removed: int
    changed: int


_LOCK = text("""
    -- One update of a mailing's list at a time, and none while a verb moves the mailing: the statement that follows
    -- sees everything that whoever held the row before did.
    SELECT id FROM mailing WHERE id = :mailing_id FOR NO KEY UPDATE
""")

_FACTS = text("""
    -- What decides which parts the list statement has: by mailing_source_mailing_id_idx and recipient_list_idx.
    SELECT coalesce(array_agg(DISTINCT s.kind), '{}') AS kinds, count(*) AS sources,
           min(s.id) AS first_source,
           coalesce(array_agg(DISTINCT s.selection_id) FILTER (WHERE s.selection_id IS NOT NULL), '{}') AS selections,
           coalesce(bool_or(
               s.kind = 'company' OR sel.kind = 'dynamic'
               OR EXISTS (SELECT FROM selection_company AS c WHERE c.selection_id = s.selection_id)
           ), false) AS brings_companies,
           coalesce(bool_or(sel.kind = 'dynamic'), false) AS is_dynamic,
           NOT EXISTS (SELECT FROM recipient AS r WHERE r.mailing_id = :mailing_id) AS is_new
    FROM mailing_source AS s LEFT JOIN selection AS sel ON sel.id = s.selection_id
    WHERE s.mailing_id = :mailing_id
""").bindparams(sa.bindparam("mailing_id", type_=sa.BigInteger))


MANY = 10_000
"""Lines added at once, from which on senders must not wait for autovacuum's statistics; they cost some 0.1 s."""

_ANALYSE = text("""
    -- What plans of senders and pages rest on; autovacuum sees to the other columns, which cost as much again.
    ANALYZE recipient (mailing_id, id, seq, person_id, status)
""")

_BY_MERGING = {"work_mem": "128MB", "random_page_cost": "1.1"}
"""A million persons are joined by merging: their primary keys come in one order, so nothing is hashed or sorted but
ids. With more memory, or with the usual price of a page, the planner hashes persons: a third more CPU, and 300 MB."""


async def update_list(session: AsyncSession, *, mailing_id: int, rules: ListRules, membership_too: bool) -> ListChange:
    """Bring a list in line with its sources and rules."""
    await run(session, _LOCK, mailing_id=mailing_id)
    facts = (await run(session, _FACTS, mailing_id=mailing_id)).one()
    members = await _members(session, facts)
    parts = Parts(
        kinds=frozenset(facts.kinds),
        one_source=facts.sources == 1,
        brings_companies=facts.brings_companies,
        is_new=facts.is_new and membership_too,
        membership=membership_too,
        any_type=rules.subscription_type_id is None,
        override_consent=rules.override_consent,
        one_per_address=rules.one_per_address,
        include_companies=rules.include_companies,
        prefer_company=rules.prefer_company,
        members=members.sql if membership_too else "",
    )
    params: dict[str, Any] = {"mailing_id": mailing_id}
    if not parts.any_type:
        params["subscription_type_id"] = rules.subscription_type_id
    if membership_too:
        params |= members.params
    if facts.sources == 1 and SourceKind.SELECTION in parts.kinds:
        params["source_id"] = facts.first_source
    async with whole_sets(session, **_BY_MERGING):
        result = await run(session, list_statement(parts), **params)
    if parts.is_new:
        change = ListChange(added=result.rowcount, removed=0, changed=0)
    else:
        row = result.one()
        change = ListChange(added=row.added, removed=row.removed, changed=row.changed)
    if change.added > MANY:
        await run(session, _ANALYSE)
    return change


async def _members(session: AsyncSession, facts: Any) -> Membership:
    if SourceKind.SELECTION not in facts.kinds:
        return Membership("", {})
    return await membership(session, selection_ids=facts.selections)


LARGE_BOOK = 100_000
"""Persons from which on criteria are evaluated in a job only: the answer to a request would take seconds."""

_SIZE = """
    -- How many persons, companies and addresses a mailing's sources bring, counted no further than asked; a company
    -- counts with its persons. With a dynamic selection over a large address book: as many as asked.
    SELECT count(*) AS brought FROM (
        (SELECT 1 FROM mailing_source AS s JOIN ({members}) AS m USING (selection_id)
         WHERE s.mailing_id = :mailing_id LIMIT :most)
        UNION ALL
        (SELECT 1 FROM mailing_source AS s JOIN project_member AS m USING (project_id)
         WHERE s.mailing_id = :mailing_id LIMIT :most)
        UNION ALL
        (SELECT 1 FROM mailing_source AS s JOIN person AS p ON p.company_id = s.company_id
         WHERE s.mailing_id = :mailing_id AND s.kind = 'company' LIMIT :most)
        UNION ALL
        (SELECT 1 FROM mailing_source AS s JOIN source_address AS a ON a.source_id = s.id
         WHERE s.mailing_id = :mailing_id LIMIT :most)
        UNION ALL
        (SELECT 1 FROM mailing_source AS s
         WHERE s.mailing_id = :mailing_id AND s.kind IN ('person', 'company') LIMIT :most)
    ) AS lines
"""
_NO_MEMBERS = "SELECT cast(NULL AS bigint) AS selection_id WHERE false"
_BOOK = text("SELECT reltuples AS persons FROM pg_class WHERE oid = 'person'::regclass")


async def count_brought(session: AsyncSession, *, mailing_id: int, most: int) -> int:
    """Return how many lines the sources bring at most; of each kind no more than `most` are counted."""
    facts = (await run(session, _FACTS, mailing_id=mailing_id)).one()
    if facts.is_dynamic and (await run(session, _BOOK)).one().persons > LARGE_BOOK:
        return most
    members = await _members(session, facts)
    size = text(_SIZE.format(members=members.sql or _NO_MEMBERS))
    row = (await run(session, size, mailing_id=mailing_id, most=most, **members.params)).one()
    return int(row.brought)
