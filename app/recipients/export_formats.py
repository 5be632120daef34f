"""Writing a list as a file: XLSX, CSV, HTML, text (D23). Rows come one by one, so memory does not grow with the list.

A list holds what strangers typed, so no cell may be a formula where it is opened (OWASP, "CSV injection"): text that
begins with one of FORMULA_STARTS is written with an apostrophe before it in CSV and text; in XLSX it is a text cell.
"""

import csv
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import xlsxwriter

Cell = str | int | datetime | None

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets take these, too
SHEET_ROWS = 1_048_576
"""Rows of a sheet (ECMA-376); the heading is one of them, and what is over goes to further sheets."""
CELL_CHARACTERS = 32_767
"""Characters of a cell in XLSX; longer text is cut there."""


class ExportFormat(StrEnum):
    """The kinds of file."""

    XLSX = "xlsx"
    CSV = "csv"
    HTML = "html"
    TEXT = "text"


MEDIA_TYPES = {
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.HTML: "text/html; charset=utf-8",
    ExportFormat.TEXT: "text/plain; charset=utf-8",
}
SUFFIXES = {ExportFormat.XLSX: "xlsx", ExportFormat.CSV: "csv", ExportFormat.HTML: "html", ExportFormat.TEXT: "txt"}


class Writer(Protocol):
    """Takes rows, then is closed; both may be called from a thread of their own."""

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write rows of as many cells as there are columns."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_writer(kind: ExportFormat, *, path: Path, title: str, columns: Sequence[str]) -> Writer:
    """Return a writer that has written the heading."""
    return _WRITERS[kind](path, title, columns)


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _text(value: Cell) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return _moment(value)
        case str():
            return value
    return str(value)


class _Csv:
    """RFC 4180: commas, CRLF, quotes where needed; UTF-8 with a mark, without which Excel reads another encoding."""

    def __init__(self, path: Path, title: str, columns: Sequence[str]) -> None:  # noqa: ARG002 - a CSV has no title
        self._file = path.open("w", encoding="utf-8-sig", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow(columns)

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        self._csv.writerows([harmless(_text(cell)) for cell in row] for row in rows)

    def close(self) -> None:
        self._file.close()


class _Text:
    """A line each, tabs between the values; what would break line or column is a space."""

    def __init__(self, path: Path, title: str, columns: Sequence[str]) -> None:  # noqa: ARG002 - the first line is the heading
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._file.write("\t".join(columns) + "\n")

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        self._file.writelines("\t".join(_in_line(cell) for cell in row) + "\n" for row in rows)

    def close(self) -> None:
        self._file.close()


def _in_line(cell: Cell) -> str:
    return " ".join(harmless(_text(cell)).split())


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 1rem/1.4 system-ui, sans-serif; margin: 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
caption {{ font-weight: bold; text-align: start; padding-block-end: .5rem; }}
th, td {{ border: 1px solid #767676; padding: .25rem .5rem; text-align: start; vertical-align: top; }}
thead th {{ background: #eee; }}
</style>
</head>
<body>
<main class="wide" tabindex="0" role="region" aria-label="{title}">
<table>
<caption>{title}</caption>
<thead><tr>{heading}</tr></thead>
<tbody>
"""
_TAIL = "</tbody>\n</table>\n</main>\n</body>\n</html>\n"


class _Html:
    """One page that needs nothing else: a table with caption and scopes, the first column naming its row."""

    def __init__(self, path: Path, title: str, columns: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        heading = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
        self._file.write(_HEAD.format(title=html.escape(title), heading=heading))

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        for first, *rest in rows:
            cells = "".join(f"<td>{html.escape(_text(cell))}</td>" for cell in rest)
            self._file.write(f'<tr><th scope="row">{html.escape(_text(first))}</th>{cells}</tr>\n')

    def close(self) -> None:
        self._file.write(_TAIL)
        self._file.close()


class _Xlsx:
    """Sheets of at most SHEET_ROWS rows, which go to disk as they come (constant_memory)."""

    def __init__(self, path: Path, title: str, columns: Sequence[str], *, sheet_rows: int = SHEET_ROWS) -> None:
        self._book = xlsxwriter.Workbook(
            str(path), {"constant_memory": True, "remove_timezone": True, "tmpdir": str(path.parent)}
        )
        self._book.set_properties({"title": title})
        self._bold = self._book.add_format({"bold": True})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._columns, self._sheet_rows = columns, sheet_rows
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        for place, column in enumerate(self._columns):
            self._sheet.write_string(0, place, column, self._bold)
        self._row = 1

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        for row in rows:
            if self._row == self._sheet_rows:
                self._begin_sheet()
            for place, cell in enumerate(row):
                self._write(place, cell)
            self._row += 1

    def _write(self, place: int, cell: Cell) -> None:
        match cell:
            case None | "":
                return
            case datetime():
                self._sheet.write_datetime(self._row, place, cell.astimezone(UTC), self._time)
            case int():
                self._sheet.write_number(self._row, place, cell)
            case _:
                self._sheet.write_string(self._row, place, cell[:CELL_CHARACTERS])

    def close(self) -> None:
        self._book.close()


_WRITERS: dict[ExportFormat, type[_Csv | _Text | _Html | _Xlsx]] = {
    ExportFormat.CSV: _Csv,
    ExportFormat.TEXT: _Text,
    ExportFormat.HTML: _Html,
    ExportFormat.XLSX: _Xlsx,
}
