"""Which operators a field knows, and what it can be compared with: that follows from its kind."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from app.audience.criteria import CompanyField, PersonField
from app.audience.criteria_values import DaysAgo, DaysFromNow, Operator, read_moment
from app.contacts.models import ExtraKind


class FieldKind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    CHOICE = "choice"
    NUMBER = "number"
    BOOLEAN = "boolean"
    FLAG = "flag"
    """True or false, and never empty."""
    DATE = "date"
    TIME = "time"
    KEY = "key"


PERSON_KINDS: dict[PersonField, FieldKind] = dict.fromkeys(PersonField, FieldKind.TEXT) | {
    PersonField.ID: FieldKind.KEY,
    PersonField.COMPANY_ID: FieldKind.KEY,
    PersonField.EMAIL_VALID: FieldKind.FLAG,
    PersonField.FORMER_EMPLOYEE: FieldKind.FLAG,
    PersonField.CREATED_AT: FieldKind.TIME,
    PersonField.UPDATED_AT: FieldKind.TIME,
}
COMPANY_KINDS: dict[CompanyField, FieldKind] = dict.fromkeys(CompanyField, FieldKind.TEXT) | {
    CompanyField.ID: FieldKind.KEY,
    CompanyField.CREATED_AT: FieldKind.TIME,
    CompanyField.UPDATED_AT: FieldKind.TIME,
}
EXTRA_KINDS: dict[ExtraKind, FieldKind] = {kind: FieldKind(kind.value) for kind in ExtraKind}

_EQUAL = (Operator.EQ, Operator.NE)
_LISTS = (Operator.IN, Operator.NOT_IN)
_ORDER = (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)
_EMPTY = (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY)
_PARTS = (Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)
OPERATORS: dict[FieldKind, tuple[Operator, ...]] = {
    FieldKind.TEXT: (*_EQUAL, *_LISTS, *_PARTS, *_EMPTY),
    FieldKind.CHOICE: (*_EQUAL, *_LISTS, *_EMPTY),
    FieldKind.NUMBER: (*_EQUAL, *_LISTS, *_ORDER, *_EMPTY),
    FieldKind.BOOLEAN: (*_EQUAL, *_EMPTY),
    FieldKind.FLAG: _EQUAL,
    FieldKind.DATE: (*_EQUAL, *_ORDER, *_EMPTY),
    FieldKind.TIME: (*_EQUAL, *_ORDER),
    FieldKind.KEY: (*_EQUAL, *_LISTS, *_EMPTY),
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_key(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _moment(value: Any) -> date | datetime | DaysAgo | DaysFromNow | None:
    try:
        return read_moment(value)
    except ValueError:
        return None


def _is_time(value: Any) -> bool:
    return _moment(value) is not None


def _is_day(value: Any) -> bool:
    found = _moment(value)
    return found is not None and not isinstance(found, datetime)


_DAY = 'a day such as "2026-11-24", or {"days_ago": 30}'
_FITS: dict[FieldKind, tuple[Callable[[Any], bool], str]] = {
    FieldKind.TEXT: (_is_text, "text"),
    FieldKind.CHOICE: (_is_text, "text"),
    FieldKind.NUMBER: (_is_number, "a number"),
    FieldKind.BOOLEAN: (_is_flag, "true or false"),
    FieldKind.FLAG: (_is_flag, "true or false"),
    FieldKind.DATE: (_is_day, _DAY),
    FieldKind.TIME: (_is_time, f'{_DAY}, or a time such as "2026-11-24T12:00:00Z"'),
    FieldKind.KEY: (_is_key, "an id"),
}


Place = tuple[str | int, ...]


def misfit(kind: FieldKind, operator: Operator, value: Any, *, choices: Sequence[str] = ()) -> tuple[Place, str] | None:
    """Return what is wrong with a comparison, and where inside it; None when it makes sense."""
    known = OPERATORS[kind]
    if operator not in known:
        return ("operator",), f"A {kind.value} field knows {', '.join(f'`{each.value}`' for each in known)}."
    if operator in _EMPTY:
        return None if value is None else (("value",), f"`{operator.value}` takes no value; leave it out.")
    if value is None:
        return ("value",), f"`{operator.value}` needs a value."
    if operator not in _LISTS:
        wrong = _wrong(kind, value, choices)
        return (("value",), wrong) if wrong else None
    if not isinstance(value, list):
        return ("value",), f"`{operator.value}` takes a list."
    found = ((place, _wrong(kind, item, choices)) for place, item in enumerate(value))
    return next(((("value", place), wrong) for place, wrong in found if wrong), None)


def _wrong(kind: FieldKind, value: Any, choices: Sequence[str]) -> str | None:
    fits, wanted = _FITS[kind]
    if not fits(value):
        return f"This field is compared with {wanted}."
    if kind is FieldKind.CHOICE and value.lower() not in {choice.lower() for choice in choices}:
        return f"This is none of the field's choices: {', '.join(choices)}."
    return None
