"""Time: aware, UTC, from one place."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def within_reach(moment: datetime) -> datetime:
    """Return an aware time, in UTC; raises ValueError for one that UTC does not have, at both ends of the calendar."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from error


Instant = Annotated[AwareDatetime, AfterValidator(within_reach)]
"""A time with its offset, as callers give it; in UTC once it is read."""
