"""The watch: every two seconds, each worker mends what crashes left behind and moves on what became due.

Cheap when there is nothing to do: a look into the journal directory, one UPDATE on leases, one SELECT of mailings.
"""

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.delivery.service import recover
from app.mailings import queries, service
from app.platform.telemetry import log
from workers.context import Context

LOOK_SECONDS = 2.0

_MINE = text("SELECT pg_try_advisory_xact_lock(8002, :mailing) AS mine")


async def watch(context: Context) -> None:
    """Watch until cancelled; a database that is away only delays it."""
    while True:
        try:
            await recover(context.database, context.settings)
            await move_on(context)
        except (SQLAlchemyError, OSError) as error:
            log.warning("watch.waits", kind=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def move_on(context: Context) -> None:
    """See that every mailing that is being sent has senders, retries and an end; one watch per mailing at a time."""
    async with context.database.begin() as session:
        mailing_ids = await queries.sending_mailings(session)
    for mailing_id in mailing_ids:
        async with context.database.begin() as session:
            mine = (await session.exec(_MINE, params={"mailing": mailing_id % 2**31})).one()  # type: ignore[call-overload]
            if mine.mine:
                await service.keep_going(session, mailing_id=mailing_id, settings=context.settings)
