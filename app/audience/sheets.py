"""A file of persons (CSV, TXT or XLSX) as a sheet of rows: what it is, how it is written, where its headings are (D17).

Everything is judged by the file's content, never by its name. CSV and TXT are read with flat memory however long they
are; an XLSX sheet is held by a process of its own while it is read. Every row of the file is in the sheet's rows, the
blank and the broken ones too (with a fault); only what stands above the headings is apart, in `preamble`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from app.audience.delimited import DELIMITERS, delimited_rows, first_lines, likeliest_delimiter
from app.audience.file_kinds import is_workbook
from app.audience.headings import find_headings
from app.audience.sheet_row import REASON_MARK, RowFault, SheetRow, UnreadableFile
from app.audience.text_lines import TextForm, line_blocks, text_form
from app.audience.workbooks import open_workbook

SAMPLE_ROWS = 200
"""Rows looked at to find the headings and to guess at columns."""

_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """What the user knows better than any guess; None = to be found out.

    `heading_row` counts from 1; 0 says that there is none. `sheet_name` is for XLSX only, `encoding` and `delimiter`
    (one of `;`, tab, `,`, `|`) are for text only.
    """

    encoding: str | None = None
    delimiter: str | None = None
    heading_row: int | None = None
    sheet_name: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A readable file. `encoding` and `delimiter` are None for XLSX, `sheet_name` and `sheet_names` empty for text.

    `heading_row` counts from 1 (None: there is none, and `headings` is empty). `preamble` has the rows that stand above
    headings and persons, `sample` the first persons; `width` is the number of columns.
    """

    path: Path
    format: Literal["csv", "txt", "xlsx"]
    encoding: str | None
    delimiter: str | None
    sheet_name: str | None
    sheet_names: tuple[str, ...]
    heading_row: int | None
    headings: tuple[str, ...]
    width: int
    preamble: tuple[SheetRow, ...]
    sample: tuple[SheetRow, ...] = field(repr=False)
    form: TextForm | None = field(repr=False)
    has_reasons: bool = False
    """Rows end in what was wrong with them, as in a mended file: it is left out."""

    def rows(self) -> Iterator[SheetRow]:
        """Yield every row after the headings, from the file's beginning each time it is asked.

        Where there are headings, cells beyond them that are not empty are the fault `too_many_cells`. Raises
        UnreadableFile where an XLSX sheet turns out too large to be read.
        """
        rows = islice(self._all_rows(), self.heading_row or len(self.preamble), None)
        return _within(rows, len(self.headings)) if self.headings else rows

    def _all_rows(self) -> Iterator[SheetRow]:
        return map(_without_reason, self._written_rows()) if self.has_reasons else self._written_rows()

    def _written_rows(self) -> Iterator[SheetRow]:
        if self.form is not None and self.delimiter is not None:
            yield from delimited_rows(line_blocks(self.path, self.form), self.delimiter)
        else:
            with open_workbook(self.path, self.sheet_name) as workbook:
                yield from workbook.rows


def open_sheet(path: Path, *, file_name: str, options: SheetOptions | None = None) -> Sheet:
    """Find out what the file is and how it is written. `file_name` only tells a `.txt` from a `.csv`.

    Raises UnreadableFile with what the file looks like and what would be right.
    """
    options = options or SheetOptions()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    sheet = _workbook(path, options) if is_workbook(path, head) else _text(path, head, file_name, options)
    return _with_headings(sheet, options.heading_row)


def _workbook(path: Path, options: SheetOptions) -> Sheet:
    with open_workbook(path, options.sheet_name) as workbook:
        first = tuple(islice(workbook.rows, SAMPLE_ROWS))
        return _sheet(path, "xlsx", first, sheet_name=workbook.sheet, sheet_names=workbook.sheets)


def _text(path: Path, head: bytes, file_name: str, options: SheetOptions) -> Sheet:
    if options.delimiter is not None and options.delimiter not in DELIMITERS:
        raise UnreadableFile("unknown_delimiter", "The delimiter must be a semicolon, a comma, a tab or a |.")
    form = text_form(path, head, encoding=options.encoding)
    lines = first_lines(line_blocks(path, form), SAMPLE_ROWS)
    told = _told_delimiter(lines[0]) if lines else None
    delimiter = options.delimiter or told or likeliest_delimiter(lines)
    first = tuple(islice(delimited_rows(line_blocks(path, form), delimiter), SAMPLE_ROWS))
    kind: Literal["csv", "txt"] = "txt" if file_name.lower().endswith(".txt") else "csv"
    return _sheet(path, kind, first, encoding=form.encoding, delimiter=delimiter, form=form)


def _told_delimiter(line: str) -> str | None:
    """Return the delimiter of a `sep=;` line, with which files for Excel may begin."""
    return line[4] if len(line) == 5 and line.startswith("sep=") and line[4] in DELIMITERS else None


def _sheet(
    path: Path,
    kind: Literal["csv", "txt", "xlsx"],
    first: tuple[SheetRow, ...],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    form: TextForm | None = None,
    sheet_name: str | None = None,
    sheet_names: tuple[str, ...] = (),
) -> Sheet:
    has_reasons = any(cell.startswith(REASON_MARK) for row in first for cell in row.cells)
    if has_reasons:
        first = tuple(map(_without_reason, first))
    return Sheet(
        path=path,
        format=kind,
        encoding=encoding,
        delimiter=delimiter,
        sheet_name=sheet_name,
        sheet_names=sheet_names,
        heading_row=None,
        headings=(),
        width=max((len(row.cells) for row in first), default=0),
        preamble=(),
        sample=first,
        form=form,
        has_reasons=has_reasons,
    )


def _without_reason(row: SheetRow) -> SheetRow:
    """Return a row of a mended file without its last cell, which says what was wrong."""
    last = len(row.cells) - 1
    while last >= 0 and not row.cells[last]:
        last -= 1
    if last < 0 or not row.cells[last].startswith(REASON_MARK):
        return row
    return SheetRow(row.number, row.cells[:last], row.fault)


def _with_headings(sheet: Sheet, heading_row: int | None) -> Sheet:
    first = sheet.sample
    if not any(cell.strip() for row in first for cell in row.cells):
        raise UnreadableFile(
            "empty_file",
            f"The first {len(first)} rows are empty. Send a file with at least one person in it.",
        )
    if heading_row == 0:
        return sheet
    at = heading_row - 1 if heading_row else find_headings(first)
    if at is None:
        # `sep=;` is a word to the program that reads, not a person.
        above = 1 if _told_delimiter((sheet.delimiter or "").join(first[0].cells)) else 0
        return replace(sheet, preamble=first[:above], sample=first[above:])
    if not 0 <= at < len(first):
        raise UnreadableFile(
            "no_heading_row",
            f"Row {at + 1} cannot be the heading row: it must be among the first {len(first)} rows.",
        )
    headings = tuple(" ".join(cell.split()) for cell in first[at].cells)
    while headings and not headings[-1]:
        headings = headings[:-1]
    if not headings:
        raise UnreadableFile("no_heading_row", f"Row {at + 1} cannot be the heading row: it is blank.")
    return replace(
        sheet,
        heading_row=at + 1,
        headings=headings,
        width=len(headings),
        preamble=first[:at],
        sample=tuple(_within(iter(first[at + 1 :]), len(headings))),
    )


def _within(rows: Iterator[SheetRow], width: int) -> Iterator[SheetRow]:
    """Pass rows on; those with more than `width` cells lose the empty ones, or get a fault for the others."""
    for row in rows:
        if len(row.cells) <= width or (row.fault is not None and row.fault.rejected):
            yield row
        elif any(cell.strip() for cell in row.cells[width:]):
            # Where the surplus came from nobody can tell: any cell may hold what belongs into another.
            detail = (
                f"The row has {len(row.cells)} cells under {width} headings. "
                "Put values that contain the delimiter into quotation marks."
            )
            yield SheetRow(row.number, row.cells, RowFault("too_many_cells", detail, rejected=True))
        else:
            yield SheetRow(row.number, row.cells[:width], row.fault)
