"""Files that name an erased person: uploads that wait, or are kept for their problems (D78, decision 14)."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.import_queries import files_kept
from app.audience.imports import drop_upload
from app.audience.models import ImportState
from app.platform.clock import now
from app.platform.db import Database
from app.platform.files import fetch
from app.platform.operations import Operation, OperationState, advance, close_operation, read_operation
from app.platform.outbox import Job, enqueue
from app.platform.sealed import seal, unseal
from app.privacy.models import ErasureSearch
from app.privacy.searching import names_any

PURPOSE = "addresses to search for"
AGAIN_SECONDS = 30  # an import that is at work needs its file; it is looked into when that is over


async def search_later(
    session: AsyncSession, *, operation: Operation, addresses: list[str], secret: str, result: dict[str, Any]
) -> bool:
    """Have kept uploads searched for the addresses, if there are any; return whether there are.

    The operation stays open until then, and keeps `result` for its end.
    """
    if not addresses or not await files_kept(session, until=now()):
        return False
    operation.result = result
    session.add(
        ErasureSearch(
            operation_id=operation.id, sealed=seal(json.dumps(addresses).encode(), secret=secret, purpose=PURPOSE)
        )
    )
    await session.flush()
    await enqueue(session, Job.ERASURE_SEARCH, operation=operation.id)
    return True


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that is under way."""

    words: list[str]
    result: dict[str, Any]
    began_at: datetime


async def search_files(database: Database, *, operation_id: int, secret: str) -> datetime | None:
    """Delete the uploads of before the erasure that name one of its addresses; return when to search again.

    That is for imports at work, whose files are needed; None when all were searched and the operation is closed. Each
    file is fetched and searched outside of transactions. Repeatable.
    """
    async with database.begin() as session:
        search = await _read(session, operation_id=operation_id, secret=secret)
        kept = await files_kept(session, until=search.began_at) if search else []
    if search is None:
        return None
    busy, dropped = False, int(search.result["rows"]["uploads"])
    for row in kept:
        if row.state in (ImportState.ANALYSING, ImportState.RUNNING):
            busy = True
        elif await _names(database, row.file_id, search.words):
            async with database.begin() as session:
                if await drop_upload(session, import_id=row.id, file_id=row.file_id):
                    dropped += 1
                    await _note(session, operation_id=operation_id, dropped=dropped)
    if busy:
        return now() + timedelta(seconds=AGAIN_SECONDS)
    async with database.begin() as session:
        await _close(session, operation_id=operation_id)
    return None


async def _read(session: AsyncSession, *, operation_id: int, secret: str) -> _Search | None:
    sealed = await session.get(ErasureSearch, operation_id)
    if sealed is None:
        return None
    operation = await read_operation(session, operation_id=operation_id)
    await advance(session, operation_id=operation_id, done=0)
    words = json.loads(unseal(sealed.sealed, secret=secret, purpose=PURPOSE))
    return _Search(words, operation.result or {}, operation.created_at)


async def _names(database: Database, file_id: int, words: list[str]) -> bool:
    with TemporaryDirectory(prefix="budstikke-search-") as folder:
        path = Path(folder) / "file"
        async with database.begin() as session:
            await fetch(session, file_id=file_id, target=path)
        return await asyncio.to_thread(names_any, path, words)


async def _note(session: AsyncSession, *, operation_id: int, dropped: int) -> None:
    operation = await read_operation(session, operation_id=operation_id)
    result = operation.result or {}
    operation.result = {**result, "rows": {**result["rows"], "uploads": dropped}}


async def _close(session: AsyncSession, *, operation_id: int) -> None:
    operation = await read_operation(session, operation_id=operation_id)
    await forget_search(session, operation_id=operation_id)
    await close_operation(session, operation_id=operation_id, state=OperationState.SUCCEEDED, result=operation.result)


async def forget_search(session: AsyncSession, *, operation_id: int) -> None:
    """Delete what a search knows of the person."""
    if (search := await session.get(ErasureSearch, operation_id)) is not None:
        await session.delete(search)
        await session.flush()
