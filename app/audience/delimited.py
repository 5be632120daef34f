"""Text lines as rows of cells: which delimiter, and quotes as spreadsheet programs write them (RFC 4180)."""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice

from app.audience.sheet_row import MAX_CELLS, MAX_ROW_BYTES, RowFault, SheetRow, unguarded
from app.audience.text_lines import LineBlock

DELIMITERS = (";", "\t", ",", "|")
"""In the order that wins a tie: a comma may well be part of a name or a number, a tab never is."""

_MAX_REREAD_LINES = 1_000_000  # half a second's work


def likeliest_delimiter(lines: list[str]) -> str:
    """Return the delimiter that cuts most of the lines into more than one cell, and most of them into equally many."""
    lines = [line for line in lines if line.strip()]

    def score(delimiter: str) -> tuple[float, int]:
        widths = Counter(len(_cells_of_line(line, delimiter) or (line,)) for line in lines)
        del widths[1]
        if not widths:
            return 0.0, 0
        # Lines of `name, email, mobile` often have only one or two of them, so being cut counts as much as agreeing.
        width, often = widths.most_common(1)[0]
        return (widths.total() + often) / len(lines), width

    best = max(DELIMITERS, key=score)
    return best if score(best)[0] else ","


def _cells_of_line(line: str, delimiter: str) -> list[str] | None:
    """Return the cells of a line that is a row of its own, or None where its quotes are not in order."""
    if '"' not in line:
        return line.split(delimiter)
    # Some systems leave a space between a closing quote and the delimiter, which strict reading refuses.
    for text in (line, re.sub(f'" +(?={re.escape(delimiter)}|$)', '"', line)):
        try:
            return next(csv.reader((text,), delimiter=delimiter, skipinitialspace=True, strict=True))
        except csv.Error:
            continue
    return None


def delimited_rows(blocks: Iterable[LineBlock], delimiter: str) -> Iterator[SheetRow]:
    """Yield every row of the lines, blank ones included (without cells), in order.

    A quote that is never closed, or closed in the middle of a value, spoils its own row only: that row is read with its
    quotes as ordinary characters and carries the fault `broken_quoting`, and reading goes on with the next line.
    """
    lines = _Lines(blocks)
    for number, (line, fault) in enumerate(lines, 1):
        if '"' not in line:
            row = SheetRow(number, line.split(delimiter) if line else [], fault)
            if "'" in line:
                row = SheetRow(number, [unguarded(cell) for cell in row.cells], fault)
        elif fault is not None and fault.rejected:
            row = SheetRow(number, [line], fault)
        else:
            cells, fault_of_it = _quoted_row(line, fault, lines, delimiter)
            row = SheetRow(number, [unguarded(cell) for cell in cells], fault_of_it)
        if len(row.cells) > MAX_CELLS:
            row = SheetRow(number, row.cells[:MAX_CELLS], _too_many(len(row.cells)))
        yield row


class _Lines:
    """Lines one by one with their faults; those that were read ahead in vain can be put back."""

    def __init__(self, blocks: Iterable[LineBlock]) -> None:
        self._source = ((line, block.faults.get(index)) for block in blocks for index, line in enumerate(block.lines))
        self._returned: deque[tuple[str, RowFault | None]] = deque()
        self._reread = 0

    def __iter__(self) -> Iterator[tuple[str, RowFault | None]]:
        while True:
            while self._returned:
                yield self._returned.popleft()
            item = next(self._source, None)
            if item is None:
                return
            yield item

    @property
    def may_read_ahead(self) -> bool:
        """False once more lines were put back than an honest file has: a bound on the work of a hostile one."""
        return self._reread < _MAX_REREAD_LINES

    def put_back(self, lines: list[tuple[str, RowFault | None]]) -> None:
        self._reread += len(lines)
        self._returned.extendleft(reversed(lines))


def _quoted_row(line: str, fault: RowFault | None, lines: _Lines, delimiter: str) -> tuple[list[str], RowFault | None]:
    """Return the row that begins with `line`, taking further lines while a quoted cell is open."""
    cells = _cells_of_line(line, delimiter)
    if cells is None:
        ahead, cells = _read_ahead(line, lines, delimiter)
        if cells is None:
            lines.put_back(ahead)
            return line.split(delimiter), RowFault(
                "broken_quoting",
                "A quotation mark in the row has no partner, or stands in the middle of a value. The row was read with "
                'its marks as ordinary characters: check it, and write a mark inside a quoted value twice ("").',
                rejected=False,
            )
        fault = fault or next((other for _, other in ahead if other), None)
    return cells, fault


def _read_ahead(line: str, lines: _Lines, delimiter: str) -> tuple[list[tuple[str, RowFault | None]], list[str] | None]:
    """Return the lines taken, and the cells of `line` joined with them if a quoted cell ends in one of them.

    An open cell can only end in a line with an odd number of quotes, so that is where it is tried, once: then either
    the row is complete, or the quotes are not in order.
    """
    taken: list[tuple[str, RowFault | None]] = []
    if not lines.may_read_ahead or not _leaves_open(line, delimiter):
        return taken, None
    size = len(line)
    for following, fault in lines:
        taken.append((following, fault))
        size += len(following) + 1
        if size > MAX_ROW_BYTES:
            return taken, None
        if following.count('"') % 2:
            text = "\n".join((line, *(other for other, _ in taken)))
            return taken, _cells_of_line(text, delimiter)
    return taken, None


def _leaves_open(line: str, delimiter: str) -> bool:
    """Whether the line ends inside a quoted cell: then a closing quote at its end puts it in order."""
    return _cells_of_line(line + '"', delimiter) is not None


def _too_many(found: int) -> RowFault:
    return RowFault(
        "too_many_cells",
        f"The row has {found} cells; at most {MAX_CELLS} are read. Check the delimiter.",
        rejected=True,
    )


def first_lines(blocks: Iterable[LineBlock], count: int) -> list[str]:
    """Return the first lines, for guessing."""
    return list(islice((line for block in blocks for line in block.lines), count))
