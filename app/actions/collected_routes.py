"""`/v1/follow-ups` and `/v1/requests`: what link actions make for the CRM's users, for the CRM to collect (D38)."""

from typing import Annotated, Any

from fastapi import Query

from app.actions import collected_queries, collecting
from app.actions.errors import FollowUpNotFound, RequestNotFound, TakenOver
from app.actions.models import FollowUp, ServiceRequest
from app.actions.schemas import FollowUpOut, OwnerOut, RequestOut, TakeOverIn
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="follow-ups and requests")

Id = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
TakenOverFilter = Annotated[bool | None, Query(description="false: only what the CRM has not taken over yet")]
Owner = Annotated[str | None, Query(max_length=254, description="The owner's address")]


def _shared(row: Any) -> dict[str, Any]:
    made = row[0]
    owner = OwnerOut(name=made.owner_name, email=made.owner_email) if made.owner_email else None
    shown = made.model_dump(exclude={"owner_name", "owner_email", "library_link_id", "run_id"})
    return {
        **shown, "link_id": made.library_link_id, "owner": owner, "person_external_id": row.person_external_id,
        "company_external_id": row.company_external_id,
    }  # fmt: skip


def show_follow_up(row: Any) -> FollowUpOut:
    """Return a follow-up as the API shows it."""
    return FollowUpOut(**_shared(row), project_external_id=row.project_external_id)


def show_request(row: Any) -> RequestOut:
    """Return a request as the API shows it."""
    return RequestOut(**_shared(row))


@routes.get("/v1/follow-ups", operation_id="list_follow_ups", responses=declare(), summary="List follow-ups")
async def list_follow_ups(
    caller: ContactsRead, session: Session, taken_over: TakenOverFilter = None, owner: Owner = None,
    mailing_id: Id = None, person_id: Id = None, link_id: Id = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[FollowUpOut]:  # fmt: skip
    """List tasks and appointments that clicks have made, oldest first.

    A CRM collects them with `taken_over=false` and takes each over; `follow_up.created` in the event feed says when
    there is something to collect.
    """
    equal = {"owner_email": owner, "mailing_id": mailing_id, "person_id": person_id, "library_link_id": link_id}
    rows = await collected_queries.page_of(
        session, FollowUp, taken_over=taken_over, equal=equal, after=read_cursor(cursor), limit=limit
    )
    return Page[FollowUpOut](**page_of(rows, limit=limit, show=show_follow_up))


@routes.get(
    "/v1/follow-ups/{follow_up_id}", operation_id="get_follow_up", responses=declare(FollowUpNotFound),
    summary="Get a follow-up",
)  # fmt: skip
async def get_follow_up(caller: ContactsRead, session: Session, follow_up_id: int) -> FollowUpOut:
    """Return one follow-up, with its owner: the person's own contact as it was then, or the action's."""
    return show_follow_up(await collecting.read(session, FollowUp, key=follow_up_id))


@routes.post(
    "/v1/follow-ups/{follow_up_id}/take-over", operation_id="take_over_follow_up",
    responses=declare(FollowUpNotFound, TakenOver), summary="Take a follow-up over",
)  # fmt: skip
async def take_over_follow_up(
    caller: ContactsWrite, session: Session, follow_up_id: int, body: TakeOverIn
) -> FollowUpOut:
    """Note that the CRM has it, under its own reference. Repeating it is fine; under another reference it is 409."""
    row = await collecting.take_over(session, FollowUp, key=follow_up_id, external_id=body.external_id)
    return show_follow_up(row)


@routes.get("/v1/requests", operation_id="list_requests", responses=declare(), summary="List requests")
async def list_requests(
    caller: ContactsRead, session: Session, taken_over: TakenOverFilter = None, owner: Owner = None,
    mailing_id: Id = None, person_id: Id = None, link_id: Id = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[RequestOut]:  # fmt: skip
    """List service requests that clicks have made, oldest first.

    A CRM collects them with `taken_over=false` and takes each over; `request.created` in the event feed says when
    there is something to collect.
    """
    equal = {"owner_email": owner, "mailing_id": mailing_id, "person_id": person_id, "library_link_id": link_id}
    rows = await collected_queries.page_of(
        session, ServiceRequest, taken_over=taken_over, equal=equal, after=read_cursor(cursor), limit=limit
    )
    return Page[RequestOut](**page_of(rows, limit=limit, show=show_request))


@routes.get(
    "/v1/requests/{request_id}", operation_id="get_request", responses=declare(RequestNotFound),
    summary="Get a request",
)  # fmt: skip
async def get_request(caller: ContactsRead, session: Session, request_id: int) -> RequestOut:
    """Return one request. `assignment` says whose it is: its owner's, nobody's, or the CRM's to choose."""
    return show_request(await collecting.read(session, ServiceRequest, key=request_id))


@routes.post(
    "/v1/requests/{request_id}/take-over", operation_id="take_over_request",
    responses=declare(RequestNotFound, TakenOver), summary="Take a request over",
)  # fmt: skip
async def take_over_request(caller: ContactsWrite, session: Session, request_id: int, body: TakeOverIn) -> RequestOut:
    """Note that the CRM has it, under its own reference. Repeating it is fine; under another reference it is 409."""
    row = await collecting.take_over(session, ServiceRequest, key=request_id, external_id=body.external_id)
    return show_request(row)
