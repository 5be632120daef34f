"""`/v1/templates` and `/v1/merge-tags`."""

from typing import Annotated

from fastapi import Query, Request, Response

from app.contacts.extra_fields import merge_tags
from app.content import queries, service
from app.content.errors import InvalidContent, TemplateNotFound
from app.content.merge_tags import CATALOGUE
from app.content.models import Template
from app.content.schemas import Key, MergeTagOut, TemplateIn, TemplateOut, TemplatePatch
from app.platform.auth import MailingsRead, MailingsWrite
from app.platform.errors import PreconditionFailed, declare
from app.platform.http import Session, check_match, etag, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="templates")


def show(template: Template) -> TemplateOut:
    """Return a template as the API shows it."""
    return TemplateOut(**template.model_dump())


@routes.post(
    "/v1/templates", operation_id="create_template", status_code=201, responses=declare(InvalidContent),
    summary="Create a template",
)  # fmt: skip
async def create_template(caller: MailingsWrite, session: Session, body: TemplateIn, response: Response) -> TemplateOut:
    """Add a template in HTML or MJML. Unknown merge tags and faulty MJML are refused with line and column."""
    template = await service.create_template(session, fields=body.model_dump())
    response.headers["ETag"] = etag(template.version)
    return show(template)


@routes.get("/v1/templates", operation_id="list_templates", responses=declare(), summary="List templates")
async def list_templates(
    caller: MailingsRead,
    session: Session,
    folder_id: Annotated[Key | None, Query(description="Only those in this folder")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[TemplateOut]:
    """List templates, oldest first: all, or those in a folder."""
    rows = await queries.page_of_templates(session, folder_id=folder_id, after=read_cursor(cursor), limit=limit)
    return Page[TemplateOut](**page_of(rows, limit=limit, show=show))


@routes.get(
    "/v1/templates/{template_id}", operation_id="get_template", responses=declare(TemplateNotFound),
    summary="Get a template",
)  # fmt: skip
async def get_template(caller: MailingsRead, session: Session, template_id: int, response: Response) -> TemplateOut:
    """Return one template; its `ETag` can be sent back as `If-Match`."""
    template = await service.read_template(session, template_id=template_id)
    response.headers["ETag"] = etag(template.version)
    return show(template)


@routes.patch(
    "/v1/templates/{template_id}", operation_id="update_template",
    responses=declare(TemplateNotFound, PreconditionFailed, InvalidContent), summary="Change a template",
)  # fmt: skip
async def update_template(
    caller: MailingsWrite, session: Session, template_id: int, body: TemplatePatch, request: Request, response: Response
) -> TemplateOut:
    """Change the fields that are sent. With `If-Match`, only if nobody else changed it in between.

    New MJML is compiled at once; new HTML takes its place, and the MJML goes.
    """
    fields = await service.written_out(body.model_dump(exclude_unset=True))
    template = await service.read_template(session, template_id=template_id)
    check_match(request, template.version)
    template = await service.change_template(session, template=template, fields=fields)
    response.headers["ETag"] = etag(template.version)
    return show(template)


@routes.delete(
    "/v1/templates/{template_id}", operation_id="delete_template", status_code=204,
    responses=declare(TemplateNotFound), summary="Delete a template",
)  # fmt: skip
async def delete_template(caller: MailingsWrite, session: Session, template_id: int) -> None:
    """Delete a template. Mailings made from it keep their content."""
    await service.delete_template(session, template_id=template_id)


@routes.post(
    "/v1/templates/{template_id}/copy", operation_id="copy_template", status_code=201,
    responses=declare(TemplateNotFound), summary="Copy a template",
)  # fmt: skip
async def copy_template(caller: MailingsWrite, session: Session, template_id: int, response: Response) -> TemplateOut:
    """Add a template with this one's content, MJML included, in the same folder; its name says that it is a copy."""
    template = await service.copy_template(session, template_id=template_id)
    response.headers["ETag"] = etag(template.version)
    return show(template)


@routes.get("/v1/merge-tags", operation_id="list_merge_tags", responses=declare(), summary="List merge tags")
async def list_merge_tags(caller: MailingsRead, session: Session) -> list[MergeTagOut]:
    """List the merge tags that subject, HTML and text may use, those of declared extra fields at the end."""
    built_in = [MergeTagOut(tag=tag.name, description=tag.description) for tag in CATALOGUE]
    declared = (await merge_tags(session)).items()
    return [*built_in, *(MergeTagOut(tag=tag, description=label) for tag, label in declared)]
