"""Jobs of engagement that is stored: judged again, or set back."""

from datetime import UTC, datetime, timedelta

from app.platform.outbox import Job, enqueue
from app.tracking.rejudging import recompute
from app.tracking.resetting import Resettable, reset
from workers.context import Context, JobRun

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def recompute_verdicts(context: Context, run: JobRun) -> None:
    """Judge all stored events again; a worker that stops leaves the rest to the next."""
    ended = await recompute(
        context.database, operation_id=run.args["operation"], machine_seconds=context.settings.machine_seconds,
        dry_run=bool(run.args["dry_run"]), stopping=context.stopping.is_set,
    )  # fmt: skip
    if not ended:
        async with context.database.begin() as session:
            await enqueue(session, Job.VERDICTS_RECOMPUTE, operation=run.args["operation"], dry_run=run.args["dry_run"])
            await run.finish(session)


async def reset_engagement(context: Context, run: JobRun) -> None:
    """Remove the events of a link or a mailing."""
    await reset(
        context.database, what=Resettable.MAILING if run.args["of_mailing"] else Resettable.LINK, id_=run.args["id"],
        before=_EPOCH + timedelta(microseconds=run.args["before_us"]), operation_id=run.args["operation"],
    )  # fmt: skip
