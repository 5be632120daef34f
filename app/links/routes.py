"""`/v1/links`: the link library. The links of one mailing are at `/v1/mailings/{id}/links` (slice `tracking`)."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import StringConstraints

from app.content.merge_tags import parse_stored
from app.content.schemas import Key
from app.links import queries, service
from app.links.errors import InvalidTarget, LibraryLinkInUse, LibraryLinkNotFound
from app.links.models import LibraryLink
from app.links.schemas import LibraryLinkIn, LibraryLinkOut, LibraryLinkPatch, LinkSort, LinkUse
from app.links.targets import can_be_tracked
from app.platform.auth import MailingsRead, MailingsWrite
from app.platform.errors import PreconditionFailed, declare
from app.platform.http import Session, check_match, etag, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_key

routes = router(prefix="/v1/links", tag="links")

Sought = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


def show(link: LibraryLink) -> LibraryLinkOut:
    """Return a link as the API shows it."""
    return LibraryLinkOut(
        **link.model_dump(exclude={"target_key"}),
        trackable=can_be_tracked(parse_stored(link.target, where="target")),
        reference=f"[[link.library.{link.id}]]",
    )


def tagged(link: LibraryLink, response: Response) -> LibraryLinkOut:
    """Return a link as the API shows it, and set its entity tag."""
    response.headers["ETag"] = etag(link.version)
    return show(link)


@routes.post(
    "", operation_id="create_link", status_code=201, responses=declare(InvalidTarget),
    summary="Put a link into the library",
)  # fmt: skip
async def create_link(
    caller: MailingsWrite, session: Session, body: LibraryLinkIn, response: Response
) -> LibraryLinkOut:
    """Add a link that many mailings can refer to by its `reference`, as the address of a link in HTML, MJML or text.

    The target is kept byte for byte. Merge tags in it are checked as those of content are. `javascript:`, `data:`,
    `file:` and all other schemes that are not on the list of the detail are refused, however they are hidden.
    """
    return tagged(await service.create_link(session, fields=body.model_dump()), response)


@routes.get("", operation_id="list_links", responses=declare(), summary="List the links of the library")
async def list_links(
    caller: MailingsRead,
    session: Session,
    folder_id: Annotated[Key | None, Query(description="Only those in this folder")] = None,
    name: Annotated[Sought | None, Query(description="Only those with this in their name, whatever its case")] = None,
    target: Annotated[
        Sought | None, Query(description="Only those with this in their target, whatever its case")
    ] = None,
    sort: Annotated[LinkSort, Query(description="`oldest` first, or by `name`, whatever its case")] = LinkSort.OLDEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LibraryLinkOut]:
    """List links: all, or those for which everything that is told holds."""
    by_name = sort is LinkSort.NAME
    after = read_key(cursor, *((str, int) if by_name else (int,)))
    rows = await queries.page_of_links(
        session, folder_id=folder_id, name=name, target=target, by_name=by_name, after=after, limit=limit
    )
    return Page[LibraryLinkOut](
        **page_of(
            rows, limit=limit, show=lambda row: show(row[0]),
            key=lambda row: (row[1], row[0].id) if by_name else (row[0].id,),
        )
    )  # fmt: skip


@routes.get("/{link_id}", operation_id="get_link", responses=declare(LibraryLinkNotFound), summary="Get a link")
async def get_link(caller: MailingsRead, session: Session, link_id: int, response: Response) -> LibraryLinkOut:
    """Return one link of the library; its `ETag` can be sent back as `If-Match`."""
    return tagged(await service.read_link(session, link_id=link_id), response)


@routes.patch(
    "/{link_id}", operation_id="update_link", responses=declare(LibraryLinkNotFound, PreconditionFailed, InvalidTarget),
    summary="Change a link",
)  # fmt: skip
async def update_link(
    caller: MailingsWrite, session: Session, link_id: int, body: LibraryLinkPatch, request: Request, response: Response
) -> LibraryLinkOut:
    """Change the fields that are sent; `folder_id` moves it. With `If-Match`, only if nobody else changed it meanwhile.

    A new target is where drafts that refer to the link lead from now on. What was sent leads where it led.
    """
    link = await service.read_link(session, link_id=link_id, lock=True)
    check_match(request, link.version)
    return tagged(
        await service.change_link(session, link=link, fields=body.model_dump(exclude_unset=True)), response
    )  # fmt: skip


@routes.delete(
    "/{link_id}", operation_id="delete_link", status_code=204,
    responses=declare(LibraryLinkNotFound, LibraryLinkInUse), summary="Delete a link",
)  # fmt: skip
async def delete_link(caller: MailingsWrite, session: Session, link_id: int) -> None:
    """Delete a link of the library. Links in mailings that were sent lead on to where they led.

    Refused while drafts, mailings yet to be sent or templates refer to it; they are named.
    """
    await service.delete_link(session, link_id=link_id)


@routes.post(
    "/{link_id}/copy", operation_id="copy_link", status_code=201, responses=declare(LibraryLinkNotFound),
    summary="Copy a link",
)  # fmt: skip
async def copy_link(caller: MailingsWrite, session: Session, link_id: int, response: Response) -> LibraryLinkOut:
    """Add a link with this one's target, description, folder and actions; its name says that it is a copy."""
    return tagged(await service.copy_link(session, link_id=link_id), response)


@routes.get(
    "/{link_id}/uses", operation_id="list_link_uses", responses=declare(LibraryLinkNotFound),
    summary="Where is a link used?",
)  # fmt: skip
async def list_link_uses(
    caller: MailingsRead, session: Session, link_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[LinkUse]:
    """List the mailings, then the templates that use the link.

    Mailings that were sent with it are marked; the others refer to it by its `reference`, and keep it from being
    deleted. What has its very target as the address of a link, and is yet to be sent, is not listed.
    """
    rows = await service.page_of_uses(session, link_id=link_id, after=read_key(cursor, str, int), limit=limit)
    return Page[LinkUse](
        **page_of(
            rows, limit=limit, show=lambda row: LinkUse.model_validate(row, from_attributes=True),
            key=lambda row: (row.kind, row.id),
        )
    )  # fmt: skip
