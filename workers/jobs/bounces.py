"""Jobs of bounces."""

import asyncio

from app.bounces.dsn import read_report
from app.bounces.service import open_message, take_in_report
from workers.context import Context, JobRun


async def read_bounce(context: Context, run: JobRun) -> None:
    """Read the stored inbound message `message` and do what it asks for; nothing when that has been done.

    The report is read in a thread: hostile ones may take some tenths of a second.
    """
    message_id = run.args["message"]
    async with context.database.begin() as session:
        unread = await open_message(session, message_id=message_id)
    report = await asyncio.to_thread(read_report, unread.octets, address=unread.address) if unread else None
    async with context.database.begin() as session:
        if report:
            await take_in_report(session, message_id=message_id, report=report)
        await run.finish(session)
