"""Imports: taken in by a request, carried out by a job in batches, each one transaction (D17, D20)."""

from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import queries
from app.audience.errors import ImportNotFound, InvalidImport
from app.audience.import_reading import Batch
from app.audience.import_saving import save_persons_of
from app.audience.models import Import
from app.audience.schemas import ImportFields
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


async def describe(session: AsyncSession, *, import_id: int, detected: dict[str, Any], total: int) -> None:
    """Note what the file turned out to be, and how many rows are to be done."""
    found = await queries.lock_import(session, import_id=import_id)
    if found is not None:
        found.detected = detected
        await advance(session, operation_id=found.operation_id, done=found.rows, total=total)


class TakenOver(Exception):  # noqa: N818 - what happened, and no error
    """Another worker has done this batch: it took the job over while this one seemed dead."""


async def save_batch(session: AsyncSession, *, import_id: int, batch: Batch) -> bool:
    """Save a batch with everything it says, and move the import past it; return whether to go on.

    Not to go on means that the import was cancelled. Raises TakenOver.
    """
    current = await queries.lock_import(session, import_id=import_id)
    if current is None or current.file_id is None or current.next_row != batch.first:
        raise TakenOver
    saved = await save_persons_of(session, current=current, batch=batch)
    await queries.add_problems(session, import_id=current.id, problems=[*batch.problems, *saved.problems])
    current.next_row = batch.next_row
    current.rows += batch.rows
    current.created += saved.created
    current.updated += saved.updated
    current.rejected += batch.rejected
    await session.flush()
    return not await advance(session, operation_id=current.operation_id, done=current.rows)


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
