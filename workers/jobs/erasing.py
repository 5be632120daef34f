"""What an erasure leaves to the workers: files in which the person may be named."""

from app.platform.outbox import Job, enqueue
from app.privacy.files import forget_search, search_files
from workers.context import Context, JobRun


async def search_uploads(context: Context, run: JobRun) -> None:
    """Delete uploads that name an erased person; while an import is at work, look again when it may be over."""
    operation_id = run.args["operation"]
    secret = context.settings.secret_key.get_secret_value()
    try:
        again_at = await search_files(context.database, operation_id=operation_id, secret=secret)
    except Exception:
        if run.is_last:
            async with context.database.begin() as session:
                await forget_search(session, operation_id=operation_id)
        raise
    async with context.database.begin() as session:
        if again_at is not None:
            await enqueue(session, Job.ERASURE_SEARCH, due_at=again_at, operation=operation_id)
        await run.finish(session)
