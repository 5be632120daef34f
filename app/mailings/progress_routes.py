"""`/v1/mailings/{id}/events`: watch a mailing while it is being sent."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import StreamingResponse

from app.mailings import service
from app.mailings.models import MailingState
from app.mailings.progress import Pace, progress_of
from app.mailings.schemas import MailingProgress
from app.platform.auth import MailingsRead
from app.platform.clock import now
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.sse import EVENT_STREAM, HEARTBEAT_SECONDS, POLL_SECONDS, event, last_event_id
from app.recipients.errors import MailingNotFound
from app.recipients.service import count_list

routes = router(prefix="/v1/mailings", tag="mailings")

OVER = frozenset({MailingState.FINISHED, MailingState.CANCELLED, MailingState.EXPIRED})


@routes.get(
    "/{mailing_id}/events", operation_id="watch_mailing", summary="Watch a mailing",
    responses={**declare(MailingNotFound), 200: EVENT_STREAM},
    response_class=StreamingResponse,
)  # fmt: skip
async def watch_mailing(caller: MailingsRead, session: Session, request: Request, mailing_id: int) -> StreamingResponse:
    """Send a `progress` event (`MailingProgress`) at each change of state, counts or rate, until the mailing is over.

    Each event tells everything, so that reconnecting with `Last-Event-ID` misses nothing; ids go on from there. A
    comment every 15 s keeps the line open.
    """
    await service.read_mailing(session, mailing_id=mailing_id)
    return StreamingResponse(watch(request, mailing_id), media_type="text/event-stream")


async def watch(request: Request, mailing_id: int) -> AsyncIterator[bytes]:
    """Yield the mailing's events until it is over or the client has gone."""
    number, quiet = last_event_id(request), 0.0
    told: MailingProgress | None = None
    pace = Pace()
    while not await request.is_disconnected():
        progress = await _look(request, mailing_id, pace)
        if told is None or _news(progress, told):
            number, quiet, told = number + 1, 0.0, progress
            yield event("progress", progress, event_id=number)
        if progress.state in OVER:
            return
        await asyncio.sleep(POLL_SECONDS)
        quiet += POLL_SECONDS
        if quiet >= HEARTBEAT_SECONDS:
            quiet = 0.0
            yield b": still here\n\n"


async def _look(request: Request, mailing_id: int, pace: Pace) -> MailingProgress:
    async with request.app.state.database.begin() as session:
        mailing = await service.read_mailing(session, mailing_id=mailing_id)
        return progress_of(mailing, await count_list(session, mailing_id=mailing_id), pace=pace, at=now())


def _news(progress: MailingProgress, told: MailingProgress) -> bool:
    """Whether there is more to tell than that time has passed."""
    return progress.model_copy(update={"estimated_end_at": told.estimated_end_at}) != told
