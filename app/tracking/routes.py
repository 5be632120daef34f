"""`/v1/mailings/{mailing_id}/links`. Clicks and opens themselves are answered in `endpoint`."""

from typing import Any

from app.platform.auth import TrackingRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_key
from app.tracking import service
from app.tracking.errors import MailingNotFound
from app.tracking.schemas import ClickersOut, ClicksOut, MailingLinkOut

routes = router(tag="tracking")


def show(row: Any) -> MailingLinkOut:
    """Return a link as the API shows it."""
    clicks = ClicksOut(human=row.human, machine=row.machine)
    return MailingLinkOut(
        id=row.id, position=row.position, target=row.target, library_link_id=row.library_link_id,
        honeypot=row.honeypot, clicks=clicks,
        clickers=ClickersOut(human=row.clickers, machine=row.machine_clickers),
    )  # fmt: skip


@routes.get(
    "/v1/mailings/{mailing_id}/links", operation_id="list_mailing_links", responses=declare(MailingNotFound),
    summary="List a mailing's links",
)  # fmt: skip
async def list_mailing_links(
    caller: TrackingRead, session: Session, mailing_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[MailingLinkOut]:
    """List the tracked links of a mailing in the order of the message, with their clicks and clickers.

    Of a draft they are those that its latest preview or test had; once it is sent, those that it was sent with.
    """
    key = read_key(cursor, int, int)
    after = (key[0] - 1, key[1]) if key else None
    rows = await service.page_of_links(session, mailing_id=mailing_id, after=after, limit=limit)
    return Page[MailingLinkOut](**page_of(rows, limit=limit, show=show, key=lambda row: (row.position + 1, row.id)))
