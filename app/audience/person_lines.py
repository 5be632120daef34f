"""A read row as fields of a person, in the form they are kept in. Pure, and quick to load: see `reading_process`."""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from app.audience.answers import yes_or_no
from app.audience.rows import ContactRow, RowProblem
from app.contacts.addresses import InvalidPhone, normalise_phone
from app.contacts.merging import full_name

Kinds = Mapping[str, tuple[str, list[str]]]
"""Kind and choices of the extra fields that are declared, by name. One that is not is text."""

_SAME = ("external_id", "category", "language", "city", "first_name", "last_name")
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,10})?")
_ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9:.]+Z?)?")
_DOTTED_DAY = re.compile(r"([0-9]{1,2})[./]([0-9]{1,2})[./]([0-9]{4})")
_WANTED = {
    "number": "a number, such as 12 or 12,5",
    "boolean": "yes or no",
    "date": "a day, such as 2026-11-24 or 24.11.2026",
}


def person_line(contact: ContactRow, *, default_country: str) -> dict[str, Any]:
    """Return the fields that the row tells of a person; an empty cell tells nothing, so that it clears nothing.

    The company is apart: a name becomes an id where the database is.
    """
    line: dict[str, Any] = {field: value for field in _SAME if (value := getattr(contact, field))}
    line |= contact.texts
    whole = contact.first_name and contact.last_name
    if contact.name and (whole or contact.name != full_name(contact.first_name, contact.last_name)):
        line["name"] = contact.name  # else half a name would take the place of a whole one
    if contact.email is not None:
        line["email"], line["email_key"] = contact.email.address, contact.email.key
    elif contact.email_text:
        line["email"], line["email_key"] = contact.email_text, None
    if contact.cellphone:
        line["cellphone"] = contact.cellphone
    elif contact.cellphone_text:
        line["cellphone_text"] = contact.cellphone_text
    if direct := contact.texts.get("direct"):
        line["direct"] = _number(direct, default_country)
    return line


def _number(text: str, default_country: str) -> str:
    try:
        return normalise_phone(text, default_country)
    except InvalidPhone:
        return text  # extensions such as "123" are no numbers, but of use to who calls


def extra_values(contact: ContactRow, kinds: Kinds) -> tuple[dict[str, Any], list[RowProblem]]:
    """Return the row's extra fields as their kinds have them, and a problem for each that is none; it is left out."""
    values: dict[str, Any] = {}
    problems: list[RowProblem] = []
    for name, text in contact.extra.items():
        kind, choices = kinds.get(name, ("text", []))
        value = _value(kind, tuple(choices), text)
        if value is None:
            wanted = _WANTED.get(kind) or f"one of its choices: {', '.join(choices[:20])}"
            detail = f"The extra field {name} takes {wanted}."
            problems.append(
                RowProblem(contact.row_number, f"extra.{name}", text[:60], "invalid_extra", detail, "warning")
            )
        else:
            values[name] = value
    return values, problems


@lru_cache(maxsize=4096)
def _value(kind: str, choices: tuple[str, ...], text: str) -> str | int | float | bool | None:
    match kind:
        case "number":
            return _quantity(text)
        case "boolean":
            return yes_or_no(text)
        case "date":
            return _day(text)
        case "choice":
            return next((choice for choice in choices if choice.casefold() == text.casefold()), None)
    return text


def _quantity(text: str) -> int | float | None:
    """Return a number as spreadsheets write it: thousands apart by spaces, full stops or commas, a decimal mark."""
    plain = re.sub(r"[\s\u00a0\u202f']", "", text)
    if "," in plain and "." in plain:
        thousands = min(",", ".", key=plain.rindex)  # the mark that comes last is the decimal one
        plain = plain.replace(thousands, "")
    plain = plain.replace(",", ".")
    if not _NUMBER.fullmatch(plain):
        return None
    return float(plain) if "." in plain else int(plain)


def _day(text: str) -> str | None:
    if iso := _ISO_DAY.fullmatch(text):
        year, month, day = iso[1], iso[2], iso[3]
    elif dotted := _DOTTED_DAY.fullmatch(text):
        day, month, year = dotted[1], dotted[2], dotted[3]
    else:
        return None
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None
