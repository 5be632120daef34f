"""`/v1/imports`: upload, and what became of it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile

from app.audience import imports, mending, queries
from app.audience.errors import (
    EmptyFile,
    ImportFileGone,
    ImportNotDone,
    ImportNotFound,
    ImportNotWaiting,
    InvalidImport,
    MailingNotDraft,
    WrongFileType,
)
from app.audience.import_reading import refuse_unreadable
from app.audience.import_schemas import ImportFields, ImportOut, ImportPatch, ImportProblemOut, ImportStart, shown_of
from app.audience.models import Import, ImportProblem
from app.audience.sheet_row import UnreadableFile
from app.contacts.addresses import clean_text
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.bulk import faults_in
from app.platform.errors import InvalidField, TooLarge, declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor
from app.platform.uploads import BrokenUpload, bare_name, received_form

routes = router(prefix="/v1/imports", tag="imports", max_body_size=None)  # main knows the limit: it is a setting

_WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def _form_schema() -> dict[str, Any]:
    """Return the form as OpenAPI shows it: a field of a form is there or not, never null."""
    schema = ImportFields.model_json_schema()
    enumerations = schema.pop("$defs", {})
    properties: dict[str, Any] = {
        "file": {"type": "string", "format": "binary", "description": "CSV, TXT or XLSX with one person per row"}
    }
    for name, field in schema["properties"].items():
        kind = next(iter(field.pop("anyOf", [field])))
        kind = enumerations[kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind
        about = {key: value for key, value in field.items() if key != "$ref" and value is not None}
        properties[name] = kind | about
    return schema | {"properties": properties, "required": ["file"]}


def show(shown: Import) -> ImportOut:
    """Return an import as the API shows it."""
    return ImportOut(**shown_of(shown.model_dump()), unchanged=imports.unchanged(shown))


def show_problem(problem: ImportProblem) -> ImportProblemOut:
    """Return a problem as the API shows it."""
    return ImportProblemOut(**problem.model_dump())


@asynccontextmanager
async def _received(request: Request, limit: int) -> AsyncIterator[tuple[UploadFile, ImportFields]]:
    """Take in the form while it comes, the file to disk; raises BrokenUpload, TooLarge and InvalidImport."""
    async with received_form(request, limit=limit, over=lambda _: _too_large(limit)) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            detail = "The form has no file in the field `file`."
            raise InvalidImport(detail, errors=[InvalidField(pointer="#/file", detail=detail)])
        yield upload, _fields({name: str(value) for name, value in form.items() if name != "file"})


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The file is over the limit of {limit >> 20} MiB; split it, or raise BUDSTIKKE_UPLOAD_LIMIT_MB.")


def _fields(form: dict[str, str]) -> ImportFields:
    told: dict[str, Any] = {name: value for name, value in form.items() if value}
    try:
        if "mapping" in told:
            told["mapping"] = json.loads(told["mapping"])
        return ImportFields.model_validate(told)
    except ValidationError as error:
        faults = faults_in(error)
    except ValueError as error:
        faults = [InvalidField(pointer="#/mapping", detail=f"This is no JSON object: {error}.")]
    raise InvalidImport(f"{len(faults)} field(s) of the form are wrong.", errors=faults)


async def _check_kind(upload: UploadFile) -> None:
    """Refuse what is no sheet before it is kept; raises WrongFileType, EmptyFile and TooLarge."""
    with TemporaryDirectory(prefix="budstikke-upload-") as folder:
        path = Path(folder) / "sheet"
        try:
            await asyncio.to_thread(_check_copy, upload, path)
        except UnreadableFile as refusal:
            kinds = {"empty_file": EmptyFile, "too_large": TooLarge}
            raise kinds.get(refusal.code, WrongFileType)(refusal.detail) from refusal
    await upload.seek(0)


def _check_copy(upload: UploadFile, path: Path) -> None:
    upload.file.seek(0)
    with path.open("wb") as copy:
        shutil.copyfileobj(upload.file, copy)
    refuse_unreadable(path)


@routes.post(
    "", operation_id="create_import", status_code=202, summary="Import a file of persons",
    responses=declare(BrokenUpload, TooLarge, WrongFileType, EmptyFile, InvalidImport, MailingNotDraft),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _form_schema()}}}},
)  # fmt: skip
async def create_import(caller: ContactsWrite, session: Session, request: Request, response: Response) -> ImportOut:
    """Upload a CSV, TXT or XLSX file (multipart/form-data); its rows become persons in the background.

    `Location` names the operation to watch. Encoding, delimiter, headings and columns are found out, or told.
    Persons are matched by external id, then by address, the preferred one or another. Every row ends as a person, an
    update or a named problem. What is no such file is refused at once, the rest by a failed operation; then nothing was
    imported. With `start=false` the file is only looked at: see what was found out, correct it (PATCH), start it. With
    `dry_run=true` the operation's result tells what would happen. With `mailing_id` the rows become recipients of that
    draft, matched to persons by address; the others are excluded unless consent is stated (D20).
    """
    limit = request.app.state.settings.upload_limit_mb << 20
    async with _received(request, limit) as (upload, fields):
        await _check_kind(upload)
        file_name = clean_text(bare_name(upload), 200) or "file"
        started = await imports.start_import(session, file_name=file_name, source=upload, limit=limit, fields=fields)
    response.headers["Location"] = f"/v1/operations/{started.operation_id}"
    return show(started)


@routes.get("", operation_id="list_imports", responses=declare(), summary="List imports")
async def list_imports(
    caller: ContactsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[ImportOut]:
    """List imports, oldest first."""
    rows = await queries.page_of_imports(session, after=read_cursor(cursor), limit=limit)
    return Page[ImportOut](**page_of(rows, limit=limit, show=show))


@routes.get("/{import_id}", operation_id="get_import", responses=declare(ImportNotFound), summary="Get an import")
async def get_import(caller: ContactsRead, session: Session, import_id: int) -> ImportOut:
    """Return what the file turned out to be, and how many rows were done so far, with what outcome."""
    return show(await imports.read_import(session, import_id=import_id))


@routes.patch(
    "/{import_id}", operation_id="change_import", status_code=202,
    responses=declare(ImportNotFound, ImportNotWaiting, InvalidImport, MailingNotDraft),
    summary="Correct an import that waits",
)  # fmt: skip
async def change_import(
    caller: ContactsWrite, session: Session, import_id: int, body: ImportPatch, response: Response
) -> ImportOut:
    """Change what was found out or told (JSON merge patch); the operation in `Location` looks at the file again.

    A wrong mapping or encoding shows in `fault` then, and can be corrected again. 409 unless the import is waiting.
    """
    changed = await imports.change_import(session, import_id=import_id, patch=body)
    response.headers["Location"] = f"/v1/operations/{changed.operation_id}"
    return show(changed)


@routes.post(
    "/{import_id}/start", operation_id="start_import", status_code=202,
    responses=declare(ImportNotFound, ImportNotWaiting, InvalidImport, MailingNotDraft),
    summary="Start an import that waits",
)  # fmt: skip
async def start_import(
    caller: ContactsWrite, session: Session, import_id: int, body: ImportStart, response: Response
) -> ImportOut:
    """Carry an import out, or with `dry_run` tell what it would do; `Location` names the operation to watch.

    After a dry run the problems are listed as after a real one, nothing is changed, and the import waits again. 409
    unless it is waiting: it may have been started, or have expired after a day.
    """
    started = await imports.start_waiting(session, import_id=import_id, dry_run=body.dry_run)
    response.headers["Location"] = f"/v1/operations/{started.operation_id}"
    return show(started)


@routes.get(
    "/{import_id}/problems", operation_id="list_import_problems", responses=declare(ImportNotFound),
    summary="List the problems of an import",
)  # fmt: skip
async def list_import_problems(
    caller: ContactsRead, session: Session, import_id: int, rejected: bool | None = None,  # noqa: FBT001 - a filter
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[ImportProblemOut]:  # fmt: skip
    """List what is wrong with rows, in the file's order; `rejected` shows only those that became no person, or not."""
    await imports.read_import(session, import_id=import_id)
    rows = await queries.page_of_problems(
        session, import_id=import_id, rejected=rejected, after=read_cursor(cursor), limit=limit
    )
    return Page[ImportProblemOut](**page_of(rows, limit=limit, show=show_problem))


@routes.get(
    "/{import_id}/problems/file", operation_id="download_import_problems", response_class=FileResponse,
    responses=declare(ImportNotFound, ImportNotDone, ImportFileGone)
    | {200: {"description": "The bad rows", "content": {"text/csv": {}, "text/plain": {}, _WORKBOOK: {}}}},
    summary="Download the bad rows to mend them",
)  # fmt: skip
async def download_import_problems(caller: ContactsRead, session: Session, import_id: int) -> FileResponse:
    """Download the rows that had problems, with what is wrong in the last column, and send them again when mended.

    It is a file like the one that was sent: format, encoding, delimiter, headings, and columns in the same order. The
    last column is not read when it is sent again. Nothing in it is a formula: in text files an apostrophe stands before
    what could be one, and is taken away when it is read. 404 when the file was deleted, a week after the import.
    """
    folder = TemporaryDirectory(prefix="budstikke-mend-")
    try:
        path, written = await mending.mendable_file(session, import_id=import_id, folder=Path(folder.name))
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        path, media_type=written.media_type, filename=written.file_name, background=BackgroundTask(folder.cleanup)
    )
