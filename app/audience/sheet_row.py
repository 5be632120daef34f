"""What every kind of sheet is read into, and how a file that is none is refused."""

from dataclasses import dataclass
from typing import NamedTuple

MAX_ROW_BYTES = 1024 * 1024
"""A longer row is not a person. It also bounds what is held in memory for one row."""

MAX_CELLS = 500
"""A sheet of a CRM has some dozens of columns; hundreds of them are a delimiter gone wrong."""


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
