"""Which column of a sheet holds what: found by heading, else by content; or told by the user."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from app.audience.heading_words import FIELD_OF_HEADING, heading_key, heading_slug
from app.audience.sheet_row import REASON_HEADING, SheetRow

FIELDS = frozenset(
    {
        "external_id",
        "name",
        "first_name",
        "last_name",
        "email",
        "cellphone",
        "direct",
        "title",
        "company",
        "category",
        "business",
        "number",
        "position",
        "language",
        "country",
        "city",
        "consent",
    },
)
"""Fields of a person a column can hold; besides them `subscription:<type name>` and `extra.<field>`."""

IDENTITIES = ("external_id", "name", "first_name", "last_name", "email", "cellphone")
"""At least one of them says who a row is about."""

IGNORE = "ignore"
"""What a user maps a column to that is not to be read."""

_EXTRA = re.compile(r"extra\.[a-z][a-z0-9_]{0,59}")
_SUBSCRIPTION = re.compile(r"subscription:\S.{0,99}")
_PHONE = re.compile(r"\+?[\d\s()./-]{5,30}")
_ADDRESS_LIKE = re.compile(r"[^@\s]+\.[^@\s.]{2,}")


class InvalidMapping(ValueError):  # noqa: N818 - it reads as the verdict it is
    """The columns cannot be read as told; `problems` is one sentence per fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


def find_headings(rows: Sequence[SheetRow]) -> int | None:
    """Return the index of the heading row among a sheet's first rows, or None where all of them are persons.

    It is the row with the most headings we know; at least two, or half of its cells. Exports put titles and blank rows
    above it, so it need not be the first; but it is not looked for below a row with an address, which is a person.
    Headings in no language we know are believed in the first row only, where no cell has a digit, a full stop or an
    @-sign and some row below has an address.
    """
    best, most = None, 0
    titled = False  # a lone cell with an address may be a title ("Exported by ...") or a person
    for index, row in enumerate(rows):
        cells = [cell for cell in row.cells if cell.strip()]
        if any("@" in cell for cell in cells):
            if len(cells) > 1:
                break
            titled = True
        elif cells and not any(looks_like_phone(cell) or len(cell) > 100 for cell in cells):
            known = sum(heading_key(cell) in FIELD_OF_HEADING for cell in cells)
            if known > most and (known >= 2 or (known * 2 >= len(cells) and not titled)):
                best, most = index, known
    if best is not None or not rows:
        return best
    first = rows[0].cells
    unknown = len(first) >= 3 and all(cell.strip() and not re.search(r"[\d.@]", cell) for cell in first)
    return 0 if unknown and any("@" in cell for row in rows[1:] for cell in row.cells) else None


def looks_like_phone(cell: str) -> bool:
    """Whether the text is written as a number to call: digits with the usual signs, five or more."""
    return _PHONE.fullmatch(cell.strip()) is not None and sum(char.isdigit() for char in cell) >= 5


def looks_like_address(cell: str) -> bool:
    """Whether the text was meant as an email address, also where its @-sign is missing."""
    return "@" in cell or _ADDRESS_LIKE.fullmatch(cell.strip()) is not None


def propose_mapping(headings: Sequence[str], sample_rows: Sequence[Sequence[str]]) -> dict[int, str]:
    """Return field by column index (from 0), from the headings or, where there are none, from the sample's content.

    A heading nobody knows becomes `extra.<heading>`; so does a second column of the same kind. Columns without a
    heading are left out.
    """
    if not headings:
        return _by_content(sample_rows)
    proposed: dict[int, str] = {}
    found = [FIELD_OF_HEADING.get(heading_key(heading)) for heading in headings]
    # "Telefon" alone is the number people can be reached on; beside "Mobil" it is the one on their desk.
    phone = "direct" if "cellphone" in found else "cellphone"
    for index, (heading, kind) in enumerate(zip(headings, found, strict=True)):
        if heading.strip() == REASON_HEADING:
            continue
        named = {"phone": phone, "subscription": f"subscription:{heading.strip()[:100]}"}
        field = named.get(kind, kind) if kind else None
        if field is None or field in proposed.values():
            field = _extra(heading, taken=proposed.values())
        if field is not None:
            proposed[index] = field
    return proposed


def _extra(heading: str, *, taken: Collection[str]) -> str | None:
    slug = heading_slug(heading)
    if not slug:
        return None
    name = slug if slug[0].isalpha() else f"field_{slug}"[:60]
    names = (f"extra.{name}", *(f"extra.{name[:56]}_{number}" for number in range(2, 500)))
    return next((free for free in names if free not in taken), None)


def _by_content(sample_rows: Sequence[Sequence[str]]) -> dict[int, str]:
    """Vote per column; rows of a single cell do not, since such a cell is read by itself (see `rows`)."""
    rows = [row for row in sample_rows if len(row) > 1] or sample_rows
    votes: dict[str, Counter[int]] = {"email": Counter(), "cellphone": Counter(), "name": Counter()}
    for row in rows:
        for index, cell in enumerate(row):
            if "@" in cell:
                votes["email"][index] += 1
            elif looks_like_phone(cell):
                votes["cellphone"][index] += 1
            elif cell.strip() and not any(char.isdigit() for char in cell):
                votes["name"][index] += 1
    proposed: dict[int, str] = {}
    for field in ("email", "cellphone"):
        best = next((index for index, _ in votes[field].most_common() if index not in proposed), None)
        if best is not None:
            proposed[best] = field
    # Not the column with most names but the first with many: given name and family name stand in this order.
    named = sorted(index for index, count in votes["name"].items() if count * 2 > len(rows) and index not in proposed)
    if named or (votes["name"] and not proposed):
        proposed[named[0] if named else min(votes["name"])] = "name"
    filled = {index for row in rows for index, cell in enumerate(row) if cell.strip()}
    return proposed | {index: f"extra.column_{index + 1}" for index in sorted(filled - proposed.keys())}


def check_mapping(given: Mapping[str, str], headings: Sequence[str], *, width: int) -> dict[int, str]:
    """Return a user's mapping as field by column index (from 0).

    Keys are headings as they stand in the file, or column numbers counted from 1; values are fields (`FIELDS`,
    `subscription:<type name>`, `extra.<field>`) or `ignore`. `width` is the number of columns. Raises InvalidMapping
    with every fault.
    """
    problems: list[str] = []
    chosen: dict[int, str] = {}
    for column, field in given.items():
        index = _column(column, headings, width, problems)
        if not _is_field(field):
            problems.append(
                f"{field!r} is not a field. Fields are {', '.join(sorted(FIELDS))}, "
                f"subscription:<type name>, extra.<field> and {IGNORE}.",
            )
        elif index is not None and index in chosen:
            problems.append(f"Column {index + 1} is mapped twice.")
        elif field != IGNORE and field in chosen.values():
            problems.append(f"Two columns are mapped to {field}. Map one of them to {IGNORE}.")
        elif index is not None:
            chosen[index] = field
    chosen = {index: field for index, field in chosen.items() if field != IGNORE}
    if not problems and not set(chosen.values()) & set(IDENTITIES):
        problems.append(
            f"No column says who a row is about. Map one to {', '.join(IDENTITIES[:-1])} or {IDENTITIES[-1]}."
        )
    if problems:
        raise InvalidMapping(problems)
    return chosen


def _is_field(field: str) -> bool:
    return field in FIELDS or field == IGNORE or bool(_EXTRA.fullmatch(field) or _SUBSCRIPTION.fullmatch(field))


def _column(column: str, headings: Sequence[str], width: int, problems: list[str]) -> int | None:
    wanted = heading_key(column)
    exact = [index for index, heading in enumerate(headings) if heading.strip() == column.strip()]
    found = exact or [index for index, heading in enumerate(headings) if wanted and heading_key(heading) == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(str(index + 1) for index in found)
        problems.append(f"Several columns are headed {column!r}. Name the one you mean by its number: {numbers}.")
        return None
    if re.fullmatch(r"[0-9]{1,4}", column) and 1 <= int(column) <= width:
        return int(column) - 1
    known = ", ".join(repr(heading) for heading in headings if heading) or f"numbers 1 to {width}"
    problems.append(f"The file has no column {column!r}. It has {known}.")
    return None
