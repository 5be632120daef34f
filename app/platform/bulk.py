"""Many items in one request (api.md rule 7): each is checked by itself, and what is wrong with one stops no other."""

from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from app.platform.errors import InvalidField

BULK_LIMIT = 10_000


def _as_it_came(item: Any, _check: ValidatorFunctionWrapHandler) -> Any:
    return item


AS_IT_CAME = WrapValidator(_as_it_came)
"""Leaves an item of a list unchecked while the document tells what it should be: `Annotated[Item, AS_IT_CAME]`."""


def faults_in(error: ValidationError, *, under: str = "#") -> list[InvalidField]:
    """Return what is wrong with one item, by JSON pointers (RFC 6901) that begin with `under`."""
    return [
        InvalidField(
            pointer="/".join((under, *(str(part).replace("~", "~0").replace("/", "~1") for part in each["loc"]))),
            detail=each["msg"].removeprefix("Value error, "),
        )
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
