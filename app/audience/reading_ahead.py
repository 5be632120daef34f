"""An imported file as batches that another process reads ahead; see `reading_process`."""

import asyncio
import fcntl
import json
import marshal
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.audience import import_reading
from app.audience.import_reading import Batch
from app.audience.person_lines import Kinds
from app.audience.sheet_row import UnreadableFile
from app.audience.sheets import SheetOptions
from app.platform.memory import uncollected

PIPE_OCTETS = 1 << 20
"""What Linux lets anybody ask for: half a batch, so that the reader seldom waits while the worker is at work."""

PROGRAM = "app.audience.reading_process"

_AHEAD_OCTETS = 4 << 20  # a batch or two wait in the worker


class ReaderDied(RuntimeError):  # noqa: N818 - what happened
    """The reading process ended without a word: it was killed, or has a fault."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file being read: what was found out about it, how many rows it has, and the batches (once)."""

    detected: dict[str, Any]
    total: int
    batches: AsyncIterator[Batch]


@asynccontextmanager
async def open_file(
    path: Path,
    *,
    file_name: str,
    mapping: Mapping[str, str] | None,
    options: SheetOptions,
    next_row: int | None,
    default_country: str,
    kinds: Kinds,
) -> AsyncIterator[OpenFile]:
    """Read a file from row `next_row` on (None: only find out about it); leaving early ends the reading process.

    Raises UnreadableFile, also from the batches; a wrong mapping has the code `invalid_mapping`. Raises ReaderDied.
    """
    wanted = {
        "path": str(path), "file_name": file_name, "mapping": mapping, "options": asdict(options),
        "next_row": next_row, "default_country": default_country, "kinds": kinds,
        "sizes": [import_reading.FIRST_ROWS, import_reading.BATCH_ROWS],
    }  # fmt: skip
    reading, writing = os.pipe()
    with suppress(OSError):  # it is a help, no need
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_OCTETS)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", PROGRAM, json.dumps(wanted), stdin=asyncio.subprocess.DEVNULL,
            stdout=writing, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    frames = asyncio.StreamReader(limit=_AHEAD_OCTETS)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(frames), os.fdopen(reading, "rb", buffering=0)
    )
    try:
        what, content = await _frame(frames)
        if what == "refused":
            raise UnreadableFile(**content)
        yield OpenFile(content["detected"], content["total"], _batches(frames))
    finally:
        transport.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _batches(frames: asyncio.StreamReader) -> AsyncIterator[Batch]:
    while True:
        what, content = await _frame(frames)
        if what == "end":
            return
        if what == "refused":
            raise UnreadableFile(**content)
        yield Batch(*content)


async def _frame(frames: asyncio.StreamReader) -> tuple[str, Any]:
    try:
        octets = await frames.readexactly(int.from_bytes(await frames.readexactly(8), "big"))
    except asyncio.IncompleteReadError as error:
        raise ReaderDied("the reading process ended early") from error
    with uncollected():
        what, content = marshal.loads(octets)  # noqa: S302 - written by our own child, the same interpreter
    return what, content
