"""`/v1/links/{link_id}/clicks`, `…/clickers`, resets, and verdicts judged again."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query, Response

from app.platform.auth import Admin, MailingsWrite, TrackingRead
from app.platform.clock import Instant
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.operation_routes import OperationOut, accepted
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor, read_key
from app.tracking import click_queries
from app.tracking.click_schemas import ClickerOut, ClickOut, LinkFigures, RecomputeIn, ResetIn
from app.tracking.errors import LinkNotFound, MailingNotFound
from app.tracking.models import Verdict
from app.tracking.rejudging import request_recompute
from app.tracking.resetting import Resettable, request_reset
from app.tracking.schemas import ClickersOut, ClicksOut

routes = router(tag="tracking")

MailingId = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only in this mailing")]
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def _check_link(session: Session, link_id: int) -> None:
    if not await click_queries.library_link_exists(session, link_id=link_id):
        raise LinkNotFound(f"There is no link {link_id} in the library.")


@routes.get(
    "/v1/links/{link_id}/statistics", operation_id="get_link_statistics", responses=declare(LinkNotFound),
    summary="How a link of the library did",
)  # fmt: skip
async def get_link_statistics(caller: TrackingRead, session: Session, link_id: int) -> LinkFigures:
    """Return clicks and unique clickers over all mailings, humans and machines apart."""
    row = await click_queries.figures_of(session, link_id=link_id)
    if row is None:
        raise LinkNotFound(f"There is no link {link_id} in the library.")
    return LinkFigures(
        link_id=link_id,
        clicks=ClicksOut(human=row.clicks, machine=row.machine_clicks),
        clickers=ClickersOut(human=row.clickers, machine=row.machine_clickers),
    )


@routes.get(
    "/v1/links/{link_id}/clicks", operation_id="list_link_clicks", responses=declare(LinkNotFound),
    summary="Who clicked a link, and when",
)  # fmt: skip
async def list_link_clicks(
    caller: TrackingRead,
    session: Session,
    link_id: int,
    mailing_id: MailingId = None,
    verdict: Annotated[Verdict | None, Query(description="Only with this verdict")] = None,
    since: Annotated[Instant | None, Query(description="Only from then on")] = None,
    until: Annotated[Instant | None, Query(description="Only before that")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ClickOut]:
    """List every click on a link of the library, latest first, with the reasons of its verdict."""
    await _check_link(session, link_id)
    rows = await click_queries.page_of_clicks(
        session, link_id=link_id, mailing_id=mailing_id, verdicts=list(Verdict) if verdict is None else [verdict],
        since=since or _FIRST, until=until or _LAST, before=read_key(cursor, datetime, int), limit=limit,
    )  # fmt: skip
    return Page[ClickOut](
        **page_of(
            rows, limit=limit, show=lambda row: ClickOut(**row._asdict()), key=lambda row: (row.occurred_at, row.id)
        )
    )


@routes.get(
    "/v1/links/{link_id}/clickers", operation_id="list_link_clickers", responses=declare(LinkNotFound),
    summary="Who clicked a link at all",
)  # fmt: skip
async def list_link_clickers(
    caller: TrackingRead,
    session: Session,
    link_id: int,
    mailing_id: MailingId = None,
    machines: Annotated[bool, Query(description="Also those for whom only machines clicked")] = False,  # noqa: FBT002
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ClickerOut]:
    """List the recipients who clicked a link of the library, each once, with the first click; humans unless asked."""
    await _check_link(session, link_id)
    rows = await click_queries.page_of_clickers(
        session, link_id=link_id, mailing_id=mailing_id, machines=machines, after=read_cursor(cursor), limit=limit
    )

    def show(row: Any) -> ClickerOut:
        return ClickerOut(recipient_id=row.id, **{name: value for name, value in row._asdict().items() if name != "id"})

    return Page[ClickerOut](**page_of(rows, limit=limit, show=show))


@routes.post(
    "/v1/links/{link_id}/reset", operation_id="reset_link", status_code=202, responses=declare(LinkNotFound),
    summary="Set a link's counters back",
)  # fmt: skip
async def reset_link(
    caller: MailingsWrite, session: Session, link_id: int, body: ResetIn, response: Response
) -> OperationOut:
    """Remove the clicks and clickers of a link of the library, in all mailings, in the background.

    Marks, figures and statistics follow. What link actions have done stays. The audit log tells who did it.
    """
    operation = await request_reset(session, what=Resettable.LINK, id_=link_id, before=body.before)
    return accepted(operation, response)


@routes.post(
    "/v1/mailings/{mailing_id}/reset-engagement", operation_id="reset_mailing_engagement", status_code=202,
    responses=declare(MailingNotFound), summary="Set a mailing's opens and clicks back",
)  # fmt: skip
async def reset_mailing_engagement(
    caller: MailingsWrite, session: Session, mailing_id: int, body: ResetIn, response: Response
) -> OperationOut:
    """Remove the opens and clicks of a mailing in the background: what colleagues tried out on the real list.

    Test messages and previews are never counted, so they need none of this. The audit log tells who did it.
    """
    operation = await request_reset(session, what=Resettable.MAILING, id_=mailing_id, before=body.before)
    return accepted(operation, response)


@routes.post(
    "/v1/verdicts/recompute", operation_id="recompute_verdicts", status_code=202, responses=declare(),
    summary="Judge all events again",
)  # fmt: skip
async def recompute_verdicts(caller: Admin, session: Session, body: RecomputeIn, response: Response) -> OperationOut:
    """Judge every stored open and click by the rules as they are now, in the background, while events come in.

    The result tells how many verdicts changed, by reason. With `dry_run` nothing is changed.
    """
    return accepted(await request_recompute(session, dry_run=body.dry_run), response)
