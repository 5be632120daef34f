"""The rows of an imported file that had problems, as a file of its own shape, to be mended and sent again. Blocking.

It has the input's format, encoding, delimiter, line ends, what stood above the headings, headings and columns in their
order, and as its last column what is wrong. That column is not read when the file is sent again (`is_reason`).
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xlsxwriter

from app.audience.sheet_row import REASON_HEADING, REASON_MARK, SheetRow, guarded
from app.audience.sheets import Sheet, SheetOptions, open_sheet

Reasons = Iterator[tuple[int, str]]
"""Row numbers, rising, with what is wrong."""

_CELL_LIMIT = 32_767  # characters of a cell in a workbook; a longer one would be left out
_MEDIA = {
    "csv": "text/csv",
    "txt": "text/plain",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True, slots=True)
class Mendable:
    """What was written: its media type and its name."""

    media_type: str
    file_name: str


def write_mendable(path: Path, target: Path, *, file_name: str, options: SheetOptions, reasons: Reasons) -> Mendable:
    """Write the rows of the file at `path` that have reasons to `target`; raises UnreadableFile."""
    sheet = open_sheet(path, file_name=file_name, options=options)
    rows = _with_reasons(sheet, reasons)
    if sheet.form is None:
        _write_workbook(sheet, target, rows)
    else:
        _write_text(sheet, target, rows)
    stem = re.sub(r"\.(csv|txt|xlsx|xlsm|tsv)$", "", file_name, flags=re.IGNORECASE)
    charset = f"; charset={sheet.encoding}" if sheet.encoding else ""
    return Mendable(_MEDIA[sheet.format] + charset, f"{stem}-problems.{sheet.format}")


def _with_reasons(sheet: Sheet, reasons: Reasons) -> Iterator[list[str]]:
    for row in sheet.preamble:
        yield row.cells
    if sheet.headings:
        yield [*sheet.headings, REASON_HEADING]
    wanted = next(reasons, None)
    for row in sheet.rows():
        while wanted is not None and wanted[0] < row.number:
            wanted = next(reasons, None)
        if wanted is None:
            return
        if wanted[0] == row.number:
            yield _marked(row, sheet, wanted[1])


def _marked(row: SheetRow, sheet: Sheet, reason: str) -> list[str]:
    padding = [""] * (len(sheet.headings) - len(row.cells))
    return [*row.cells, *padding, REASON_MARK + reason]


def _write_workbook(sheet: Sheet, target: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write cells as texts: a text is no formula, whatever it begins with."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(target, options) as workbook:
        page = workbook.add_worksheet(sheet.sheet_name)
        for number, cells in enumerate(rows):
            for index, cell in enumerate(cells):
                if cell:
                    page.write_string(number, index, cell[:_CELL_LIMIT])


def _write_text(sheet: Sheet, target: Path, rows: Iterable[Sequence[str]]) -> None:
    form, delimiter = sheet.form, sheet.delimiter or ";"
    if form is None:
        raise AssertionError("a text sheet has a form")
    with sheet.path.open("rb") as original:
        head = original.read(64 * 1024)
    narrow = "utf-8" if form.encoding.startswith(("utf-16", "utf-32")) else form.encoding
    end = "\r" if form.line_end == b"\r" else "\n"
    if "\r\n" in codecs.decode(head[form.mark :], form.encoding, "replace"):
        end = "\r\n"
    with target.open("wb") as out:
        out.write(head[: form.mark])
        for cells in rows:
            *values, last = cells
            if last.startswith(REASON_MARK):
                last = last.encode(narrow, "replace").decode(narrow)
            line = delimiter.join(_quoted(guarded(cell), delimiter) for cell in (*values, last)) + end
            out.write(_encoded(line, form.encoding))


def _quoted(cell: str, delimiter: str) -> str:
    if delimiter in cell or any(mark in cell for mark in '"\r\n') or cell != cell.strip(" "):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _encoded(line: str, encoding: str) -> bytes:
    """Return the line in the file's encoding; one that was in another one stays readable as UTF-8, as it was read."""
    try:
        return line.encode(encoding)
    except UnicodeEncodeError:
        return line.encode("utf-8", "replace")
