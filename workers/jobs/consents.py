"""What consent leaves to the workers: yeses that run out, and lines of addresses that were blocked meanwhile."""

from app.consent import blocked, expiry
from workers.context import Context, JobRun


async def expire_consents(context: Context, run: JobRun) -> None:
    """Append `expired` to the ledger for every yes that ran out, batch by batch, each a transaction of its own."""
    more = True
    while more and not context.stopping.is_set():
        async with context.database.begin() as session:
            more = await expiry.expire(session) > 0
            if not more:
                await run.finish(session)


async def take_out_address(context: Context, run: JobRun) -> None:
    """Take the lines that wait for a blocked address out of every mailing (D47, D59); repeats change nothing."""
    async with context.database.begin() as session:
        await blocked.take_out_address(session, blocked_address_id=run.args["blocked"])
        await run.finish(session)
