"""Jobs of exports."""

from app.recipients.exports import write_export
from workers.context import Context, JobRun


async def export_list(context: Context, run: JobRun) -> None:
    """Write a list to a file (D23); a job that is run again begins anew, and one that was done does nothing."""
    await write_export(context.database, mailing_id=run.args["mailing"], export_id=run.args["export"])
