"""`/v1/mailings`: CRUD, content, sources, readiness, preview."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.audience.errors import CriteriaOutOfDate, CyclicSelection
from app.content.errors import InvalidContent, TemplateNotFound
from app.content.schemas import Key
from app.content.service import written_out
from app.mailings import composing, queries, readiness, service
from app.mailings.empty_tags import report_empty_tags
from app.mailings.errors import NotEditable, NotReady
from app.mailings.models import Mailing, MailingState
from app.mailings.schemas import (
    ContentIn,
    ContentOut,
    EmptyTags,
    MailingIn,
    MailingOut,
    MailingPatch,
    PreviewOut,
    Readiness,
)
from app.platform.auth import MailingsRead, MailingsWrite
from app.platform.errors import PreconditionFailed, declare
from app.platform.http import Session, check_match, etag, router
from app.platform.operation_routes import OperationOut, accepted
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor
from app.recipients import queries as recipient_queries
from app.recipients.errors import AssociatedSource, MailingNotFound, RecipientNotFound, SourceNotFound
from app.recipients.models import MailingSource
from app.recipients.schemas import AddressesSourceIn, SourceIn, SourceOut

routes = router(prefix="/v1/mailings", tag="mailings")


def _composer(request: Request) -> composing.Composer:
    return composing.Composer(settings=request.app.state.settings, tokens=request.app.state.tokens)


UNFIT_CRITERIA = (CriteriaOutOfDate, CyclicSelection)
"""What a list that follows at once may run into: a dynamic selection whose criteria do not fit any more."""

Composer = Annotated[composing.Composer, Depends(_composer)]


def show(mailing: Mailing) -> MailingOut:
    """Return a mailing as the API shows it."""
    return MailingOut.model_validate(mailing, from_attributes=True)


def tagged(mailing: Mailing, response: Response) -> MailingOut:
    """Return a mailing as the API shows it, and set its entity tag."""
    response.headers["ETag"] = etag(mailing.version)
    return show(mailing)


@routes.post(
    "", operation_id="create_mailing", status_code=201,
    responses=declare(TemplateNotFound, InvalidContent, *UNFIT_CRITERIA), summary="Create a mailing",
)  # fmt: skip
async def create_mailing(caller: MailingsWrite, session: Session, body: MailingIn, response: Response) -> MailingOut:
    """Create a draft; with a template, its content is copied into it."""
    mailing = await service.create_mailing(session, fields=body.model_dump(), caller=caller.name)
    return tagged(mailing, response)


@routes.get("", operation_id="list_mailings", responses=declare(), summary="List mailings")
async def list_mailings(
    caller: MailingsRead,
    session: Session,
    state: Annotated[list[MailingState], Query(description="Only these states; repeat for several")] = [],  # noqa: B006
    folder_id: Annotated[Key | None, Query(description="Only those in this folder")] = None,
    selection_id: Annotated[Key | None, Query(description="Only those associated with this selection")] = None,
    project_id: Annotated[Key | None, Query(description="Only those associated with this project")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[MailingOut]:
    """List mailings, oldest first: all, or those for which everything that is told holds."""
    wanted = {"folder_id": folder_id, "selection_id": selection_id, "project_id": project_id}
    rows = await queries.page_of_mailings(session, states=state, equal=wanted, after=read_cursor(cursor), limit=limit)
    return Page[MailingOut](**page_of(rows, limit=limit, show=show))


@routes.get(
    "/{mailing_id}", operation_id="get_mailing", responses=declare(MailingNotFound), summary="Get a mailing"
)  # fmt: skip
async def get_mailing(caller: MailingsRead, session: Session, mailing_id: int, response: Response) -> MailingOut:
    """Return one mailing with its state; `ETag` can be sent back as `If-Match`."""
    return tagged(await service.read_mailing(session, mailing_id=mailing_id), response)


@routes.patch(
    "/{mailing_id}", operation_id="update_mailing",
    responses=declare(MailingNotFound, NotEditable, PreconditionFailed, *UNFIT_CRITERIA),
    summary="Change a mailing's setup",
)  # fmt: skip
async def update_mailing(
    caller: MailingsWrite, session: Session, mailing_id: int, body: MailingPatch, request: Request, response: Response
) -> MailingOut:
    """Change the fields that are sent. Only drafts can be changed; any mailing can be put into another folder."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    check_match(request, mailing.version)
    fields = body.model_dump(exclude_unset=True)
    mailing = await service.change_setup(session, mailing=mailing, fields=fields, caller=caller.name)
    return tagged(mailing, response)


@routes.delete(
    "/{mailing_id}", operation_id="delete_mailing", status_code=204, responses=declare(MailingNotFound, NotEditable),
    summary="Delete a draft",
)  # fmt: skip
async def delete_mailing(caller: MailingsWrite, session: Session, mailing_id: int) -> None:
    """Delete a draft with its list. What was sent cannot be deleted: its links work for ever."""
    await service.delete_mailing(session, mailing_id=mailing_id)


@routes.post(
    "/{mailing_id}/copy", operation_id="copy_mailing", status_code=201,
    responses=declare(MailingNotFound, *UNFIT_CRITERIA), summary="Copy a mailing",
)  # fmt: skip
async def copy_mailing(caller: MailingsWrite, session: Session, mailing_id: int, response: Response) -> MailingOut:
    """Create a draft with the setup, content and attachments of this mailing.

    Its associated selection or project comes along with its members; other sources and their recipients do not.
    """
    return tagged(await service.copy_mailing(session, mailing_id=mailing_id, caller=caller.name), response)


@routes.get(
    "/{mailing_id}/content", operation_id="get_content", responses=declare(MailingNotFound), summary="Get the content"
)
async def get_content(caller: MailingsRead, session: Session, mailing_id: int) -> ContentOut:
    """Return subject, HTML and text as they were written, merge tags and all."""
    return _content(await service.read_mailing(session, mailing_id=mailing_id))


@routes.put(
    "/{mailing_id}/content", operation_id="replace_content",
    responses=declare(MailingNotFound, NotEditable, InvalidContent, PreconditionFailed), summary="Replace the content",
)  # fmt: skip
async def replace_content(
    caller: MailingsWrite, session: Session, mailing_id: int, body: ContentIn, request: Request
) -> ContentOut:
    """Replace a draft's content, written in HTML or MJML.

    Unknown merge tags and faulty MJML are refused with line and column.
    """
    fields = await written_out(body.model_dump())
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    check_match(request, mailing.version)
    return _content(await service.change_content(session, mailing=mailing, fields=fields))


def _content(mailing: Mailing) -> ContentOut:
    return ContentOut.model_validate(mailing.model_dump(include={"subject", "html", "mjml", "text", "template_id"}))


@routes.get(
    "/{mailing_id}/sources", operation_id="list_sources", responses=declare(MailingNotFound),
    summary="List recipient sources",
)  # fmt: skip
async def list_sources(caller: MailingsRead, session: Session, mailing_id: int) -> list[SourceOut]:
    """List where the mailing's recipients come from."""
    await service.read_mailing(session, mailing_id=mailing_id)
    sources = await recipient_queries.list_sources(session, mailing_id=mailing_id)
    counts = await recipient_queries.count_addresses(session, source_ids=[source.id for source in sources])
    return [_source(source, counts.get(source.id)) for source in sources]


@routes.post(
    "/{mailing_id}/sources", operation_id="add_source", status_code=201,
    responses=declare(MailingNotFound, NotEditable, *UNFIT_CRITERIA), summary="Add a recipient source",
)  # fmt: skip
async def add_source(caller: MailingsWrite, session: Session, mailing_id: int, body: SourceIn) -> SourceOut:
    """Add a selection, project, person, company or pasted addresses.

    The list follows: at once below 10 000 lines, else within moments; `list_updated_at` tells. Where criteria of a
    dynamic selection do not fit any more, so that nobody can tell who is in it, nothing is added.
    """
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    source = await service.add_source(session, mailing=mailing, source=body, recorded_by=caller.name)
    return _source(source, len(body.addresses) if isinstance(body, AddressesSourceIn) else None)


@routes.delete(
    "/{mailing_id}/sources/{source_id}", operation_id="remove_source", status_code=204,
    responses=declare(MailingNotFound, SourceNotFound, NotEditable, AssociatedSource, *UNFIT_CRITERIA),
    summary="Remove a recipient source",
)  # fmt: skip
async def remove_source(caller: MailingsWrite, session: Session, mailing_id: int, source_id: int) -> None:
    """Remove a source; those that only it brought leave the list.

    The associated selection or project goes by the setup: set `selection_id` or `project_id` to null.
    """
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    await service.remove_source(session, mailing=mailing, source_id=source_id)


def _source(source: MailingSource, addresses: int | None) -> SourceOut:
    return SourceOut(**source.model_dump(), addresses=addresses)


@routes.post(
    "/{mailing_id}/update-list", operation_id="update_list", status_code=202,
    responses=declare(MailingNotFound, NotEditable), summary="Update the recipient list",
)  # fmt: skip
async def update_list(caller: MailingsWrite, session: Session, mailing_id: int, response: Response) -> OperationOut:
    """Evaluate sources and rules again. The operation's result tells how many were added, removed and changed."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id)
    return accepted(await service.request_list_update(session, mailing=mailing), response)


@routes.get(
    "/{mailing_id}/readiness", operation_id="get_readiness", responses=declare(MailingNotFound),
    summary="Is the mailing ready?",
)  # fmt: skip
async def get_readiness(caller: MailingsRead, session: Session, mailing_id: int, composer: Composer) -> Readiness:
    """Return each step (setup, template, content, recipients, confirm) with its problems and warnings."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id)
    return await readiness.judge(session, mailing=mailing, composer=composer)


@routes.get(
    "/{mailing_id}/preview", operation_id="preview_mailing",
    responses=declare(MailingNotFound, RecipientNotFound, NotReady), summary="Preview for one recipient",
)  # fmt: skip
async def preview_mailing(
    caller: MailingsRead,
    session: Session,
    mailing_id: int,
    composer: Composer,
    recipient_id: Annotated[int | None, Query(description="Default: the first ready recipient")] = None,
) -> PreviewOut:
    """Return what this recipient gets: subject, HTML and text. Sends nothing; its links and pixel count nothing."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id)
    return await composing.preview_mailing(session, mailing=mailing, composer=composer, recipient_id=recipient_id)


@routes.get(
    "/{mailing_id}/empty-tags", operation_id="report_empty_tags", responses=declare(MailingNotFound, NotReady),
    summary="Which merge tags are empty?",
)  # fmt: skip
async def get_empty_tags(caller: MailingsRead, session: Session, mailing_id: int, composer: Composer) -> EmptyTags:
    """Return, for each merge tag of subject, HTML, text and links, for how many ready recipients it has no value.

    The whole list is looked at. Refused while the content cannot be compiled, with every place.
    """
    mailing = await service.read_mailing(session, mailing_id=mailing_id)
    return await report_empty_tags(session, mailing=mailing, composer=composer)
