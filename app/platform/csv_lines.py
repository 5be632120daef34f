"""Writing CSV that spreadsheets open as what it is: text, in columns, and never a formula."""

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

BYTE_ORDER_MARK: Final = "\ufeff"
"""Goes first, so that spreadsheets read the file as UTF-8."""

_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def safe_cell(value: Any) -> str:
    """Return a value as a cell's text; what a spreadsheet would take for a formula gets an apostrophe in front.

    Addresses and names come from strangers, and a formula can send what is in the sheet to them (OWASP, CSV injection).
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    shown = str(value)
    return f"'{shown}" if isinstance(value, str) and shown.startswith(_BEGINS_A_FORMULA) else shown


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV lines (RFC 4180), in UTF-8."""
    written = StringIO()
    csv.writer(written).writerows([safe_cell(value) for value in row] for row in rows)
    return written.getvalue().encode()
