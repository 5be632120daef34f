"""Uploads: a form taken in while it comes, its file to disk, never whole in memory (api.md rule 11)."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import PureWindowsPath

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.platform.errors import Invalid, TooLarge

FORM_OCTETS = 256 * 1024  # what the other fields and the form's own lines may take
_FIELDS = 20


class BrokenUpload(Invalid):
    """The upload cannot be read as multipart/form-data with a file in it."""

    slug, title = "broken-upload", "Broken upload"


class _OverLimit(MultiPartException):
    """More came than may; a MultiPartException makes the parser close its files."""


@asynccontextmanager
async def received_form(
    request: Request, *, limit: int, over: Callable[[int | None], TooLarge]
) -> AsyncIterator[FormData]:
    """Take in a form with at most one file of at most `limit` octets; its files are closed at the end.

    Raises BrokenUpload, and what `over` makes of the number of octets that were announced or came (None: more than may,
    and nobody knows how many).
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BrokenUpload("Send the file as multipart/form-data, in a field named `file`.")
    announced = int(request.headers.get("content-length", "0"))
    if announced > limit + FORM_OCTETS:
        raise over(announced)
    parser = MultiPartParser(request.headers, _limited(request, limit + FORM_OCTETS), max_files=1, max_fields=_FIELDS)
    try:
        form = await parser.parse()
    except _OverLimit as error:
        raise over(None) from error
    except (MultiPartException, KeyError) as error:
        raise BrokenUpload("The form cannot be read: it is not multipart/form-data as RFC 7578 has it.") from error
    try:
        upload = form.get("file")
        if isinstance(upload, UploadFile) and (upload.size or 0) > limit:
            raise over(upload.size)
        yield form
    finally:
        await form.close()


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    octets = 0
    async for piece in request.stream():
        octets += len(piece)
        if octets > limit:
            raise _OverLimit("over the limit")
        yield piece


def bare_name(upload: UploadFile) -> str:
    """Return the file's name without any folder, whichever way the client's system writes those."""
    return PureWindowsPath(upload.filename or "").name
