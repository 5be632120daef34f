"""What the API takes of schedules (D27)."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.contacts.schemas import TimeZone

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_EXAMPLES = "such as 2026-12-01T09:00:00+01:00, or without an offset 2026-12-01T09:00 together with time_zone"


def _moment(value: Any) -> Any:
    """Read a date-time with or without an offset; numbers, dates alone and other notations are refused."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError(f"write a date and time, {_EXAMPLES}")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise ValueError(f"there is no such date or time ({error}); write one {_EXAMPLES}") from error


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": f"^{_MOMENT.pattern}$", "maxLength": 40}),
]


class ScheduleIn(BaseModel):
    """When a mailing is to be sent: at one moment, or when clocks show that time where each recipient is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"send_at": "2026-12-01T09:00", "time_zone": "Europe/Oslo", "send_before": "2026-12-01T12:00"},
                {"send_at": "2026-12-01T09:00:00+01:00"},
                {"send_at": "2026-12-01T09:00", "time_zone": "Europe/Oslo", "recipient_local_time": True},
            ]
        },
    )

    send_at: Moment = Field(
        description="RFC 3339, or a local date-time without offset, which `time_zone` gives its meaning"
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description=(
            "IANA. Of times without an offset; with `recipient_local_time`, also of recipients whose own is not known"
        ),
    )
    recipient_local_time: bool = Field(
        default=False, description="Each recipient gets it when it is `send_at` in their own time zone"
    )
    send_before: Moment | None = Field(
        default=None,
        description=(
            "What has not begun by then is not sent any more. Without it, a mailing that is overdue (because no worker "
            "ran) is sent as soon as one runs. In recipients' own time if `send_at` is"
        ),
    )
