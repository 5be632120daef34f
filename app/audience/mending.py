"""What a person needs to mend an import: the bad rows as a file of the input's own shape."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import import_queries
from app.audience.errors import ImportFileGone, ImportNotDone
from app.audience.imports import KEEP_DAYS, read_import
from app.audience.mended import Mendable, write_mendable
from app.audience.models import ImportState
from app.audience.sheets import SheetOptions
from app.platform.files import fetch

_PAGE = 5000


async def mendable_file(session: AsyncSession, *, import_id: int, folder: Path) -> tuple[Path, Mendable]:
    """Write the rows that had problems to a file in `folder`, in the input's own shape; return where and what it is.

    Memory stays flat: reasons go by way of a file, in the order of the rows. Raises ImportNotFound, ImportNotDone and
    ImportFileGone.
    """
    found = await read_import(session, import_id=import_id)
    if found.state in (ImportState.ANALYSING, ImportState.RUNNING):
        raise ImportNotDone(f"Import {import_id} is {found.state.value}; its problems are complete when it has ended.")
    if found.file_id is None:
        raise ImportFileGone(
            f"The file of import {import_id} was deleted: a file without problems at once, others after {KEEP_DAYS} "
            "days. The problems are still listed."
        )
    source, reasons, target = folder / "sheet", folder / "reasons", folder / "mendable"
    await fetch(session, file_id=found.file_id, target=source)
    with reasons.open("w", encoding="utf-8") as out:
        after = -1
        while page := await import_queries.page_of_reasons(session, import_id=import_id, after=after, limit=_PAGE):
            out.writelines(json.dumps(line) + "\n" for line in page)
            after = page[-1][0]
    written = await asyncio.to_thread(
        write_mendable, source, target, file_name=found.file_name, options=SheetOptions(**found.options),
        reasons=_read(reasons),
    )  # fmt: skip
    return target, written


def _read(reasons: Path) -> Iterator[tuple[int, str]]:
    with reasons.open(encoding="utf-8") as lines:
        for line in lines:
            number, reason = json.loads(line)
            yield number, reason
