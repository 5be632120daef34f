"""`/v1/mailings/{mailing_id}/recipients`: reading the list."""

from typing import Annotated

from fastapi import Query

from app.platform.auth import MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor
from app.recipients import queries, service
from app.recipients.errors import MailingNotFound, RecipientNotFound
from app.recipients.models import BlockedReason, Recipient, RecipientStatus
from app.recipients.schemas import ListCounts, RecipientOut, Why
from app.recipients.why import explain_recipient

routes = router(prefix="/v1/mailings/{mailing_id}/recipients", tag="recipients")

Statuses = Annotated[list[RecipientStatus], Query(description="Only these statuses; repeat for several")]
Reasons = Annotated[list[BlockedReason], Query(description="Only blocked for these reasons; repeat for several")]
Search = Annotated[str | None, Query(description="Part of the name or address", min_length=2, max_length=100)]


def show(recipient: Recipient) -> RecipientOut:
    """Return a recipient as the API shows it."""
    return RecipientOut(**recipient.model_dump())


@routes.get("", operation_id="list_recipients", responses=declare(MailingNotFound), summary="List recipients")
async def list_recipients(
    caller: MailingsRead,
    session: Session,
    mailing_id: int,
    status: Statuses = [],  # noqa: B006 - FastAPI copies defaults
    reason: Reasons = [],  # noqa: B006
    q: Search = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RecipientOut]:
    """List the recipients of a mailing, page by page, by status, reason and part of name or address."""
    await service.check_mailing(session, mailing_id=mailing_id)
    rows = await queries.page_of_recipients(
        session,
        mailing_id=mailing_id,
        statuses=status,
        reasons=reason,
        search=q,
        after=read_cursor(cursor),
        limit=limit,
    )
    return Page[RecipientOut](**page_of(rows, limit=limit, show=show))


@routes.get("/counts", operation_id="count_recipients", responses=declare(MailingNotFound), summary="Count recipients")
async def count_recipients(caller: MailingsRead, session: Session, mailing_id: int) -> ListCounts:
    """Return the size of the list, by status and by reason. The statuses always sum to the total."""
    await service.check_mailing(session, mailing_id=mailing_id)
    return await service.count_list(session, mailing_id=mailing_id)


@routes.get(
    "/{recipient_id}", operation_id="get_recipient", responses=declare(RecipientNotFound), summary="Get a recipient"
)
async def get_recipient(caller: MailingsRead, session: Session, mailing_id: int, recipient_id: int) -> RecipientOut:
    """Return one line of the list, with what became of the message."""
    return show(await service.read_recipient(session, mailing_id=mailing_id, recipient_id=recipient_id))


@routes.get(
    "/{recipient_id}/why", operation_id="explain_recipient", responses=declare(RecipientNotFound),
    summary="Why is this recipient on the list?",
)  # fmt: skip
async def explain(caller: MailingsRead, session: Session, mailing_id: int, recipient_id: int) -> Why:
    """Return the source, the ledger line and the subscription a line rests on, and the reason when it is blocked.

    A message that was sent is explained by what it was sent on, whatever changed since, also when the person is gone.
    """
    return await explain_recipient(session, mailing_id=mailing_id, recipient_id=recipient_id)
