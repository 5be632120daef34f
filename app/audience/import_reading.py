"""An imported file as batches of rows that are read and checked. Blocking: call it in a thread."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from app.audience.file_kinds import is_workbook
from app.audience.headings import IDENTITIES, check_mapping, propose_mapping
from app.audience.rows import Columns, ReadRow, columns_of, read_contact
from app.audience.sheet_row import UnreadableFile
from app.audience.sheets import Sheet, open_sheet
from app.audience.text_lines import text_form

BATCH_ROWS = 1000
"""Rows of one transaction: some 0.2 s, so that progress is seen, a cancellation obeyed, and little is done again."""

_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that can be imported: its columns, what was found out about it, and how many rows it has."""

    sheet: Sheet
    columns: Columns
    detected: dict[str, Any]
    total: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in the file's order; `first` is the number the first one may have, `next_row` that of the one after them."""

    first: int
    next_row: int
    rows: list[ReadRow]


def refuse_unreadable(path: Path) -> None:
    """Raise UnreadableFile for a file that is no sheet as far as its kind tells, without reading all of it."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not is_workbook(path, head):
        text_form(path, head, encoding=None)


def open_reading(path: Path, *, file_name: str, mapping: Mapping[str, str] | None) -> Reading:
    """Find out how the file is to be read, and read it once to its end, so that nothing unreadable is begun.

    Raises UnreadableFile and InvalidMapping. A million rows of CSV take about a second.
    """
    sheet = open_sheet(path, file_name=file_name)
    if mapping is None:
        fields = propose_mapping(sheet.headings, [row.cells for row in sheet.sample])
        _check_identity(sheet, fields)
    else:
        fields = check_mapping(mapping, sheet.headings, width=sheet.width)
    total = sum(1 for _ in sheet.rows())
    columns = [
        {"column": index + 1, "heading": sheet.headings[index] if index < len(sheet.headings) else None, "field": field}
        for index, field in sorted(fields.items())
    ]
    detected = {
        "format": sheet.format, "encoding": sheet.encoding, "delimiter": sheet.delimiter,
        "sheet_name": sheet.sheet_name, "heading_row": sheet.heading_row, "columns": columns,
    }  # fmt: skip
    return Reading(sheet, columns_of(fields, headless=not sheet.headings), detected, total)


def _check_identity(sheet: Sheet, fields: Mapping[int, str]) -> None:
    """Refuse a text that only looks like a list: its every line would become a person or a problem."""
    found = set(fields.values())
    if sheet.headings and not found & set(IDENTITIES):
        told = ", ".join(sheet.headings)[:200]
        raise UnreadableFile(
            "no_identity_column",
            f"No heading says who a row is about: {told}. Name a column such as email or name, or send a mapping.",
        )
    if not sheet.headings and not found & {"email", "cellphone"}:
        raise UnreadableFile(
            "no_addresses",
            "The file has no headings we know, and its first rows have no email addresses or phone numbers. "
            "Send a file with one person per row, or a mapping.",
        )


def read_batches(reading: Reading, *, next_row: int, default_country: str) -> Iterator[Batch]:
    """Yield the rows whose numbers are `next_row` or higher, up to 1 000 at a time, as persons with their problems."""
    rows = (row for row in reading.sheet.rows() if row.number >= next_row)
    first = next_row
    while batch := list(islice(rows, BATCH_ROWS)):
        read = [read_contact(row, reading.columns, default_country=default_country) for row in batch]
        following = batch[-1].number + 1
        yield Batch(first, following, read)
        first = following
