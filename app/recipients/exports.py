"""Exports of a list (D23): asked for in a request, written by a job batch by batch, kept for a day."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.clock import now
from app.platform.db import Database
from app.platform.files import drop, store
from app.platform.operations import Operation, OperationState, advance, close_operation, open_operation
from app.platform.outbox import Job, enqueue
from app.recipients import export_queries
from app.recipients.errors import ExportNotFound
from app.recipients.export_formats import SUFFIXES, ExportFormat, open_writer
from app.recipients.filters import RecipientFilter
from app.recipients.models import RecipientExport

KEPT_HOURS = 24
BATCH = 5_000  # lines read at once: some 10 MB of rows
FILE_LIMIT = 4 << 30  # octets; a million lines as HTML take some 0.5 GB


async def request_export(
    session: AsyncSession, *, mailing_id: int, kind: ExportFormat, found: RecipientFilter
) -> Operation:
    """Have a list written to a file in the background; the operation's result says where it is."""
    operation = await open_operation(session, kind="export-recipients")
    export = RecipientExport(
        mailing_id=mailing_id, operation_id=operation.id, format=kind.value, filter=found.model_dump(mode="json"),
        expires_at=now() + timedelta(hours=KEPT_HOURS),
    )  # fmt: skip
    session.add(export)
    await session.flush()
    await enqueue(session, Job.LIST_EXPORT, mailing=mailing_id, export=export.id, operation=operation.id)
    return operation


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A finished export."""

    file_id: int
    name: str
    kind: ExportFormat


async def read_export(session: AsyncSession, *, mailing_id: int, export_id: int) -> ExportFile:
    """Return a finished export; raises ExportNotFound when there is none, or none any more."""
    export = await export_queries.find_export(session, mailing_id=mailing_id, export_id=export_id)
    if export is None or export.expires_at <= now():
        raise ExportNotFound(
            f"There is no export {export_id} of mailing {mailing_id}; they are kept {KEPT_HOURS} hours."
        )
    if export.file_id is None:
        raise ExportNotFound(f"Export {export_id} is not written yet; see operation {export.operation_id}.")
    kind = ExportFormat(export.format)
    return ExportFile(export.file_id, f"recipients-{mailing_id}.{SUFFIXES[kind]}", kind)


async def write_export(database: Database, *, mailing_id: int, export_id: int) -> None:
    """Write an export and close its operation; a cancelled one leaves nothing. Repeatable: it begins anew.

    Lines are read in batches, each in a transaction of its own: a list that is being sent is seen as it is by then.
    """
    async with database.begin() as session:
        export = await export_queries.find_export(session, mailing_id=mailing_id, export_id=export_id)
    if export is None or export.file_id is not None:
        return
    with TemporaryDirectory(prefix="budstikke-export-") as directory:
        path = Path(directory) / "recipients"
        rows = await _write(database, export, path)
        if rows is None:
            async with database.begin() as session:
                await close_operation(session, operation_id=export.operation_id, state=OperationState.CANCELLED)
            return
        async with database.begin() as session:
            await _keep(session, export, path, rows=rows)


async def _write(database: Database, export: RecipientExport, path: Path) -> int | None:
    """Write all batches; return the number of rows, or None when the operation was cancelled."""
    found, after, rows = RecipientFilter.model_validate(export.filter), None, 0
    title = f"Recipients of mailing {export.mailing_id}"
    columns = list(export_queries.COLUMNS.values())
    writer = await asyncio.to_thread(
        open_writer, ExportFormat(export.format), path=path, title=title, columns=columns
    )  # fmt: skip
    try:
        while True:
            async with database.begin() as session:
                batch = await export_queries.read_batch(
                    session, mailing_id=export.mailing_id, found=found, after=after, limit=BATCH
                )
                if await advance(session, operation_id=export.operation_id, done=rows):
                    return None
            await asyncio.to_thread(writer.add, batch.rows)
            rows, after = rows + len(batch.rows), batch.goes_on_after
            if after is None:
                return rows
    finally:
        await asyncio.to_thread(writer.close)


async def _keep(session: AsyncSession, export: RecipientExport, path: Path, *, rows: int) -> None:
    with path.open("rb") as file:
        stored = await store(session, name=f"export {export.id}", source=_InThread(file), limit=FILE_LIMIT)
    kept = await export_queries.find_export(session, mailing_id=export.mailing_id, export_id=export.id)
    if kept is None:  # its time was over while it was written
        await drop(session, file_id=stored.id)
        return
    kept.file_id = stored.id
    result = {
        "export_id": export.id, "rows": rows, "size": stored.size,
        "expires_at": f"{kept.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "file": f"/v1/mailings/{export.mailing_id}/recipients/exports/{export.id}",
    }  # fmt: skip
    await close_operation(session, operation_id=export.operation_id, state=OperationState.SUCCEEDED, result=result)


class _InThread:
    """A file on disk as `files.store` reads it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` octets."""
        return await asyncio.to_thread(self._file.read, size)
