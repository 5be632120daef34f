"""`/v1/mailings/{mailing_id}/bounces`."""

from typing import Annotated

from fastapi import Query

from app.bounces import service
from app.bounces.models import BounceKind, BounceOrigin
from app.bounces.queries import ListedBounce
from app.bounces.schemas import BounceOut
from app.platform.auth import MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor
from app.recipients.errors import MailingNotFound

routes = router(tag="bounces")

Kind = Annotated[BounceKind | None, Query(description="Only bounces of this kind")]
Origin = Annotated[BounceOrigin | None, Query(description="Only bounces that were heard of this way")]


def show(listed: ListedBounce) -> BounceOut:
    """Return a bounce as the API shows it."""
    return BounceOut(email=listed.email, **listed.bounce.model_dump(exclude={"mailing_id"}))


@routes.get(
    "/v1/mailings/{mailing_id}/bounces", operation_id="list_bounces", responses=declare(MailingNotFound),
    summary="List the bounces of a mailing",
)  # fmt: skip
async def list_bounces(
    caller: MailingsRead,
    session: Session,
    mailing_id: int,
    kind: Kind = None,
    origin: Origin = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BounceOut]:
    """List the messages of a mailing that did not arrive, oldest first, with the servers' words.

    A recipient may appear twice: refused while sending and reported afterwards. Auto-replies and delay notices are not
    bounces.
    """
    rows = await service.list_bounces(
        session, mailing_id=mailing_id, kind=kind, origin=origin, after=read_cursor(cursor), limit=limit
    )
    return Page[BounceOut](**page_of(rows, limit=limit, show=show))
