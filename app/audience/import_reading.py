"""An imported file as batches of rows that are read and checked. Blocking: it runs in a reading process."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from app.audience.file_kinds import is_workbook
from app.audience.heading_words import FIELD_OF_HEADING, heading_key
from app.audience.headings import IDENTITIES, check_mapping, propose_mapping
from app.audience.person_lines import Kinds, extra_values, person_line
from app.audience.rows import Columns, columns_of, read_contact
from app.audience.sheet_row import SheetRow, UnreadableFile
from app.audience.sheets import Sheet, SheetOptions, open_sheet
from app.audience.text_lines import text_form
from app.contacts.addresses import clean_text

BATCH_ROWS = 10_000
"""Rows of one transaction: some 0.3 s, so that progress is seen, a cancellation obeyed, and little is done again.

A transaction has costs of its own, some 20 ms with its look-ups: with 1 000 rows they were a third of the time.
"""

FIRST_ROWS = 1000
"""Rows of the first batch, so that something is seen soon; each further one has twice as many, up to BATCH_ROWS."""

SAMPLES = 3
SAMPLE_LENGTH = 60

_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that can be imported: its columns, what was found out about it, and how many rows it has."""

    sheet: Sheet
    columns: Columns
    detected: dict[str, Any]
    total: int


class Batch(NamedTuple):
    """Rows in the file's order; `first` is the number the first one may have, `next_row` that of the one after them.

    `rows` are so many; each that is a person has a line (see `person_lines`) with its row number in `numbers`. By index
    of the line: `companies` has names, `consents` answers to e-marketing, `subscriptions` answers by type name.
    `problems` are (row number, field, code, detail, rejected). Plain values only: it comes from another process.
    """

    first: int
    next_row: int
    rows: int
    numbers: list[int]
    lines: list[dict[str, Any]]
    companies: dict[int, str]
    consents: dict[int, bool]
    subscriptions: dict[int, dict[str, bool]]
    problems: list[tuple[int, str | None, str, str, bool]]

    @property
    def rejected(self) -> int:
        """How many rows are no persons."""
        return self.rows - len(self.lines)


def refuse_unreadable(path: Path) -> None:
    """Raise UnreadableFile for a file that is no sheet as far as its kind tells, without reading all of it."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not is_workbook(path, head):
        text_form(path, head, encoding=None)


def open_reading(
    path: Path, *, file_name: str, mapping: Mapping[str, str] | None, options: SheetOptions | None = None
) -> Reading:
    """Find out how the file is to be read, and read it once to its end, so that nothing unreadable is begun.

    Raises UnreadableFile and InvalidMapping. A million rows of CSV take about a second.
    """
    sheet = open_sheet(path, file_name=file_name, options=options)
    if mapping is None:
        fields = propose_mapping(sheet.headings, [row.cells for row in sheet.sample])
        _check_identity(sheet, fields)
    else:
        fields = check_mapping(mapping, sheet.headings, width=sheet.width)
    total = sum(1 for _ in sheet.rows())
    detected = {
        "format": sheet.format, "encoding": sheet.encoding, "delimiter": sheet.delimiter,
        "sheet_name": sheet.sheet_name, "heading_row": sheet.heading_row,
        "columns": list(_columns(sheet, fields, is_told=mapping is not None)),
    }  # fmt: skip
    return Reading(sheet, columns_of(fields, headless=not sheet.headings), detected, total)


def _columns(sheet: Sheet, fields: Mapping[int, str], *, is_told: bool) -> Iterator[dict[str, Any]]:
    for index in range(max(sheet.width, max(fields, default=-1) + 1)):
        heading = sheet.headings[index] if index < len(sheet.headings) else None
        field = fields.get(index)
        if field is None:
            confidence = None
        elif is_told:
            confidence = "told"
        elif heading is None:
            confidence = "content"
        else:
            confidence = "heading" if heading_key(heading) in FIELD_OF_HEADING else "unknown"
        yield {"column": index + 1, "heading": heading, "field": field, "confidence": confidence}


def with_samples(reading: Reading) -> dict[str, Any]:
    """Return what was found out about a file, with the first values of each column: for a person who corrects it."""
    columns = [{**column, "samples": _samples(reading, column["column"] - 1)} for column in reading.detected["columns"]]
    return {**reading.detected, "columns": columns}


def _samples(reading: Reading, index: int) -> list[str]:
    cells = (row.cells[index] for row in reading.sheet.sample if index < len(row.cells))
    shown = (text for cell in cells if (text := clean_text(cell, SAMPLE_LENGTH)))
    return list(islice(dict.fromkeys(islice(shown, 50)), SAMPLES))


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


def read_batches(
    reading: Reading, *, next_row: int, default_country: str, kinds: Kinds, sizes: tuple[int, int]
) -> Iterator[Batch]:
    """Yield the rows whose numbers are `next_row` or higher as persons with problems.

    `sizes` are FIRST_ROWS and BATCH_ROWS, or others for tests.
    """
    rows = (row for row in reading.sheet.rows() if row.number >= next_row)
    first, (size, most) = next_row, sizes
    while taken := list(islice(rows, size)):
        following = taken[-1].number + 1
        yield _read(taken, reading.columns, first, following, default_country, kinds)
        first, size = following, min(size * 2, most)


def _read(
    rows: list[SheetRow], columns: Columns, first: int, following: int, default_country: str, kinds: Kinds
) -> Batch:
    batch = Batch(first, following, len(rows), [], [], {}, {}, {}, [])
    for row in rows:
        contact, problems = read_contact(row, columns, default_country=default_country)
        if contact is not None:
            index = len(batch.lines)
            line = person_line(contact, default_country=default_country)
            if contact.extra:
                line["extra"], faults = extra_values(contact, kinds)
                problems = [*problems, *faults]
            if contact.company_name:
                batch.companies[index] = contact.company_name
            if contact.consent is not None:
                batch.consents[index] = contact.consent
            if contact.subscriptions:
                batch.subscriptions[index] = dict(contact.subscriptions)
            batch.lines.append(line)
            batch.numbers.append(row.number)
        if problems:
            batch.problems.extend(
                (each.row_number, each.field, each.code, each.detail, each.severity == "rejected") for each in problems
            )
    return batch
