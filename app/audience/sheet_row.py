"""What every kind of sheet is read into, and how a file that is none is refused."""

import re
from dataclasses import dataclass
from typing import NamedTuple

MAX_ROW_BYTES = 1024 * 1024
"""A longer row is not a person. It also bounds what is held in memory for one row."""

MAX_CELLS = 500
"""A sheet of a CRM has some dozens of columns; hundreds of them are a delimiter gone wrong."""

REASON_HEADING = "budstikke_problem"
"""Heads the column of a mended file that says what was wrong (see `mended`); it is not read."""

REASON_MARK = "# budstikke: "
"""Begins what stands in that column, so that it is known where there are no headings, too."""

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with one row as such. A `rejected` row holds nothing to rely on; else its cells were rescued."""

    code: str
    detail: str
    rejected: bool


class SheetRow(NamedTuple):
    """One row. A tuple, since a file has a million of them.

    `number` counts from 1 as a spreadsheet program shows it: blank rows count, a quoted cell may have several lines.
    """

    number: int
    cells: list[str]
    fault: RowFault | None = None


class UnreadableFile(Exception):  # noqa: N818 - it reads as the verdict it is
    """The file is not a sheet we read: `code` for programs, `detail` with what it is and what would be right."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def guarded(cell: str) -> str:
    """Return a cell for a text file such that no spreadsheet program takes it for a formula: `unguarded` undoes it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return a cell without the apostrophe with which texts are kept from being formulas."""
    return cell[1:] if _GUARDED.match(cell) else cell
