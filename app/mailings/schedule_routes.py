"""`POST /v1/mailings/{id}/schedule` and `unschedule` (D27)."""

from fastapi import Response

from app.mailings import schedule as schedules
from app.mailings.errors import IllegalTransition, NotReady
from app.mailings.routes import Composer, tagged
from app.mailings.schedule_schemas import ScheduleIn
from app.mailings.schemas import MailingOut
from app.platform.auth import MailingsSend
from app.platform.errors import declare
from app.platform.http import Session, router
from app.recipients.errors import MailingNotFound

routes = router(prefix="/v1/mailings", tag="mailings")


@routes.post(
    "/{mailing_id}/schedule", operation_id="schedule_mailing",
    responses=declare(MailingNotFound, IllegalTransition, NotReady), summary="Schedule a mailing",
)  # fmt: skip
async def schedule_mailing(
    caller: MailingsSend, session: Session, mailing_id: int, body: ScheduleIn, composer: Composer, response: Response
) -> MailingOut:
    """Send the mailing later: at a moment, or when clocks show it where each recipient is. Scheduling again moves it.

    Refused while anything is incomplete, with every problem named, and for times that are past or never come: when
    clocks are put forward, 02:30 is jumped over, and the answer says what it would be. A time that comes twice, when
    they are put back, means the first; write an offset to mean the second.

    At its time the list is judged again. What stands in its way by then makes the mailing a draft with `state_reason`,
    and what is overdue past `send_before` *expired*: never sent late by surprise. `send` starts it early, for everyone.

    With `recipient_local_time` preparing begins when it is `send_at` in the first time zone on earth (`starts_at`: up
    to 26 hours before it is in the last). Where `send_at` has passed by then, recipients get it at once, unless
    `send_before` has passed there too: those have *failed*, in words that say so. Where clocks jump over `send_at`,
    it is as much later as they jump.
    """
    scheduled = await schedules.schedule(session, mailing_id=mailing_id, wanted=body, composer=composer)
    return tagged(scheduled, response)


@routes.post(
    "/{mailing_id}/unschedule", operation_id="unschedule_mailing",
    responses=declare(MailingNotFound, IllegalTransition), summary="Unschedule a mailing",
)  # fmt: skip
async def unschedule_mailing(caller: MailingsSend, session: Session, mailing_id: int, response: Response) -> MailingOut:
    """Make a scheduled mailing, or one that expired, a draft again."""
    return tagged(await schedules.unschedule(session, mailing_id=mailing_id), response)
