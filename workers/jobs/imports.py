"""The job of an import."""

from pathlib import Path
from tempfile import TemporaryDirectory

from app.audience import imports
from app.audience.reading_ahead import OpenFile, open_file
from app.audience.sheet_row import UnreadableFile
from app.audience.sheets import SheetOptions
from app.platform.files import fetch
from app.platform.operations import OperationState
from app.platform.outbox import Job, enqueue
from workers.context import MAX_ATTEMPTS, Context, JobRun


async def run_import(context: Context, run: JobRun) -> None:
    """Import the file of import `import_id` from where it stands, batch by batch; each is one transaction.

    A file that cannot be read ends the operation as failed before anything of it is imported.
    """
    import_id = run.args["import_id"]
    try:
        with TemporaryDirectory(prefix="budstikke-import-") as folder:
            path = Path(folder) / "sheet"
            async with context.database.begin() as session:
                claim = await imports.claim(session, import_id=import_id)
                if claim is None:
                    await run.finish(session)
                    return
                await fetch(session, file_id=claim.file_id, target=path)
            async with open_file(
                path, file_name=claim.file_name, mapping=claim.mapping, options=SheetOptions(),
                next_row=claim.next_row, default_country=context.settings.default_country, kinds={},
            ) as file:  # fmt: skip
                async with context.database.begin() as session:
                    await imports.describe(session, import_id=import_id, detected=file.detected, total=file.total)
                state = await _save_batches(context, import_id, file)
    except UnreadableFile as refusal:
        await _fail(context, run, import_id, code=refusal.code, detail=refusal.detail)
        return
    except imports.TakenOver:
        run.finished = True  # the row is that worker's now
        return
    except Exception:
        if run.attempt >= MAX_ATTEMPTS:
            await _end_after_failures(context, import_id)
        raise
    async with context.database.begin() as session:
        if state is None:
            await enqueue(session, Job.IMPORT_RUN, import_id=import_id)
        else:
            await imports.end_import(session, import_id=import_id, state=state)
        await run.finish(session)


async def _save_batches(context: Context, import_id: int, file: OpenFile) -> OperationState | None:
    """Save batches to the file's end, or until the import is cancelled; None when this process is asked to stop."""
    async for batch in file.batches:
        async with context.database.begin() as session:
            going_on = await imports.save_batch(session, import_id=import_id, batch=batch)
        if not going_on:
            return OperationState.CANCELLED
        if context.stopping.is_set():
            return None
    return OperationState.SUCCEEDED


async def _fail(context: Context, run: JobRun, import_id: int, *, code: str, detail: str) -> None:
    error = {"code": code, "detail": detail}
    async with context.database.begin() as session:
        await imports.end_import(session, import_id=import_id, state=OperationState.FAILED, error=error)
        await run.finish(session)


async def _end_after_failures(context: Context, import_id: int) -> None:
    detail = "The import failed again and again; what was imported by then stays. The log of the workers says why."
    error = {"code": "internal", "detail": detail}
    async with context.database.begin() as session:
        await imports.end_import(session, import_id=import_id, state=OperationState.FAILED, error=error)
