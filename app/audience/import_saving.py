"""A batch of rows into the address book, with what the rows say of consent, subscriptions and selections (D20)."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import import_queries
from app.audience.import_lines import gather, what_is_told
from app.audience.import_queries import Problem
from app.audience.import_reading import Batch
from app.audience.imports import Saved
from app.audience.models import ExistingPersons, Import
from app.audience.selection_queries import add_named
from app.consent.ledger_queries import Refusal
from app.consent.queries import refusals, types_named
from app.consent.service import record_consents, set_subscriptions
from app.contacts.bulk import companies_by_name, save_persons
from app.contacts.merging import Existing, Laid, Outcome
from app.contacts.trial_queries import Trial


async def save_persons_of(session: AsyncSession, current: Import, batch: Batch, *, trial: Trial | None = None) -> Saved:
    """Create and change the persons of a batch, or with a `trial` tell what would become of them.

    Raises ExternalIdTaken.
    """
    if not batch.lines:
        return Saved(0, 0, [])
    if batch.companies:
        company_ids = await companies_by_name(session, names=batch.companies.values(), trial=trial)
        for index, name in batch.companies.items():
            batch.lines[index]["company_id"] = company_ids[name]
    existing = Existing(current.existing.value)
    laid = await save_persons(session, lines=batch.lines, existing=existing, by_address=True, trial=trial)
    problems = await _save_consents(session, current, batch, laid, is_trial=trial is not None)
    if current.selection_id is not None and trial is None:
        ids = sorted({_id(each) for each in laid})
        await add_named(session, selection_id=current.selection_id, table="person", ids=ids)
    outcomes = [each.outcome for each in laid]
    return Saved(outcomes.count(Outcome.CREATED), outcomes.count(Outcome.UPDATED), problems)


async def _save_consents(
    session: AsyncSession, current: Import, batch: Batch, laid: Sequence[Laid], *, is_trial: bool
) -> list[Problem]:
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
        type_ids=await _type_ids(session, names, is_trial=is_trial),
        refusals=await refusals(session, person_ids=list(said)),
    )
    if not is_trial:
        await record_consents(
            session, lines=told.consents, only_changes=True, only_unknown=only_unknown, locked=True
        )  # their rows are locked since they were matched, or new
        await set_subscriptions(session, rows=told.answers, only_unknown=only_unknown)
    return [(number, field, *_withheld(refusal), False) for number, field, refusal in told.withheld]


async def _type_ids(session: AsyncSession, names: set[str], *, is_trial: bool) -> dict[str, int]:
    if not names:
        return {}
    if is_trial:
        return dict.fromkeys(names, 0) | await import_queries.known_types(session, names=names)
    return await types_named(session, names=sorted(names))


def _withheld(refusal: Refusal) -> tuple[str, str]:
    """Return code and words of a yes that was not taken."""
    what = "The person's consent ran out" if refusal.ran_out else "The person said no"
    return "ran_out" if refusal.ran_out else "refused_since", (
        f"{what} on {refusal.since.date()}, so that the file's yes was not taken. "
        "State consent_date with the import if the person said yes after that."
    )


def _id(laid: Laid) -> int:
    if laid.draft.id is None:
        raise AssertionError("a person has its id once it is written")
    return laid.draft.id
