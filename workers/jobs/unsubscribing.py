"""Unsubscribes that came by mail."""

from app.pages.service import find_visitor, unsubscribe
from workers.context import Context, JobRun


async def unsubscribe_recipient(context: Context, run: JobRun) -> None:
    """Unsubscribe a recipient from the mailing's subscription type, as one-click does (D47); repeats change nothing."""
    async with context.database.begin() as session:
        visitor = await find_visitor(session, recipient_id=run.args["recipient"])
        if visitor is not None:
            await unsubscribe(session, visitor=visitor, everything=False, page="unsubscribe by mail")
        await run.finish(session)
