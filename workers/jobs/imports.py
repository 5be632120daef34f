"""The jobs of an import: looking at its file, trying it out, carrying it out, and deleting it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import imports
from app.audience.errors import MailingNotDraft
from app.audience.import_reading import Batch
from app.audience.import_saving import save_persons_of
from app.audience.imports import Claim, Save, Saved
from app.audience.models import Import, ImportState
from app.audience.person_lines import Kinds
from app.audience.reading_ahead import OpenFile, open_file
from app.audience.sheet_row import UnreadableFile
from app.audience.sheets import SheetOptions
from app.contacts.extra_field_queries import declare_texts, declared_fields
from app.contacts.models import ExtraOwner
from app.contacts.trial_queries import open_trial
from app.platform.files import fetch
from app.platform.operations import OperationState
from app.platform.outbox import Job, enqueue
from app.recipients import imported
from app.recipients.imported_queries import follow
from workers.context import MAX_ATTEMPTS, Context, JobRun


async def run_import(context: Context, run: JobRun) -> None:
    """Look at the file of import `import_id`, try it out, or import it from where it stands.

    It is imported batch by batch; each is one transaction. A file that cannot be read ends the operation as failed
    before anything of it is imported.
    """
    import_id = run.args["import_id"]
    try:
        state = await _run(context, import_id)
    except UnreadableFile as refusal:
        await _fail(context, run, import_id, code=refusal.code, detail=refusal.detail)
        return
    except MailingNotDraft as refusal:
        await _fail(context, run, import_id, code="mailing_not_draft", detail=refusal.detail)
        return
    except imports.TakenOver:
        run.finished = True  # the row is that worker's now
        return
    except Exception:
        if run.attempt >= MAX_ATTEMPTS:
            await _end_after_failures(context, import_id)
        raise
    async with context.database.begin() as session:
        if state is OperationState.RUNNING:
            await enqueue(session, Job.IMPORT_RUN, import_id=import_id)
        elif state is not None:
            await _end(session, import_id, state=state)
        await run.finish(session)


async def expire_import(context: Context, run: JobRun) -> None:
    """Delete the file of import `import_id` if its time is over."""
    async with context.database.begin() as session:
        await imports.expire_import(session, import_id=run.args["import_id"])
        await run.finish(session)


async def _run(context: Context, import_id: int) -> OperationState | None:
    """Return how the operation ends; `running` where another worker goes on, None where there is nothing to do."""
    with TemporaryDirectory(prefix="budstikke-import-") as folder:
        path = Path(folder) / "sheet"
        async with context.database.begin() as session:
            claim = await imports.claim(session, import_id=import_id)
            if claim is None:
                return None
            await fetch(session, file_id=claim.file_id, target=path)
            declared = await declared_fields(session, owner=ExtraOwner.PERSON)
        kinds = {name: (field.kind.value, field.choices) for name, field in declared.items()}
        async with _opened(context, claim, path, kinds) as file:
            async with context.database.begin() as session:
                await imports.describe(session, import_id=import_id, detected=file.detected, total=file.total)
                if claim.state is ImportState.RUNNING and not (claim.dry_run or claim.as_recipients):
                    await declare_texts(session, owner=ExtraOwner.PERSON, names=_extra_names(file))
            if claim.state is ImportState.ANALYSING:
                return OperationState.SUCCEEDED
            return await _save_batches(context, claim, file)


@asynccontextmanager
async def _opened(context: Context, claim: Claim, path: Path, kinds: Kinds) -> AsyncIterator[OpenFile]:
    next_row = None if claim.state is ImportState.ANALYSING else claim.next_row
    async with open_file(
        path, file_name=claim.file_name, mapping=claim.mapping, options=SheetOptions(**claim.options),
        next_row=next_row, default_country=context.settings.default_country, kinds=kinds,
    ) as file:  # fmt: skip
        yield file


def _extra_names(file: OpenFile) -> list[str]:
    fields = (column["field"] or "" for column in file.detected["columns"])
    return [field.removeprefix("extra.") for field in fields if field.startswith("extra.")]


async def _save_batches(context: Context, claim: Claim, file: OpenFile) -> OperationState:
    """Save batches to the file's end, or until the import is cancelled or this process is asked to stop."""
    async with AsyncExitStack() as stack:
        save: Save | None = None
        async for batch in file.batches:
            # With the first batch: a large workbook takes longer to load than a transaction may rest.
            save = save or await _saving(context, claim, stack)
            async with context.database.begin() as session:
                going_on = await imports.save_batch(session, import_id=claim.import_id, batch=batch, save=save)
            if not going_on:
                return OperationState.CANCELLED
            if context.stopping.is_set():
                return OperationState.RUNNING
    return OperationState.SUCCEEDED


async def _saving(context: Context, claim: Claim, stack: AsyncExitStack) -> Save:
    """Return what saves the batches, or tells what saving them would do; a trial lasts as long as the stack."""
    if claim.as_recipients:
        return partial(imported.save_addresses_of, is_trial=claim.dry_run)
    if not claim.dry_run:
        return save_persons_of
    session = await stack.enter_async_context(context.database.begin())
    trial = await open_trial(session)

    async def try_out(_: AsyncSession, current: Import, batch: Batch) -> Saved:
        return await save_persons_of(session, current, batch, trial=trial)

    return try_out


async def _end(
    session: AsyncSession, import_id: int, *, state: OperationState, error: dict[str, str] | None = None
) -> None:
    ended = await imports.end_import(session, import_id=import_id, state=state, error=error)
    if ended is not None and ended.mailing_id is not None and ended.state is ImportState.ENDED:
        await follow(session, mailing_id=ended.mailing_id)


async def _fail(context: Context, run: JobRun, import_id: int, *, code: str, detail: str) -> None:
    async with context.database.begin() as session:
        await _end(session, import_id, state=OperationState.FAILED, error={"code": code, "detail": detail})
        await run.finish(session)


async def _end_after_failures(context: Context, import_id: int) -> None:
    detail = "The import failed again and again; what was imported by then stays. The log of the workers says why."
    error = {"code": "internal", "detail": detail}
    async with context.database.begin() as session:
        await _end(session, import_id, state=OperationState.FAILED, error=error)
