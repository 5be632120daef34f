"""What criteria compare with: text, numbers, dates, days counted from today, and lists."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.contacts.texts import TEXT_LIMIT

MAX_ITEMS = 1_000
"""Values in a list; more than that is a static selection."""

MAX_DAYS = 36_525
"""A hundred years, either way."""

MAX_NUMBER = 10**15
"""Beyond it, JSON readers that keep numbers as doubles lose whole ones."""


def fault_of(code: str, sentence: str) -> PydanticCustomError:
    """Return a fault that reads as this sentence; put in as a value, since braces would be places to fill."""
    return PydanticCustomError(code, "{sentence}", {"sentence": sentence})


def fault_at(location: tuple[str | int, ...], fault: PydanticCustomError, value: Any) -> ValidationError:
    """Return a fault at a place inside what is being read; the value itself may be personal data, and stays out."""
    return ValidationError.from_exception_data(
        "criteria", [InitErrorDetails(type=fault, loc=location, input=type(value).__name__)]
    )


def clean(text: str) -> str:
    """Return text that PostgreSQL can compare with; raises ValueError for what no field can hold."""
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("NUL and lone surrogates are no text; send it without them.")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LIMIT), AfterValidator(clean)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True)]


class Node(BaseModel):
    """A criterion."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class DaysAgo(Node):
    """The day so many days before today, in UTC; evaluated each time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"days_ago": 30}]})

    days_ago: Annotated[int, Field(ge=0, le=MAX_DAYS, strict=True)]


class DaysFromNow(Node):
    """The day so many days after today, in UTC; evaluated each time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"days_from_now": 14}]})

    days_from_now: Annotated[int, Field(ge=0, le=MAX_DAYS, strict=True)]


_DATES = 'a day such as 2026-11-24, a time such as 2026-11-24T12:00:00Z, or {"days_ago": 30}'
_YEARS = (1, 9998)  # the day after is still one
_DAYS: dict[str, type[DaysAgo] | type[DaysFromNow]] = {"days_ago": DaysAgo, "days_from_now": DaysFromNow}


def read_moment(raw: Any) -> "date | datetime | DaysAgo | DaysFromNow":
    """Return what a date in criteria means; raises ValueError that says what would be right."""
    if isinstance(raw, DaysAgo | DaysFromNow):
        return raw
    if isinstance(raw, dict) and len(raw) == 1 and (name := next(iter(raw))) in _DAYS:
        return _DAYS[name].model_validate(raw)
    if not isinstance(raw, str) or len(raw) > 40:
        raise ValueError(f"Send {_DATES}.")
    try:
        found = date.fromisoformat(raw) if len(raw) == 10 else datetime.fromisoformat(raw)
        if not isinstance(found, datetime):
            if _YEARS[0] <= found.year <= _YEARS[1]:
                return found
        elif found.tzinfo is not None and _YEARS[0] < found.year <= _YEARS[1]:
            return found
    except ValueError:
        pass
    raise ValueError(f"This is no date that can be compared with; send {_DATES} (times with their offset).")


def _keep_moment(raw: Any, _: Any) -> Any:
    found = read_moment(raw)
    return found if isinstance(found, Node) else raw


Moment = Annotated[
    Annotated[str, Field(max_length=40)] | DaysAgo | DaysFromNow,
    Field(description=f"Send {_DATES}. A day and `days_ago` mean the day's beginning in UTC"),
    WrapValidator(_keep_moment),
]


class Operator(StrEnum):
    """How a field is compared. Which ones a field knows follows from its kind; see the decision record."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IS_EMPTY = "is_empty"
    IS_NOT_EMPTY = "is_not_empty"


def _read_scalar(raw: Any) -> Any:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int | float):
        if not -MAX_NUMBER <= raw <= MAX_NUMBER:  # nan is not either
            raise ValueError(f"Numbers are between -{MAX_NUMBER} and {MAX_NUMBER}.")
        return raw
    if isinstance(raw, str):
        if not 1 <= len(raw) <= TEXT_LIMIT:
            raise ValueError(f"Text has 1 to {TEXT_LIMIT} characters; for an empty field, the operator is `is_empty`.")
        return clean(raw)
    raise ValueError("A value is text, a number, true or false.")


def _read_value(raw: Any, _: Any) -> Any:
    if isinstance(raw, list):
        if not 1 <= len(raw) <= MAX_ITEMS:
            raise fault_of("list_size", f"A list has 1 to {MAX_ITEMS} values; put more into a static selection.")
        for place, item in enumerate(raw):
            try:
                _read_scalar(item)
            except ValueError as error:
                raise fault_at((place,), fault_of("value", str(error)), item) from error
        return raw
    if isinstance(raw, dict):
        return read_moment(raw)
    return _read_scalar(raw)


Scalar = bool | int | float | Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT)]
Value = Annotated[
    Scalar | DaysAgo | DaysFromNow | Annotated[list[Scalar], Field(min_length=1, max_length=MAX_ITEMS)],
    WrapValidator(_read_value),
]


class Comparison(Node):
    """A field, an operator and what the field is compared with."""

    operator: Operator
    value: Value | None = Field(
        default=None,
        description=(
            "Text (compared whatever its case), a number, true or false, a date, an id; a list for `in` and `not_in`; "
            "left out for `is_empty` and `is_not_empty`"
        ),
    )
