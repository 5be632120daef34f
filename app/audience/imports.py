"""Imports: taken in by a request, carried out by a job in batches, each one transaction (D17, D20)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import queries
from app.audience.errors import ImportNotFound, InvalidImport
from app.audience.import_lines import person_line, what_is_told
from app.audience.import_reading import Batch, Reading
from app.audience.models import ExistingPersons, Import
from app.audience.rows import ContactRow, RowProblem
from app.audience.schemas import ImportFields
from app.consent.queries import refusals, types_named
from app.consent.service import record_consents, set_subscriptions
from app.contacts.bulk import companies_by_name, save_persons
from app.contacts.merging import Existing, Laid, Outcome
from app.platform.errors import InvalidField
from app.platform.files import Readable, store
from app.platform.operations import OperationState, advance, close_operation, open_operation
from app.platform.outbox import Job, enqueue

KIND = "import"


async def start_import(
    session: AsyncSession, *, file_name: str, source: Readable, limit: int, fields: ImportFields
) -> Import:
    """Keep the file and have it imported in the background; raises TooLarge (over `limit` octets) and InvalidImport."""
    selection_id = fields.selection_id
    if selection_id is not None and await queries.find_selection(session, selection_id=selection_id) is None:
        detail = f"There is no selection {selection_id}."
        raise InvalidImport(detail, errors=[InvalidField(pointer="#/selection_id", detail=detail)])
    stored = await store(session, name=file_name, source=source, limit=limit)
    operation = await open_operation(session, kind=KIND)
    started = Import(file_id=stored.id, file_name=file_name, operation_id=operation.id, **fields.model_dump())
    session.add(started)
    await session.flush()
    await session.refresh(started)
    await enqueue(session, Job.IMPORT_RUN, import_id=started.id)
    return started


async def read_import(session: AsyncSession, *, import_id: int) -> Import:
    """Return an import; raises ImportNotFound."""
    found = await queries.find_import(session, import_id=import_id)
    if found is None:
        raise ImportNotFound(f"There is no import {import_id}.")
    return found


@dataclass(frozen=True, slots=True)
class Claim:
    """An import whose turn it is, as it stood then."""

    import_id: int
    operation_id: int
    file_id: int
    file_name: str
    mapping: dict[str, str] | None
    next_row: int


async def claim(session: AsyncSession, *, import_id: int) -> Claim | None:
    """Return what a job needs to begin or go on; None when the import is over, gone, or cancelled before it began."""
    found = await queries.lock_import(session, import_id=import_id)
    if found is None or found.file_id is None:
        return None
    if await advance(session, operation_id=found.operation_id, done=found.rows):
        await end_import(session, import_id=import_id, state=OperationState.CANCELLED)
        return None
    return Claim(found.id, found.operation_id, found.file_id, found.file_name, found.mapping, found.next_row)


async def describe(session: AsyncSession, *, import_id: int, reading: Reading) -> None:
    """Note what the file turned out to be, and how many rows are to be done."""
    found = await queries.lock_import(session, import_id=import_id)
    if found is not None:
        found.detected = reading.detected
        await advance(session, operation_id=found.operation_id, done=found.rows, total=reading.total)


class TakenOver(Exception):  # noqa: N818 - what happened, and no error
    """Another worker has done this batch: it took the job over while this one seemed dead."""


async def save_batch(session: AsyncSession, *, import_id: int, batch: Batch, default_country: str) -> bool:
    """Save a batch with everything it says, and move the import past it; return whether to go on.

    Not to go on means that the import was cancelled. Raises TakenOver.
    """
    current = await queries.lock_import(session, import_id=import_id)
    if current is None or current.file_id is None or current.next_row != batch.first:
        raise TakenOver
    contacts = [contact for contact, _ in batch.rows if contact is not None]
    laid = await _save_persons(session, current, contacts, default_country)
    problems = [_problem(current.id, problem) for _, found in batch.rows for problem in found]
    problems += await _save_consents(session, current, contacts, laid)
    await queries.add_problems(session, problems=sorted(problems, key=lambda problem: problem["row_number"]))
    if current.selection_id is not None and laid:
        ids = sorted({_id(each) for each in laid})
        await queries.add_members(session, selection_id=current.selection_id, person_ids=ids)
    current.next_row = batch.next_row
    current.rows += len(batch.rows)
    current.created += sum(each.outcome is Outcome.CREATED for each in laid)
    current.updated += sum(each.outcome is Outcome.UPDATED for each in laid)
    current.rejected += len(batch.rows) - len(contacts)
    await session.flush()
    return not await advance(session, operation_id=current.operation_id, done=current.rows)


async def _save_persons(
    session: AsyncSession, current: Import, contacts: Sequence[ContactRow], default_country: str
) -> list[Laid]:
    if not contacts:
        return []
    names = (contact.company_name for contact in contacts if contact.company_name)
    company_ids = await companies_by_name(session, names=names)
    lines = [person_line(contact, company_ids=company_ids, default_country=default_country) for contact in contacts]
    return await save_persons(session, lines=lines, existing=Existing(current.existing.value), by_address=True)


async def _save_consents(
    session: AsyncSession, current: Import, contacts: Sequence[ContactRow], laid: Sequence[Laid]
) -> list[dict[str, Any]]:
    """Record consents and subscriptions, of each person by the last row about that person; return problems."""
    touched = {
        _id(each): contact
        for contact, each in zip(contacts, laid, strict=True)
        if each.outcome is Outcome.CREATED or current.existing is not ExistingPersons.SKIP
    }
    names = {name for contact in touched.values() for name in contact.subscriptions}
    told = what_is_told(
        touched,
        statement=current,
        type_ids=await types_named(session, names=sorted(names)) if names else {},
        refusals=await refusals(session, person_ids=list(touched)),
    )
    only_unknown = current.existing is ExistingPersons.FILL_EMPTY
    await record_consents(session, lines=told.consents, only_changes=True, only_unknown=only_unknown)
    await set_subscriptions(session, rows=told.answers, only_unknown=only_unknown)
    return [
        {
            "import_id": current.id, "row_number": number, "field": field, "rejected": False, "code": "refused_since",
            "detail": f"The person said no on {refused_at.date()}, so that the file's yes was not taken. "
            "State consent_date with the import if the person said yes after that.",
        }
        for number, field, refused_at in told.withheld
    ]  # fmt: skip


def _id(laid: Laid) -> int:
    if laid.draft.id is None:
        raise AssertionError("a person has its id once it is written")
    return laid.draft.id


def _problem(import_id: int, problem: RowProblem) -> dict[str, Any]:
    return {
        "import_id": import_id, "row_number": problem.row_number, "field": problem.field, "code": problem.code,
        "detail": problem.detail, "rejected": problem.severity == "rejected",
    }  # fmt: skip


async def end_import(
    session: AsyncSession, *, import_id: int, state: OperationState, error: dict[str, Any] | None = None
) -> None:
    """Close the import's operation with its counts, and delete the file: it is personal data that has done its work."""
    ended = await queries.lock_import(session, import_id=import_id)
    if ended is None:
        return
    result = {
        "import_id": ended.id, "rows": ended.rows, "created": ended.created, "updated": ended.updated,
        "unchanged": unchanged(ended), "rejected": ended.rejected,
    }  # fmt: skip
    await close_operation(session, operation_id=ended.operation_id, state=state, result=result, error=error)
    if ended.file_id is not None:
        await queries.drop_file(session, file_id=ended.file_id)


def unchanged(counted: Import) -> int:
    """Return how many rows so far said nothing new of a person."""
    return counted.rows - counted.created - counted.updated - counted.rejected
