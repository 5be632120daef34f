"""Imports: taken in by a request, looked at, corrected, tried out, and carried out in batches (D17, D20)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import import_queries, queries
from app.audience.errors import ImportNotFound, ImportNotWaiting, InvalidImport, MailingNotDraft
from app.audience.import_queries import OPEN_STATES, Problem
from app.audience.import_reading import Batch
from app.audience.import_schemas import OPTIONS, ImportFields, ImportPatch, fits_together
from app.audience.models import Import, ImportState, SelectionKind
from app.platform import clock, files
from app.platform.errors import InvalidField
from app.platform.files import Readable, store
from app.platform.operations import OperationState, advance, close_operation, open_operation
from app.platform.outbox import Job, enqueue

IMPORTING, LOOKING, TRYING = "import", "import-analysis", "import-dry-run"
"""Kinds of operations; only the first one changes the address book, and its end is an event for others."""

WAIT_HOURS = 24
"""How long a file waits to be started. It is personal data, and whoever forgot it does not need it."""

KEEP_DAYS = 7
"""How long a file with problems is kept after the import, so that its bad rows can be downloaded and mended."""


async def start_import(
    session: AsyncSession, *, file_name: str, source: Readable, limit: int, fields: ImportFields
) -> Import:
    """Keep the file and have it imported, or only looked at, in the background.

    Raises TooLarge (over `limit` octets), InvalidImport and MailingNotDraft.
    """
    told = fields.model_dump(exclude={"start", "dry_run", *OPTIONS})
    options = fields.model_dump(include=set(OPTIONS), exclude_none=True)
    await _check_targets(session, selection_id=fields.selection_id, mailing_id=fields.mailing_id)
    stored = await store(session, name=file_name, source=source, limit=limit)
    kind = LOOKING if not fields.start else TRYING if fields.dry_run else IMPORTING
    operation = await open_operation(session, kind=kind)
    started = Import(
        file_id=stored.id, file_name=file_name, operation_id=operation.id, options=options,
        as_recipients=fields.mailing_id is not None, dry_run=fields.dry_run and fields.start,
        state=ImportState.RUNNING if fields.start else ImportState.ANALYSING, **told,
    )  # fmt: skip
    session.add(started)
    await session.flush()
    await session.refresh(started)
    await enqueue(session, Job.IMPORT_RUN, import_id=started.id)
    return started


async def _check_targets(session: AsyncSession, *, selection_id: int | None, mailing_id: int | None) -> None:
    fault = None
    if selection_id is not None:
        selection = await queries.find_selection(session, selection_id=selection_id)
        if selection is None:
            fault = InvalidField(pointer="#/selection_id", detail=f"There is no selection {selection_id}.")
        elif selection.kind is not SelectionKind.STATIC:
            detail = "A dynamic selection has those who fit its criteria; name a static one."
            fault = InvalidField(pointer="#/selection_id", detail=detail)
    if mailing_id is not None:
        mailing = await import_queries.mailing_of(session, mailing_id=mailing_id)
        if mailing is None:
            fault = InvalidField(pointer="#/mailing_id", detail=f"There is no mailing {mailing_id}.")
        elif mailing.type in ("document", "form_response"):
            detail = f"Mailing {mailing_id} is of the type {mailing.type}: import is not available for it (D3, D20)."
            fault = InvalidField(pointer="#/mailing_id", detail=detail)
        elif mailing.state not in OPEN_STATES:
            raise MailingNotDraft(f"Mailing {mailing_id} is {mailing.state}; sources can be added until it is sent.")
    if fault is not None:
        raise InvalidImport(fault.detail, errors=[fault])


async def read_import(session: AsyncSession, *, import_id: int) -> Import:
    """Return an import; raises ImportNotFound."""
    found = await queries.find_import(session, import_id=import_id)
    if found is None:
        raise ImportNotFound(f"There is no import {import_id}.")
    return found


async def _waiting(session: AsyncSession, import_id: int) -> Import:
    found = await queries.lock_import(session, import_id=import_id)
    if found is None:
        raise ImportNotFound(f"There is no import {import_id}.")
    if found.state is not ImportState.WAITING or found.file_id is None:
        raise ImportNotWaiting(
            f"Import {import_id} is {found.state.value}; only one that is waiting can be changed or started."
        )
    return found


async def change_import(session: AsyncSession, *, import_id: int, patch: ImportPatch) -> Import:
    """Change an import that waits; how it is read is found out again then.

    Raises ImportNotFound, ImportNotWaiting, InvalidImport and MailingNotDraft.
    """
    found = await _waiting(session, import_id)
    changes = patch.model_dump(exclude_unset=True)
    changes |= {"existing": patch.existing} if "existing" in changes else {}
    before = {name: getattr(found, name) for name in ImportPatch.model_fields if name not in OPTIONS}
    try:
        told = ImportPatch.model_validate(before | found.options | changes)
        fits_together(told)
    except ValidationError as error:
        raise InvalidImport(str(error)) from error
    except ValueError as error:
        raise InvalidImport(str(error), errors=[InvalidField(pointer="#", detail=str(error))]) from error
    await _check_targets(session, selection_id=told.selection_id, mailing_id=told.mailing_id)
    found.sqlmodel_update(told.model_dump(exclude=set(OPTIONS)))
    found.options = told.model_dump(include=set(OPTIONS), exclude_none=True)
    found.as_recipients = told.mailing_id is not None
    await _run_again(session, found, state=ImportState.ANALYSING, dry_run=False)
    return found


async def start_waiting(session: AsyncSession, *, import_id: int, dry_run: bool) -> Import:
    """Start an import that waits; raises ImportNotFound, ImportNotWaiting, InvalidImport and MailingNotDraft."""
    found = await _waiting(session, import_id)
    if found.fault is not None:
        raise ImportNotWaiting(f"The file cannot be read as told: {found.fault['detail']} Change the import first.")
    await _check_targets(session, selection_id=found.selection_id, mailing_id=found.mailing_id)
    await _run_again(session, found, state=ImportState.RUNNING, dry_run=dry_run)
    return found


async def _run_again(session: AsyncSession, found: Import, *, state: ImportState, dry_run: bool) -> None:
    kind = LOOKING if state is ImportState.ANALYSING else TRYING if dry_run else IMPORTING
    operation = await open_operation(session, kind=kind)
    found.operation_id, found.state, found.dry_run, found.fault = operation.id, state, dry_run, None
    found.expires_at = None
    await _forget_counts(session, found)
    await enqueue(session, Job.IMPORT_RUN, import_id=found.id)
    await session.refresh(found)


async def _forget_counts(session: AsyncSession, found: Import) -> None:
    found.next_row = found.rows = found.created = found.updated = found.rejected = 0
    await session.flush()
    await import_queries.drop_problems(session, import_id=found.id)


@dataclass(frozen=True, slots=True)
class Claim:
    """An import whose turn it is, as it stood then."""

    import_id: int
    operation_id: int
    file_id: int
    file_name: str
    mapping: dict[str, str] | None
    options: dict[str, Any]
    state: ImportState
    dry_run: bool
    as_recipients: bool
    next_row: int


async def claim(session: AsyncSession, *, import_id: int) -> Claim | None:
    """Return what a job needs to begin or go on; None when the import is over, gone, or cancelled before it began.

    A dry run that was interrupted begins anew: it left nothing to go on from.
    """
    found = await queries.lock_import(session, import_id=import_id)
    if found is None or found.file_id is None or found.state not in (ImportState.ANALYSING, ImportState.RUNNING):
        return None
    if found.dry_run:
        await _forget_counts(session, found)
    if await advance(session, operation_id=found.operation_id, done=found.rows):
        await end_import(session, import_id=import_id, state=OperationState.CANCELLED)
        return None
    return Claim(
        found.id, found.operation_id, found.file_id, found.file_name, found.mapping, found.options, found.state,
        found.dry_run, found.as_recipients, found.next_row,
    )  # fmt: skip


async def describe(session: AsyncSession, *, import_id: int, detected: dict[str, Any], total: int) -> None:
    """Note what the file turned out to be, and how many rows are to be done."""
    found = await queries.lock_import(session, import_id=import_id)
    if found is not None:
        found.detected = detected
        await advance(session, operation_id=found.operation_id, done=found.rows, total=total)


class TakenOver(Exception):  # noqa: N818 - what happened, and no error
    """Another worker has done this batch: it took the job over while this one seemed dead."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a batch did, and what was wrong with rows that were read well; of those `rejected` came to nothing."""

    created: int
    updated: int
    problems: list[Problem]
    rejected: int = 0


Save = Callable[[AsyncSession, Import, Batch], Awaitable[Saved]]
"""Saves a batch where the import goes, or tells what saving it would do."""


async def save_batch(session: AsyncSession, *, import_id: int, batch: Batch, save: Save) -> bool:
    """Save a batch with everything it says, and move the import past it; return whether to go on.

    Not to go on means that the import was cancelled. Raises TakenOver.
    """
    current = await queries.lock_import(session, import_id=import_id)
    if current is None or current.state is not ImportState.RUNNING or current.next_row != batch.first:
        raise TakenOver
    saved = await save(session, current, batch)
    await import_queries.add_problems(session, import_id=current.id, problems=[*batch.problems, *saved.problems])
    current.next_row = batch.next_row
    current.rows += batch.rows
    current.created += saved.created
    current.updated += saved.updated
    current.rejected += batch.rejected + saved.rejected
    await session.flush()
    return not await advance(session, operation_id=current.operation_id, done=current.rows)


async def end_import(
    session: AsyncSession, *, import_id: int, state: OperationState, error: dict[str, Any] | None = None
) -> Import | None:
    """Close the operation with the import's counts, and return the import as it is then.

    The file is personal data: deleted at once when its work is done, kept for KEEP_DAYS when rows had problems, and for
    WAIT_HOURS when the import waits again, after it was looked at or tried out.
    """
    ended = await queries.lock_import(session, import_id=import_id)
    if ended is None:
        return None
    waits = ended.state is ImportState.ANALYSING or ended.dry_run
    result = {
        "import_id": ended.id, "rows": ended.rows, "created": ended.created, "updated": ended.updated,
        "unchanged": unchanged(ended), "rejected": ended.rejected, "dry_run": ended.dry_run,
    }  # fmt: skip
    await close_operation(session, operation_id=ended.operation_id, state=state, result=result, error=error)
    ended.fault = error if waits else None
    ended.state = ImportState.WAITING if waits else ImportState.ENDED
    if ended.file_id is not None and waits:
        await _expire_at(session, ended, clock.now() + timedelta(hours=WAIT_HOURS))
    elif ended.file_id is not None and await import_queries.has_problems(session, import_id=import_id):
        await _expire_at(session, ended, clock.now() + timedelta(days=KEEP_DAYS))
    else:
        await _delete_file(session, ended)
    return ended


async def _expire_at(session: AsyncSession, ended: Import, at: datetime) -> None:
    ended.expires_at = at
    await session.flush()
    await enqueue(session, Job.IMPORT_EXPIRE, due_at=at, import_id=ended.id)


async def expire_import(session: AsyncSession, *, import_id: int) -> None:
    """Delete the file of an import whose time is over; one that waited for its start ends with that."""
    found = await queries.lock_import(session, import_id=import_id)
    if found is None or found.file_id is None or found.expires_at is None or found.expires_at > clock.now():
        return
    found.state = ImportState.ENDED
    await _delete_file(session, found)


async def drop_upload(session: AsyncSession, *, import_id: int, file_id: int) -> bool:
    """Delete the file of an import that is not at work; one that waited for its start ends with that.

    Returns whether it was there to be deleted.
    """
    found = await queries.lock_import(session, import_id=import_id)
    if found is None or found.file_id != file_id or found.state not in (ImportState.WAITING, ImportState.ENDED):
        return False
    found.state = ImportState.ENDED
    await _delete_file(session, found)
    return True


async def _delete_file(session: AsyncSession, ended: Import) -> None:
    """Delete the file, and the samples that were taken from it."""
    file_id, ended.file_id = ended.file_id, None
    if ended.detected is not None:
        columns = [{**column, "samples": None} for column in ended.detected["columns"]]
        ended.detected = {**ended.detected, "columns": columns}
    await session.flush()
    if file_id is not None:
        await files.drop(session, file_id=file_id)


def unchanged(counted: Import) -> int:
    """Return how many rows so far said nothing new of a person."""
    return counted.rows - counted.created - counted.updated - counted.rejected
