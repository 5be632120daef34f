"""`/v1/mailings/{id}/leaving-reasons`: why people left."""

from app.pages import queries
from app.pages.leaving_schemas import LeavingReasons
from app.platform.auth import MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.recipients.errors import MailingNotFound
from app.recipients.queries import mailing_exists

routes = router(prefix="/v1/mailings/{mailing_id}/leaving-reasons", tag="statistics")


@routes.get(
    "", operation_id="get_leaving_reasons", responses=declare(MailingNotFound),
    summary="Count why people unsubscribed",
)  # fmt: skip
async def get_leaving_reasons(caller: MailingsRead, session: Session, mailing_id: int) -> LeavingReasons:
    """Return how many unsubscribed through this mailing's links, by what they chose on the page that asks why.

    One click in a mail program counts as well, without a reason. Who took it back is not counted. No names: reasons are
    told in confidence.
    """
    if not await mailing_exists(session, mailing_id=mailing_id):
        raise MailingNotFound(f"There is no mailing {mailing_id}.")
    counts = await queries.count_reasons(session, mailing_id=mailing_id)
    gave_none = counts.pop("", 0)
    known = {name: counts.get(name, 0) for name in ("too_many", "not_for_me", "never_asked", "other")}
    return LeavingReasons(left=gave_none + sum(known.values()), gave_none=gave_none, **known)
