"""`POST /v1/mailings/{id}/{verb}`."""

from fastapi import Request, Response

from app.mailings import service
from app.mailings.errors import BlockedTestAddress, IllegalTransition, NotReady
from app.mailings.routes import Composer, tagged
from app.mailings.schemas import MailingOut, MessageTest
from app.platform.auth import MailingsSend, MailingsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.operation_routes import OperationOut, accepted
from app.recipients.errors import MailingNotFound, RecipientNotFound

routes = router(prefix="/v1/mailings", tag="mailings")


@routes.post(
    "/{mailing_id}/test", operation_id="send_test", status_code=202,
    responses=declare(MailingNotFound, RecipientNotFound, BlockedTestAddress), summary="Send a test",
)  # fmt: skip
async def send_test(
    caller: MailingsSend, session: Session, mailing_id: int, body: MessageTest, response: Response
) -> OperationOut:
    """Send the message to some addresses, rendered as a chosen recipient. Never counted in the statistics.

    Refused when one of them is a blocked address: nothing is sent to those, tests neither.
    """
    mailing = await service.read_mailing(session, mailing_id=mailing_id)
    return accepted(await service.request_test(session, mailing=mailing, wanted=body), response)


@routes.post(
    "/{mailing_id}/send", operation_id="send_mailing", status_code=202,
    responses=declare(MailingNotFound, IllegalTransition, NotReady), summary="Send now",
)  # fmt: skip
async def send_mailing(
    caller: MailingsSend, session: Session, mailing_id: int, composer: Composer, response: Response
) -> OperationOut:
    """Send the mailing. The operation prepares it (populates and freezes the list); then it is *sending*.

    Starts a scheduled mailing early, and one that expired late: now, for everyone. Refused while anything is
    incomplete, with every problem named. Cancelling the operation makes the mailing a draft again.
    """
    return accepted(await service.send(session, mailing_id=mailing_id, composer=composer), response)


@routes.post(
    "/{mailing_id}/stop", operation_id="stop_mailing", responses=declare(MailingNotFound, IllegalTransition),
    summary="Stop sending",
)  # fmt: skip
async def stop_mailing(caller: MailingsSend, session: Session, mailing_id: int, response: Response) -> MailingOut:
    """Stop within seconds. Messages in flight finish; those not started stay ready."""
    return tagged(await service.stop(session, mailing_id=mailing_id, reason=f"stopped by {caller.name}"), response)


@routes.post(
    "/{mailing_id}/start", operation_id="start_mailing", responses=declare(MailingNotFound, IllegalTransition),
    summary="Go on sending",
)  # fmt: skip
async def start_mailing(
    caller: MailingsSend, session: Session, mailing_id: int, request: Request, response: Response
) -> MailingOut:
    """Go on exactly where the mailing stopped, or failed; one that failed while it was prepared is prepared again."""
    return tagged(await service.start(session, mailing_id=mailing_id, settings=request.app.state.settings), response)


@routes.post(
    "/{mailing_id}/cancel", operation_id="cancel_mailing", responses=declare(MailingNotFound, IllegalTransition),
    summary="Cancel a mailing",
)  # fmt: skip
async def cancel_mailing(caller: MailingsWrite, session: Session, mailing_id: int, response: Response) -> MailingOut:
    """Cancel a mailing for good: a draft, or one that is scheduled, in preparation, stopped or failed.

    One that is being sent has to be stopped first.
    """
    return tagged(await service.cancel(session, mailing_id=mailing_id), response)
