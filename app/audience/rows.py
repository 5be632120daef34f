"""One row of a sheet as a person, with everything in it that could not be used named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from phonenumbers import SUPPORTED_REGIONS

from app.audience.answers import country_code, language_tag, yes_or_no
from app.audience.headings import looks_like_address, looks_like_phone
from app.audience.sheet_row import RowFault, SheetRow
from app.contacts.addresses import (
    NAME_LIMIT,
    Email,
    InvalidEmail,
    InvalidPhone,
    clean_text,
    is_clean,
    is_mobile,
    normalise_email,
    normalise_phone,
    parse_mailbox,
)

EXTRA_LIMIT = 2000
"""Characters of an extra field that are kept; all other texts keep as many as a name (200)."""

_EXCERPT = 60
_EMAIL_TEXT_LIMIT = 320  # a name and an address as people paste them; more of it tells nobody anything

_BLANK_ROW = ("blank_row", "The row is blank.")
_NO_IDENTITY = (
    "no_identity",
    "The row does not say who it is about: it has no external id, name, email address or mobile number.",
)
# Cut short, an external id could be somebody else's.
_LONG_ID = ("external_id_too_long", f"The external id is longer than {NAME_LIMIT} characters. Check the column.")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Something in a row that could not be used as it stands.

    `rejected`: the row is not a person and is left out. `warning`: the person is kept, but `field` is empty or was
    read differently. `excerpt` is the value's beginning, for the person who mends the file: never for a log.
    """

    row_number: int
    field: str | None
    excerpt: str | None
    code: str
    detail: str
    severity: Literal["rejected", "warning"]


class ContactRow(NamedTuple):
    """A person as a row tells. A tuple, since a file has a million of them. Texts are one line; empty = not told.

    An address or number that is not valid stays readable in `email_text` and `cellphone_text`, so that the person can
    be kept as *blocked: invalid address* (D18). `consent` is for e-marketing; None = not told. `subscriptions` by type
    name. `texts` has title, position, business, number, direct and country, where told.
    """

    row_number: int
    external_id: str
    first_name: str
    last_name: str
    name: str
    email: Email | None
    email_text: str
    cellphone: str | None
    cellphone_text: str
    company_name: str
    category: str
    language: str | None
    city: str
    consent: bool | None
    subscriptions: Mapping[str, bool]
    texts: Mapping[str, str]
    extra: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Columns:
    """A mapping made ready for reading a million rows: see `columns_of`."""

    plan: tuple[tuple[int, str], ...]
    many: tuple[str, ...]
    headless: bool
    width: int
    email_at: int | None


def columns_of(mapping: Mapping[int, str], *, headless: bool) -> Columns:
    """Prepare a mapping (field by column index). `headless`: without headings, so that rows may take other forms."""
    email_at = next((index for index, field in mapping.items() if field == "email"), None)
    many = tuple(field for field in mapping.values() if field.startswith(("extra.", "subscription:")))
    return Columns(tuple(sorted(mapping.items())), many, headless, max(mapping, default=-1) + 1, email_at)


ReadRow = tuple[ContactRow | None, Sequence[RowProblem]]


def read_contact(row: SheetRow, columns: Columns, *, default_country: str) -> ReadRow:
    """Return the person a row tells of (None if it was rejected), and the problems found.

    Rejected are rows that are broken as such, blank rows, rows that say nothing of who they are about (no external id,
    name, address or number), and rows whose external id is too long to be one. Any other fault costs only its field.
    `default_country` (ISO 3166 alpha-2) reads numbers without a country code where the row names no country.
    """
    number = row.number
    problems: list[RowProblem] = []
    if row.fault is not None:
        problems.append(_of_sheet(row, row.fault))
        if row.fault.rejected:
            return None, problems
    values = _values(row, columns, problems)
    if not values:
        blank = not any(cell.strip() for cell in row.cells)
        problems.append(_rejected(number, *(_BLANK_ROW if blank else _NO_IDENTITY)))
        return None, problems
    take = values.pop

    email, mailbox_name, email_text = _email(number, take("email", ""), problems)
    phone, phone_text = _phone(number, take("cellphone", ""), values.get("country", ""), default_country, problems)
    external_id, first, last = take("external_id", ""), take("first_name", ""), take("last_name", "")
    name = take("name", "") or (f"{first} {last}"[:NAME_LIMIT].strip() if first or last else mailbox_name)
    if not (name or email_text or external_id or phone_text):
        problems.append(_rejected(number, *_NO_IDENTITY))
        return None, problems
    if len(external_id) > NAME_LIMIT:
        problems.append(_rejected(number, *_LONG_ID, field="external_id", excerpt=external_id[:_EXCERPT]))
        return None, problems
    subscriptions: dict[str, bool] = {}
    extra: dict[str, str] = {}
    contact = ContactRow(
        number,
        external_id,
        first,
        last,
        name,
        email,
        email_text,
        phone,
        phone_text,
        take("company", ""),
        take("category", ""),
        _language(number, take("language", ""), problems),
        take("city", ""),
        _yes_or_no(number, "consent", take("consent", ""), problems),
        subscriptions,
        values,
        extra,
    )
    # Fields of many names, out of what is left for `texts`, into the mappings that the row already holds.
    for field in columns.many:
        if text := take(field, ""):
            if field.startswith("extra."):
                extra[field[6:]] = text
            elif (told := _yes_or_no(number, field, text, problems)) is not None:
                subscriptions[field[13:]] = told
    return contact, problems


def _values(row: SheetRow, columns: Columns, problems: list[RowProblem]) -> dict[str, str]:
    """Return the row's texts by field, cleaned and cut to their limits; the address raw: cleaning could mend it."""
    cells = row.cells
    if columns.headless and not _fits(cells, columns):
        return _cleaned(row.number, _by_look(row, problems), problems)
    if len(cells) < columns.width:
        cells = cells + [""] * (columns.width - len(cells))
    # Looking at a row as one text finds the plain ones, nearly all, for a tenth of what its cells one by one cost.
    line = ";".join(cells)
    if len(line) <= NAME_LIMIT and is_clean(line):
        return {field: text for index, field in columns.plan if (text := cells[index].strip())}
    return _cleaned(row.number, [(field, cells[index]) for index, field in columns.plan], problems)


def _cleaned(number: int, pairs: Sequence[tuple[str, str]], problems: list[RowProblem]) -> dict[str, str]:
    values: dict[str, str] = {}
    for field, cell in pairs:
        if not cell or cell.isspace():
            continue
        if field == "email":
            values[field] = cell
            continue
        limit = EXTRA_LIMIT if field.startswith("extra.") else NAME_LIMIT
        text = clean_text(cell, limit + 1)
        if len(text) > limit and field != "external_id":
            detail = f"The text is longer than {limit} characters and was cut there."
            problems.append(_warning(number, field, text, "value_too_long", detail))
            text = text[:limit].rstrip()
        if text:
            values[field] = text
    return values


def _fits(cells: Sequence[str], columns: Columns) -> bool:
    """Whether a row of a sheet without headings is filled in like the others: `name, email, mobile`.

    A lone cell is not (it may be a name, an address, a mailbox or a number), and neither is a row that has its address
    in another column.
    """
    if len(cells) == 1:
        return False
    at = columns.email_at
    if at is None or (at < len(cells) and "@" in cells[at]):
        return True
    return not any("@" in cell for cell in cells)


def _by_look(row: SheetRow, problems: list[RowProblem]) -> list[tuple[str, str]]:
    """Return field and cell by what each cell looks like; texts neither address nor number make up the name."""
    found: dict[str, str] = {}
    for cell in row.cells:
        if not cell.strip():
            continue
        if looks_like_address(cell):
            field = "email"
        elif looks_like_phone(cell):
            field = "cellphone"
        else:
            found["name"] = f"{found['name']} {cell}" if "name" in found else cell
            continue
        if field in found:
            detail = "The row has more than one of these; the first was taken. Give each person a row of their own."
            problems.append(_warning(row.number, field, cell, "unused_value", detail))
        else:
            found[field] = cell
    return list(found.items())


def _email(number: int, raw: str, problems: list[RowProblem]) -> tuple[Email | None, str, str]:
    """Return the address, the name that stood beside it, and the cell's text."""
    if not raw:
        return None, "", ""
    try:
        # `Name <a@b>` is common in the address column; all others spare themselves the closer look.
        name, email = parse_mailbox(raw) if ">" in raw else ("", normalise_email(raw))
    except InvalidEmail as refusal:
        text = clean_text(raw, _EMAIL_TEXT_LIMIT)
        if text:
            problems.append(_warning(number, "email", text, "invalid_email", refusal.reason))
        return None, "", text
    return email, name, clean_text(raw, _EMAIL_TEXT_LIMIT)


def _phone(
    number: int, text: str, country: str, default_country: str, problems: list[RowProblem]
) -> tuple[str | None, str]:
    """Return the number as E.164, and the cell's text. One that takes no text messages is kept, with a warning."""
    if not text:
        return None, ""
    try:
        phone = normalise_phone(text, (country and _phone_country(country)) or default_country)
    except InvalidPhone as refusal:
        problems.append(_warning(number, "cellphone", text, "invalid_phone", refusal.reason))
        return None, text
    if not is_mobile(phone):
        detail = "The number is not a mobile number, so that it gets no text messages."
        problems.append(_warning(number, "cellphone", text, "not_mobile", detail))
    return phone, text


@lru_cache(maxsize=1024)
def _phone_country(country: str) -> str | None:
    code = country_code(country)
    return code if code in SUPPORTED_REGIONS else None


def _language(number: int, text: str, problems: list[RowProblem]) -> str | None:
    if not text:
        return None
    tag = _language_tag(text)
    if tag is None:
        detail = "No language has this name or code. Write a code such as nb, sv, da, nl, de or en."
        problems.append(_warning(number, "language", text, "unknown_language", detail))
    return tag


_language_tag = lru_cache(maxsize=1024)(language_tag)


def _yes_or_no(number: int, field: str, text: str, problems: list[RowProblem]) -> bool | None:
    if not text:
        return None
    told = yes_or_no(text)
    if told is None:
        detail = "This is neither yes nor no, and counts as not told. Write ja or nei, yes or no, 1 or 0."
        problems.append(_warning(number, field, text, "unknown_answer", detail))
    return told


def _of_sheet(row: SheetRow, fault: RowFault) -> RowProblem:
    excerpt = clean_text(" ".join(row.cells[:3])[:_EXCERPT], _EXCERPT) or None
    severity: Literal["rejected", "warning"] = "rejected" if fault.rejected else "warning"
    return RowProblem(row.number, None, excerpt, fault.code, fault.detail, severity)


def _warning(number: int, field: str, value: str, code: str, detail: str) -> RowProblem:
    return RowProblem(number, field, clean_text(value[:_EXCERPT], _EXCERPT), code, detail, "warning")


def _rejected(
    number: int, code: str, detail: str, *, field: str | None = None, excerpt: str | None = None
) -> RowProblem:
    return RowProblem(number, field, excerpt, code, detail, "rejected")
