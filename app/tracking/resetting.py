"""Counters set back (D44): clicks and clickers of a library link go, or opens and clicks of a mailing.

Test messages and previews are never recorded (D15, D42). What people tried out on lines of the real list is, and this
removes it: what came in before the moment of asking, or before an earlier one.
"""

from datetime import datetime
from enum import StrEnum

from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.clock import now
from app.platform.db import Database, tried_again
from app.platform.operations import Operation, OperationState, advance, close_operation, open_operation
from app.platform.outbox import Job, enqueue
from app.tracking import click_queries, rejudging_queries
from app.tracking.errors import LinkNotFound, MailingNotFound
from app.tracking.queries import mailing_exists

BATCH = 2000  # events in a transaction


class Resettable(StrEnum):
    """What counters can be set back of."""

    LINK = "library_link"
    MAILING = "mailing"


async def request_reset(session: AsyncSession, *, what: Resettable, id_: int, before: datetime | None) -> Operation:
    """Have counters set back in the background, and record who asked; raises LinkNotFound and MailingNotFound."""
    if what is Resettable.LINK and not await click_queries.library_link_exists(session, link_id=id_):
        raise LinkNotFound(f"There is no link {id_} in the library.")
    if what is Resettable.MAILING and not await mailing_exists(session, mailing_id=id_):
        raise MailingNotFound(f"There is no mailing {id_}.")
    moment = min(before or now(), now())
    operation = await open_operation(session, kind="reset-engagement")
    await rejudging_queries.record_reset(session, entity=what.value, id_=id_, after={"before": moment.isoformat()})
    await enqueue(
        session, Job.ENGAGEMENT_RESET, operation=operation.id, id=id_, of_mailing=int(what is Resettable.MAILING),
        before_us=int(moment.timestamp() * 1_000_000),
    )  # fmt: skip
    return operation


async def reset(
    database: Database, *, what: Resettable, id_: int, before: datetime, operation_id: int, batch: int = BATCH
) -> None:
    """Remove the events, batch by batch, and close the operation. Repeatable: what is gone is gone."""
    removed = 0

    async def step() -> int | None:
        async with database.begin() as session:
            await rejudging_queries.hold_recording(session)
            recipients = await rejudging_queries.remove_events(
                session, what=what.value, id_=id_, before=before, size=batch
            )
            await rejudging_queries.mark_anew(session, recipient_ids=recipients)
            done = removed + len(recipients)
            result = {"removed": done}
            if await advance(session, operation_id=operation_id, done=done):
                state = OperationState.CANCELLED
            elif recipients:
                return len(recipients)
            else:
                state = OperationState.SUCCEEDED
            await close_operation(session, operation_id=operation_id, state=state, result=result)
            return None

    while (number := await tried_again(step)) is not None:
        removed += number
