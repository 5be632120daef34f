"""Events as the API shows them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.webhooks.models import EventType

EVENT: dict[str, Any] = {
    "id": 812, "type": "person.updated", "occurred_at": "2026-11-24T09:30:00Z",
    "data": {"person_id": 17, "external_id": "crm-4711", "fields": ["city", "email"]},
}  # fmt: skip


class EventOut(BaseModel):
    """Something that happened."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENT]})

    id: int = Field(description="Its place in the feed; grows by one from event to event")
    type: EventType
    occurred_at: datetime
    data: dict[str, Any] = Field(description="Ids of what it is about, never names or addresses")


class EventsOut(BaseModel):
    """A piece of the feed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [EVENT], "last_id": 812, "more": False}]})

    items: list[EventOut]
    last_id: int = Field(description="Pass as `after` the next time, also when there were no items")
    more: bool = Field(description="There are more events already")
