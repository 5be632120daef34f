"""Webhooks as the API takes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.webhooks.models import DeliveryState, EventType

Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
Types = Annotated[list[EventType], Field(max_length=len(EventType), description="Which events; none for all")]


class WebhookIn(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://crm.example.com/hooks/budstikke", "types": ["consent.withdrawn"]}]
        },
    )

    url: Url
    types: Types = []
    description: Text | None = None


class WebhookPatch(BaseModel):
    """What is to change of a webhook."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": True}]})

    url: Url = Field(default_factory=str)  # not in the document: what is not sent stays
    types: Types = []
    description: Text | None = None
    enabled: bool = Field(default=True, description="Enabling leaves out what happened while it was disabled")


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: int
    url: str
    types: list[EventType]
    description: str | None
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime


class NewWebhook(WebhookOut):
    """A webhook with its secret, which is shown once."""

    secret: str | None = Field(
        description="`whsec_…`, to check signatures with; null where an Idempotency-Key replays the answer"
    )


class DeliveryOut(BaseModel):
    """An event on its way to a webhook."""

    id: int
    webhook_id: int
    event_id: int | None = Field(description="Its place in the feed; null for a test")
    state: DeliveryState
    attempts: int
    due_at: datetime = Field(description="When it is tried next, while it waits")
    tried_at: datetime | None
    status: int | None = Field(description="HTTP status of the last try")
    error: str | None = Field(description="Why the last try failed")
    created_at: datetime
