"""Whether a value fits its extra field. Pure; the declarations come from `extra_fields`."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from app.contacts.models import ExtraField, ExtraKind
from app.platform.errors import InvalidField

Declared = Mapping[str, ExtraField]
"""The extra fields of persons, or of companies, by name."""

NUMBER_LIMIT = 10**15  # below it a double keeps every whole number, and so does whoever reads the JSON
_LISTED = 20  # names or choices in one sentence; more is no help
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def extra_faults(values: Mapping[str, Any], declared: Declared) -> list[InvalidField]:
    """Return what is wrong with values of extra fields, each under `#/extra/<name>`, at most 20 of them.

    Null fits: it removes a value.
    """
    faults: list[InvalidField] = []
    for name, value in values.items():
        field = declared.get(name)
        fault = _unknown(name, declared) if field is None else None if value is None else misfit(field, value)
        if fault and len(faults) < _LISTED:
            faults.append(InvalidField(pointer=f"#/extra/{name}", detail=fault))
    return faults


def misfit(field: ExtraField, value: Any) -> str | None:
    """Return why a value does not fit its field, and what would; None when it does."""
    if _FITS[field.kind](field, value):
        return None
    wanted = _WANTED.get(field.kind) or f"one of its choices: {_some(field.choices)}"
    return f"{field.name} takes {wanted}."


def _is_number(value: Any) -> bool:
    """Tell whether JSON's readers keep the number; no comparison with NaN is true."""
    return type(value) in (int, float) and -NUMBER_LIMIT <= value <= NUMBER_LIMIT


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _unknown(name: str, declared: Declared) -> str:
    known = f"Declared are: {_some(sorted(declared))}." if declared else "None is declared yet."
    return f"There is no extra field {name}. {known} Declare it with POST /v1/extra-fields."


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


_FITS: Mapping[ExtraKind, Callable[[ExtraField, Any], bool]] = {
    ExtraKind.TEXT: lambda _, value: isinstance(value, str),
    ExtraKind.NUMBER: lambda _, value: _is_number(value),
    ExtraKind.BOOLEAN: lambda _, value: isinstance(value, bool),
    ExtraKind.DATE: lambda _, value: _is_date(value),
    ExtraKind.CHOICE: lambda field, value: isinstance(value, str) and value in field.choices,
}
_WANTED = {
    ExtraKind.TEXT: 'text, in quotes: "38"',
    ExtraKind.NUMBER: "a number of up to 15 digits, without quotes: 38",
    ExtraKind.BOOLEAN: "true or false, without quotes",
    ExtraKind.DATE: 'a date: "2026-11-24" (ISO 8601)',
}
