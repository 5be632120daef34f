"""`/v1/mailings/{mailing_id}/recipients`: reading the list."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.auth import MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, make_cursor, read_cursor
from app.recipients import service
from app.recipients.errors import MailingNotFound, RecipientNotFound
from app.recipients.filters import BounceKind, Mark, RecipientFilter
from app.recipients.models import BlockedReason, Recipient, RecipientStatus
from app.recipients.page_queries import read_page
from app.recipients.queries import mobiles_of
from app.recipients.schemas import ListCounts, RecipientOut, Why
from app.recipients.why import explain_recipient

routes = router(prefix="/v1/mailings/{mailing_id}/recipients", tag="recipients")


def _filter(
    status: Annotated[list[RecipientStatus], Query(description="Only these statuses; repeat for several")] = [],  # noqa: B006 - FastAPI copies defaults
    reason: Annotated[
        list[BlockedReason], Query(description="Only blocked for these reasons; repeat for several")
    ] = [],  # noqa: B006
    mark: Annotated[list[Mark], Query(description="Only with each of these marks; repeat for several")] = [],  # noqa: B006
    without_mark: Annotated[list[Mark], Query(description="Only without these marks; repeat for several")] = [],  # noqa: B006
    bounce: Annotated[BounceKind | None, Query(description="Only bounced in this way")] = None,
    source_id: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only brought by this source")] = None,
    person_id: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only the line of this person")] = None,
    company_id: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="Only the company's own line and those of its persons")
    ] = None,
    email: Annotated[
        str | None, Query(min_length=3, max_length=254, description="Only whose address this is now; exact, any case")
    ] = None,
    q: Annotated[str | None, Query(description="Part of the name or address", min_length=2, max_length=100)] = None,
) -> RecipientFilter:
    return RecipientFilter(
        status=status, reason=reason, mark=mark, without_mark=without_mark, bounce=bounce, source_id=source_id,
        person_id=person_id, company_id=company_id, email=email, q=q,
    )  # fmt: skip


Filter = Annotated[RecipientFilter, Depends(_filter)]


async def _shown(session: AsyncSession, lines: Sequence[Recipient]) -> list[RecipientOut]:
    mobiles = await mobiles_of(session, recipient_ids=[line.id for line in lines]) if lines else {}
    sending = await service.find_sending(session, lines=lines)
    return [
        RecipientOut(
            **line.model_dump(exclude={"status"}), mobile=mobiles.get(line.id),
            status=RecipientStatus.SENDING if line.id in sending else line.status,
        )
        for line in lines
    ]  # fmt: skip


@routes.get("", operation_id="list_recipients", responses=declare(MailingNotFound), summary="List recipients")
async def list_recipients(
    caller: MailingsRead, session: Session, mailing_id: int, found: Filter, limit: Limit = 50, cursor: Cursor = None
) -> Page[RecipientOut]:
    """List the recipients of a mailing, page by page, with everything that the filter tells.

    Of those that wait, `sending` are the ones whose message may leave at any moment, and `ready` the others.

    To find few among many, a request walks at most 100 000 lines: its page may then have fewer items than `limit`, or
    none, while `next_cursor` says that the list goes on.
    """
    await service.check_mailing(session, mailing_id=mailing_id)
    page = await read_page(session, mailing_id=mailing_id, found=found, after=read_cursor(cursor), limit=limit)
    return Page[RecipientOut](
        items=await _shown(session, page.lines),
        next_cursor=None if page.goes_on_after is None else make_cursor(page.goes_on_after),
    )


@routes.get("/counts", operation_id="count_recipients", responses=declare(MailingNotFound), summary="Count recipients")
async def count_recipients(caller: MailingsRead, session: Session, mailing_id: int) -> ListCounts:
    """Return the size of the list, by status and by reason. The statuses always sum to the total."""
    await service.check_mailing(session, mailing_id=mailing_id)
    return await service.count_list_now(session, mailing_id=mailing_id)


@routes.get(
    "/{recipient_id}", operation_id="get_recipient", responses=declare(RecipientNotFound), summary="Get a recipient"
)
async def get_recipient(caller: MailingsRead, session: Session, mailing_id: int, recipient_id: int) -> RecipientOut:
    """Return one line of the list, with what became of the message."""
    line = await service.read_recipient(session, mailing_id=mailing_id, recipient_id=recipient_id)
    [shown] = await _shown(session, [line])
    return shown


@routes.get(
    "/{recipient_id}/why", operation_id="explain_recipient", responses=declare(RecipientNotFound),
    summary="Why is this recipient on the list?",
)  # fmt: skip
async def explain(caller: MailingsRead, session: Session, mailing_id: int, recipient_id: int) -> Why:
    """Return the source, the ledger line and the subscription a line rests on, and the reason when it is blocked.

    A message that was sent is explained by what it was sent on, whatever changed since, also when the person is gone.
    """
    return await explain_recipient(session, mailing_id=mailing_id, recipient_id=recipient_id)
