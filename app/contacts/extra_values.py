"""Whether a value fits its extra field. Pure; the declarations come from `extra_fields`."""

import math
import re
from collections.abc import Iterator, Mapping
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
    """Return what is wrong with values of extra fields, each under `#/extra/<name>`. Null fits: it removes one."""
    return list(_faults(values, declared))


def _faults(values: Mapping[str, Any], declared: Declared) -> Iterator[InvalidField]:
    for name, value in values.items():
        field = declared.get(name)
        if field is None:
            yield InvalidField(pointer=f"#/extra/{name}", detail=_unknown(name, declared))
        elif value is not None and (fault := misfit(field, value)):
            yield InvalidField(pointer=f"#/extra/{name}", detail=fault)


def misfit(field: ExtraField, value: Any) -> str | None:
    """Return why a value does not fit its field, and what would; None when it does."""
    match field.kind:
        case ExtraKind.TEXT:
            fits, wanted = isinstance(value, str), 'text, in quotes: "38"'
        case ExtraKind.NUMBER:
            fits, wanted = _is_number(value), "a number of up to 15 digits, without quotes: 38"
        case ExtraKind.BOOLEAN:
            fits, wanted = isinstance(value, bool), "true or false, without quotes"
        case ExtraKind.DATE:
            fits, wanted = _is_date(value), 'a date: "2026-11-24" (ISO 8601)'
        case ExtraKind.CHOICE:
            fits, wanted = (
                isinstance(value, str) and value in field.choices,
                f"one of its choices: {_some(field.choices)}",
            )
    return None if fits else f"{field.name} takes {wanted}."


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        math.isfinite(value) and abs(value) <= NUMBER_LIMIT if isinstance(value, float) else abs(value) <= NUMBER_LIMIT
    )


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
