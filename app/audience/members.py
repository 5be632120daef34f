"""Who is added to static selections, and taken out of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import queries, selection_queries
from app.audience.combining import combined
from app.audience.criteria_checks import checked
from app.audience.errors import InvalidSelection, MemberNotFound
from app.audience.membership import membership
from app.audience.selection_queries import Whom
from app.audience.selection_schemas import MembersIn, MembersOut, RemovedOut
from app.audience.service import read_static
from app.contacts.addresses import InvalidEmail, normalise_email


async def add(session: AsyncSession, *, selection_id: int, told: MembersIn) -> MembersOut:
    """Add persons and companies; those who are members stay.

    Raises SelectionNotFound, WrongSelectionKind, and InvalidSelection, CriteriaOutOfDate and CyclicSelection for
    criteria and selections.
    """
    await read_static(session, selection_id=selection_id)
    if not told.is_list:
        done = await selection_queries.add_whom(session, selection_id=selection_id, whom=await _whom(session, told))
        return MembersOut(
            added=done.persons,
            already=done.all_persons - done.persons,
            companies_added=done.companies,
            companies_already=done.all_companies - done.companies,
            **_Found().unknown,
        )
    found = await _find(session, told, every=False)
    persons = await selection_queries.add_named(
        session, selection_id=selection_id, table="person", ids=found.person_ids
    )
    companies = await selection_queries.add_named(
        session, selection_id=selection_id, table="company", ids=told.company_ids or []
    )
    return MembersOut(
        added=persons.added,
        already=persons.known - persons.added,
        companies_added=companies.added,
        companies_already=companies.known - companies.added,
        **found.unknown | {"unknown": persons.unknown, "unknown_companies": companies.unknown},
    )


async def remove(session: AsyncSession, *, selection_id: int, told: MembersIn) -> RemovedOut:
    """Take persons and companies out; an address means every person that has it.

    Raises SelectionNotFound, WrongSelectionKind, and InvalidSelection, CriteriaOutOfDate and CyclicSelection for
    criteria and selections.
    """
    await read_static(session, selection_id=selection_id)
    if not told.is_list:
        done = await selection_queries.remove_whom(session, selection_id=selection_id, whom=await _whom(session, told))
        return RemovedOut(
            removed=done.persons,
            absent=done.all_persons - done.persons,
            companies_removed=done.companies,
            companies_absent=done.all_companies - done.companies,
            **_Found().unknown,
        )
    found = await _find(session, told, every=True)
    persons = await selection_queries.remove_named(
        session, selection_id=selection_id, table="person", ids=found.person_ids
    )
    companies = await selection_queries.remove_named(
        session, selection_id=selection_id, table="company", ids=told.company_ids or []
    )
    return RemovedOut(
        removed=persons.removed,
        absent=persons.known - persons.removed,
        companies_removed=companies.removed,
        companies_absent=companies.known - companies.removed,
        **found.unknown | {"unknown": persons.unknown, "unknown_companies": companies.unknown},
    )


async def remove_person(session: AsyncSession, *, selection_id: int, person_id: int) -> None:
    """Take a person out of a selection; raises SelectionNotFound, WrongSelectionKind and MemberNotFound."""
    await read_static(session, selection_id=selection_id)
    if not await selection_queries.remove_member(session, selection_id=selection_id, person_id=person_id):
        raise MemberNotFound(f"Person {person_id} is not in selection {selection_id}.")


async def remove_company(session: AsyncSession, *, selection_id: int, company_id: int) -> None:
    """Take a company out of a selection; raises SelectionNotFound, WrongSelectionKind and MemberNotFound."""
    await read_static(session, selection_id=selection_id)
    if not await selection_queries.remove_company(session, selection_id=selection_id, company_id=company_id):
        raise MemberNotFound(f"Company {company_id} is not in selection {selection_id}.")


async def _whom(session: AsyncSession, told: MembersIn) -> Whom:
    """Return the set that criteria, a selection or a combination are."""
    if told.criteria is not None:
        persons = await checked(session, told.criteria)
        return Whom(
            f"SELECT p.id AS person_id, cast(NULL AS bigint) AS company_id "
            f"FROM {persons.source} WHERE {persons.condition}",
            persons.params,
        )
    if told.combination is not None:
        return await combined(session, told.combination)
    selection_id = told.selection_id or 0
    if await queries.find_selection(session, selection_id=selection_id) is None:
        raise InvalidSelection.field("#/selection_id", f"There is no selection {selection_id}.")
    found = await membership(session, selection_ids=[selection_id])
    return Whom(f"SELECT person_id, company_id FROM ({found.sql}) AS m", found.params)


@dataclass(frozen=True, slots=True)
class _Found:
    person_ids: Sequence[int] = ()
    unknown_external_ids: Sequence[str] = ()
    unknown_emails: Sequence[str] = ()

    @property
    def unknown(self) -> dict[str, list[str] | list[int]]:
        return {
            "unknown": [],
            "unknown_companies": [],
            "unknown_external_ids": list(self.unknown_external_ids),
            "unknown_emails": list(self.unknown_emails),
        }


async def _find(session: AsyncSession, told: MembersIn, *, every: bool) -> _Found:
    """Return the persons that ids, external ids and addresses mean, and those of the latter that mean nobody."""
    keys: dict[str, str | None] = {raw: _key_of(raw) for raw in told.emails or []}
    named = await selection_queries.persons_named(
        session,
        external_ids=sorted(set(told.external_ids or [])),
        email_keys=sorted({key for key in keys.values() if key}),
        every=every,
    )
    known: dict[str, set[str]] = defaultdict(set)
    person_ids = set(told.person_ids or [])
    for row in named:
        known[row.named].add(row.given)
        person_ids.add(row.id)
    return _Found(
        sorted(person_ids),
        [each for each in dict.fromkeys(told.external_ids or []) if each not in known["external_id"]],
        [raw for raw, key in keys.items() if key not in known["email"]],
    )


def _key_of(raw: str) -> str | None:
    try:
        return normalise_email(raw).key
    except InvalidEmail:
        return None
