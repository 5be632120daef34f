"""`/v1/mailings/{mailing_id}/statistics`."""

from app.platform.auth import MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.recipients.errors import MailingNotFound
from app.statistics import service
from app.statistics.schemas import Statistics

routes = router(prefix="/v1/mailings/{mailing_id}/statistics", tag="statistics")


@routes.get("", operation_id="get_statistics", responses=declare(MailingNotFound), summary="How the mailing did")
async def get_statistics(caller: MailingsRead, session: Session, mailing_id: int) -> Statistics:
    """Return recipients by status, deliveries, opens, clicks, bounces and unsubscribes; humans and machines apart."""
    return await service.summarise(session, mailing_id=mailing_id)
