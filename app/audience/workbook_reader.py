"""The program that reads an XLSX sheet: a process of its own, so that a hostile workbook costs only itself.

calamine builds the whole sheet in memory, as a dense grid: one cell in the last corner of an otherwise empty sheet asks
for 17 thousand million of them, which ends a process without a chance to catch it. Here it ends this one, at the limits
below, and `workbooks` says so in words. It is run as a file, not as a module, and imports nothing of the house.

Arguments: path, sheet name (empty for the first visible one with anything in it).
Output, JSON lines: `{"sheet": name, "sheets": [names]}` or `{"error": code, "sheets": [names]}`, then a list of texts
per row.
"""

import datetime as dt
import json
import resource
import sys

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetVisibleEnum

MEMORY_LIMIT = 3 * 1024**3
"""A million rows of eleven columns take about half of it."""

CPU_SECONDS = 300
"""calamine reads some 100 000 rows a second."""


def main() -> None:
    """Write the sheet named in the arguments to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, wanted = sys.argv[1:]
    try:
        workbook = CalamineWorkbook.from_path(path)
        sheet = chosen_sheet(workbook, wanted)
    except PasswordError:
        say({"error": "encrypted_file", "sheets": []})
    except CalamineError:
        say({"error": "damaged_file", "sheets": []})
    else:
        if sheet is None:
            say({"error": "no_sheet", "sheets": workbook.sheet_names})
            return
        say({"sheet": sheet.name, "sheets": workbook.sheet_names})
        left = [""] * (sheet.start[1] if sheet.start else 0)
        for row in sheet.iter_rows():
            say(left + [shown(value) for value in row])


def chosen_sheet(workbook: CalamineWorkbook, wanted: str) -> CalamineSheet | None:
    """Return the sheet of that name, or the first visible one with cells (else the first visible one at all)."""
    if wanted:
        return workbook.get_sheet_by_name(wanted) if wanted in workbook.sheet_names else None
    first = None
    for seen in workbook.sheets_metadata:
        if seen.visible is SheetVisibleEnum.Visible:
            sheet = workbook.get_sheet_by_name(seen.name)
            if sheet.start is not None:
                return sheet
            first = first or sheet
    return first


def shown(value: object) -> str:
    """Return a cell as the text a person sees: whole numbers without a fraction (phone numbers), dates as ISO 8601."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)


def say(line: object) -> None:
    """Write one line of output."""
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
