"""A batch of rows into the address book, with what the rows say of consent, subscriptions and selections (D20)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import queries
from app.audience.import_lines import gather, what_is_told
from app.audience.import_reading import Batch
from app.audience.models import ExistingPersons, Import
from app.consent.queries import refusals, types_named
from app.consent.service import record_consents, set_subscriptions
from app.contacts.bulk import companies_by_name, save_persons
from app.contacts.merging import Existing, Laid, Outcome

Problem = tuple[int, str | None, str, str, bool]
"""Row number, field, code, detail, and whether the row was rejected."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a batch did to the address book, and what was wrong with rows that were read well."""

    created: int
    updated: int
    problems: list[Problem]


async def save_persons_of(session: AsyncSession, *, current: Import, batch: Batch) -> Saved:
    """Create and change the persons of a batch; raises ExternalIdTaken."""
    if not batch.lines:
        return Saved(0, 0, [])
    if batch.companies:
        company_ids = await companies_by_name(session, names=batch.companies.values())
        for index, name in batch.companies.items():
            batch.lines[index]["company_id"] = company_ids[name]
    existing = Existing(current.existing.value)
    laid = await save_persons(session, lines=batch.lines, existing=existing, by_address=True)
    problems = await _save_consents(session, current, batch, laid)
    if current.selection_id is not None:
        ids = sorted({_id(each) for each in laid})
        await queries.add_members(session, selection_id=current.selection_id, person_ids=ids)
    outcomes = [each.outcome for each in laid]
    return Saved(outcomes.count(Outcome.CREATED), outcomes.count(Outcome.UPDATED), problems)


async def _save_consents(session: AsyncSession, current: Import, batch: Batch, laid: Sequence[Laid]) -> list[Problem]:
    """Record consents and subscriptions; return problems."""
    if not (batch.consents or batch.subscriptions or current.consent_basis):
        return []
    only_unknown = current.existing is ExistingPersons.FILL_EMPTY
    rows = (
        (_id(each), batch.numbers[index], batch.consents.get(index), batch.subscriptions.get(index))
        for index, each in enumerate(laid)
        if each.outcome is Outcome.CREATED or current.existing is not ExistingPersons.SKIP
    )
    said = gather(rows, first_counts=only_unknown)
    names = {name for person in said.values() for name in person.subscriptions}
    told = what_is_told(
        said,
        statement=current,
        type_ids=await types_named(session, names=sorted(names)) if names else {},
        refusals=await refusals(session, person_ids=list(said)),
    )
    await record_consents(session, lines=told.consents, only_changes=True, only_unknown=only_unknown)
    await set_subscriptions(session, rows=told.answers, only_unknown=only_unknown)
    return [(number, field, "refused_since", _refused(at), False) for number, field, at in told.withheld]


def _refused(refused_at: datetime) -> str:
    return (
        f"The person said no on {refused_at.date()}, so that the file's yes was not taken. "
        "State consent_date with the import if the person said yes after that."
    )


def _id(laid: Laid) -> int:
    if laid.draft.id is None:
        raise AssertionError("a person has its id once it is written")
    return laid.draft.id
