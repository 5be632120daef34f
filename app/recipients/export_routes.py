"""`/v1/mailings/{mailing_id}/recipients/export`: a list as a file."""

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.platform.auth import MailingsRead
from app.platform.errors import declare
from app.platform.files import read_slowly
from app.platform.http import Session, router
from app.platform.operation_routes import OperationOut, accepted
from app.recipients.errors import ExportNotFound, MailingNotFound
from app.recipients.export_formats import MEDIA_TYPES, ExportFormat
from app.recipients.exports import read_export, request_export
from app.recipients.filters import RecipientFilter
from app.recipients.service import check_mailing

routes = router(prefix="/v1/mailings/{mailing_id}/recipients", tag="recipients")


_OCTETS = {"type": "string", "format": "binary"}


class ExportIn(BaseModel):
    """What to export, and as what kind of file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"format": "xlsx", "filter": {"status": ["blocked"]}}]},
    )

    format: ExportFormat
    filter: RecipientFilter = Field(default_factory=RecipientFilter, description="Without it, the whole list")


@routes.post(
    "/export", operation_id="export_recipients", status_code=202, responses=declare(MailingNotFound),
    summary="Export the list",
)  # fmt: skip
async def export_recipients(
    caller: MailingsRead, session: Session, mailing_id: int, body: ExportIn, response: Response
) -> OperationOut:
    """Write the lines that meet the filter to a file, in the background.

    The operation's result tells `rows`, `size`, `file` (the path to get it at) and `expires_at`: it is kept 24 hours.
    In CSV and text, a value that a spreadsheet would take for a formula has an apostrophe before it; in XLSX it is a
    text cell. A list of over 1 048 575 lines goes on on further sheets.
    """
    await check_mailing(session, mailing_id=mailing_id)
    operation = await request_export(session, mailing_id=mailing_id, kind=body.format, found=body.filter)
    return accepted(operation, response)


@routes.get(
    "/exports/{export_id}", operation_id="download_export", summary="Get an exported list",
    response_class=StreamingResponse,
    responses={
        **declare(ExportNotFound),
        200: {
            "description": "The file, with its name in Content-Disposition",
            "content": {kind.split(";")[0]: {"schema": _OCTETS} for kind in MEDIA_TYPES.values()},
        },
    },
)  # fmt: skip
async def download_export(
    caller: MailingsRead, session: Session, request: Request, mailing_id: int, export_id: int
) -> StreamingResponse:
    """Return the file, as an attachment. 404 before it is written, and once its 24 hours are over."""
    export = await read_export(session, mailing_id=mailing_id, export_id=export_id)
    headers = {
        "Content-Disposition": f'attachment; filename="{export.name}"', "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }  # fmt: skip
    octets = read_slowly(request.app.state.database, file_id=export.file_id)
    return StreamingResponse(octets, media_type=MEDIA_TYPES[export.kind], headers=headers)
