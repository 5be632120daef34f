"""XLSX sheets as rows, read by a process of its own (see `workbook_reader`)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.audience import workbook_reader
from app.audience.sheet_row import MAX_CELLS, RowFault, SheetRow, UnreadableFile

_DETAILS = {
    "encrypted_file": "The workbook has a password. Save it without one and send it again.",
    "damaged_file": "The workbook is damaged or was not sent completely. Save it again and send the whole file.",
}


@dataclass(frozen=True, slots=True)
class OpenWorkbook:
    """A workbook that is being read: the sheet's name, the names of all its sheets, and the sheet's rows (once)."""

    sheet: str
    sheets: tuple[str, ...]
    rows: Iterator[SheetRow]


@contextmanager
def open_workbook(path: Path, sheet_name: str | None) -> Iterator[OpenWorkbook]:
    """Read a sheet (None: the first visible one with anything in it); leaving early ends the reading process.

    Raises UnreadableFile, also from the rows, where the sheet takes more memory or time than the reader has.
    """
    program = [sys.executable, "-I", workbook_reader.__file__, str(path), sheet_name or ""]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        try:
            lines = iter(process.stdout or ())
            start = json.loads(next(lines, b"null"))
            if start is None:
                raise _too_large()
            if "error" in start:
                raise _refusal(start["error"], sheet_name, start["sheets"])
            yield OpenWorkbook(start["sheet"], tuple(start["sheets"]), _rows(process, lines))
        finally:
            process.kill()


def _rows(process: "subprocess.Popen[bytes]", lines: Iterator[bytes]) -> Iterator[SheetRow]:
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        cells = json.loads(line)
        if not any(cells):
            yield SheetRow(number, [])
        elif len(cells) > MAX_CELLS and any(cells[MAX_CELLS:]):
            yield SheetRow(number, cells[:MAX_CELLS], _too_many(len(cells)))
        else:
            yield SheetRow(number, cells[:MAX_CELLS])
    # Rows that stop coming are not the end of the sheet unless the reader says so.
    if process.wait() != 0:
        raise _too_large()


def _refusal(code: str, sheet_name: str | None, sheets: list[str]) -> UnreadableFile:
    if code in _DETAILS:
        return UnreadableFile(code, _DETAILS[code])
    if sheet_name:
        names = ", ".join(sheets)
        return UnreadableFile("no_sheet", f"The workbook has no sheet called {sheet_name!r}. It has: {names}.")
    return UnreadableFile("no_sheet", "The workbook has no visible sheet. Show the sheet with the persons and save it.")


def _too_large() -> UnreadableFile:
    return UnreadableFile("too_large", "The sheet is too large to be read as a workbook. Save it as CSV and send that.")


def _too_many(found: int) -> RowFault:
    return RowFault("too_many_cells", f"The row has {found} cells; at most {MAX_CELLS} are read.", rejected=True)
