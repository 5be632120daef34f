"""`/v1/mailings/{id}/attachments`: files and inline images that are sent along (D4, D16)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from app.mailings import attachment_queries as queries
from app.mailings import attachments, service
from app.mailings.attachment_schemas import AttachmentFields, AttachmentOut, AttachmentPatch, shown
from app.mailings.attachments import Limits
from app.mailings.errors import (
    AttachmentNotFound,
    AttachmentTooLarge,
    InvalidAttachment,
    NotEditable,
    WrongAttachmentType,
)
from app.platform.auth import MailingsRead, MailingsWrite
from app.platform.errors import InvalidField, declare
from app.platform.files import read_slowly
from app.platform.http import Session, router
from app.platform.uploads import BrokenUpload, bare_name, received_form
from app.recipients.errors import MailingNotFound

LARGEST = 102 << 20  # octets of a request: more than the settings' largest limit and the form around the file

routes = router(prefix="/v1/mailings/{mailing_id}/attachments", tag="attachments", max_body_size=LARGEST)

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "At most BUDSTIKKE_ATTACHMENT_LIMIT_MB"},
        "name": {"type": "string", "maxLength": 255, "description": "The name readers see; default: the file's own"},
        "inline": {"type": "boolean", "default": False, "description": "An image that the HTML shows by `cid:`"},
        "content_id": {"type": "string", "maxLength": 100, "description": "What `cid:` names; default: from the name"},
    },
}  # fmt: skip


@asynccontextmanager
async def _received(request: Request, limits: Limits) -> AsyncIterator[tuple[UploadFile, AttachmentFields]]:
    async with received_form(request, limit=limits.each, over=limits.over_each) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise _invalid([("file", "The form has no file in the field `file`.")])
        told = {name: str(value) for name, value in form.items() if name != "file" and value != ""}
        try:
            fields = AttachmentFields.model_validate(told)
        except ValidationError as error:
            raise _invalid([("/".join(map(str, each["loc"])), f"{each['msg']}.") for each in error.errors()]) from error
        yield upload, fields


def _invalid(faults: list[tuple[str, str]]) -> InvalidAttachment:
    errors = [InvalidField(pointer=f"#/{field}", detail=detail) for field, detail in faults]
    return InvalidAttachment(" ".join(detail for _, detail in faults), errors=errors)


@routes.post(
    "", operation_id="add_attachment", status_code=201, summary="Attach a file",
    responses=declare(
        MailingNotFound, NotEditable, BrokenUpload, InvalidAttachment, AttachmentTooLarge, WrongAttachmentType
    ),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)  # fmt: skip
async def add_attachment(caller: MailingsWrite, session: Session, mailing_id: int, request: Request) -> AttachmentOut:
    """Upload a file (multipart/form-data) that is sent along with the mailing, or an image its HTML shows by `cid:`.

    The content type is found out from name and octets. 413 names limit and size; 415: a program, a file that is not
    what its name says, or `inline` with something that is no PNG, JPEG, GIF or WebP. 409 unless the mailing is a draft.
    """
    limits = Limits.of(request.app.state.settings)
    async with _received(request, limits) as (upload, fields):
        mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
        added = await attachments.add(
            session, mailing=mailing, upload=upload, size=upload.size or 0, name=fields.name or bare_name(upload),
            declared=upload.content_type, inline=fields.inline, content_id=fields.content_id, limits=limits,
        )  # fmt: skip
    return shown(added)


@routes.get(
    "", operation_id="list_attachments", responses=declare(MailingNotFound), summary="List a mailing's attachments"
)
async def list_attachments(caller: MailingsRead, session: Session, mailing_id: int) -> list[AttachmentOut]:
    """List the attachments in the order they are sent in; at most 50."""
    await service.read_mailing(session, mailing_id=mailing_id)
    return [shown(attachment) for attachment in await queries.list_attachments(session, mailing_id=mailing_id)]


@routes.get(
    "/{attachment_id}", operation_id="get_attachment", responses=declare(AttachmentNotFound),
    summary="Get an attachment",
)  # fmt: skip
async def get_attachment(
    caller: MailingsRead, session: Session, mailing_id: int, attachment_id: int
) -> AttachmentOut:  # fmt: skip
    """Return what is known of an attachment; its octets are at `…/file`."""
    return shown(await attachments.read(session, mailing_id=mailing_id, attachment_id=attachment_id))


@routes.get(
    "/{attachment_id}/file", operation_id="download_attachment", summary="Download an attachment",
    response_class=StreamingResponse,
    responses={
        **declare(AttachmentNotFound),
        200: {
            "description": "The file, with its name in Content-Disposition and its type in Content-Type",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)  # fmt: skip
async def download_attachment(
    caller: MailingsRead, session: Session, request: Request, mailing_id: int, attachment_id: int
) -> StreamingResponse:
    """Return the file as it was uploaded, piece by piece."""
    attachment = await attachments.read(session, mailing_id=mailing_id, attachment_id=attachment_id)
    headers = {
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(attachment.name, safe='')}",
        "Content-Length": str(attachment.size), "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }  # fmt: skip
    octets = read_slowly(request.app.state.database, file_id=attachment.file_id)
    return StreamingResponse(octets, media_type=attachment.content_type, headers=headers)


@routes.patch(
    "/{attachment_id}", operation_id="update_attachment", summary="Change an attachment",
    responses=declare(MailingNotFound, AttachmentNotFound, NotEditable, InvalidAttachment, WrongAttachmentType),
)  # fmt: skip
async def update_attachment(
    caller: MailingsWrite, session: Session, mailing_id: int, attachment_id: int, body: AttachmentPatch
) -> AttachmentOut:
    """Rename an attachment, or make it an inline image or a file again. Its octets stay; 409 unless a draft's."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    attachment = await attachments.read(session, mailing_id=mailing_id, attachment_id=attachment_id)
    fields = body.model_dump(exclude_unset=True)
    return shown(await attachments.change(session, mailing=mailing, attachment=attachment, fields=fields))


@routes.delete(
    "/{attachment_id}", operation_id="delete_attachment", status_code=204, summary="Remove an attachment",
    responses=declare(MailingNotFound, AttachmentNotFound, NotEditable),
)  # fmt: skip
async def delete_attachment(caller: MailingsWrite, session: Session, mailing_id: int, attachment_id: int) -> None:
    """Remove an attachment from a draft. Copies of the mailing keep theirs."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    attachment = await attachments.read(session, mailing_id=mailing_id, attachment_id=attachment_id)
    await attachments.remove(session, mailing=mailing, attachment=attachment)
