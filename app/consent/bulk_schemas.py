"""What the API takes and shows of many persons' consents and subscriptions."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.consent.schemas import ConsentIn
from app.contacts.texts import Name
from app.platform.bulk import AS_IT_CAME, BULK_LIMIT
from app.platform.errors import InvalidField

_LINE: dict[str, Any] = {
    "external_id": "CRM-100001", "purpose": "e_marketing", "action": "given", "source": "CRM",
    "valid_from": "2026-11-01T09:30:00Z",
}  # fmt: skip
_ANSWER: dict[str, Any] = {"external_id": "CRM-100001", "subscription_type_id": 1, "subscribed": True}

PersonId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class ConsentBulkItem(ConsentIn):
    """A line for a person's ledger; the person is named by `person_id` or by `external_id`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_LINE]})

    person_id: PersonId | None = None
    external_id: Name | None = None


class SubscriptionBulkItem(BaseModel):
    """A person's yes or no; the person is named by `person_id` or by `external_id`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ANSWER]})

    person_id: PersonId | None = None
    external_id: Name | None = None
    subscription_type_id: PersonId
    subscribed: bool


class ConsentBulk(BaseModel):
    """Lines for persons' ledgers. Each item is checked by itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"only_changes": True, "items": [_LINE]}]}
    )

    only_changes: bool = Field(
        default=False,
        description="Leave out lines that would change no state, so that a daily sync does not swell the ledger",
    )
    items: list[Annotated[ConsentBulkItem, AS_IT_CAME]] = Field(min_length=1, max_length=BULK_LIMIT)


class SubscriptionBulk(BaseModel):
    """Persons' answers to subscription types. Each item is checked by itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"source": "CRM", "items": [_ANSWER]}]})

    source: Name = "api"
    items: list[Annotated[SubscriptionBulkItem, AS_IT_CAME]] = Field(min_length=1, max_length=BULK_LIMIT)


class RecordedStatus(StrEnum):
    """What became of one item."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class RecordedOutcome(BaseModel):
    """What became of one item."""

    index: int = Field(description="Place of the item in the request, from 0")
    status: RecordedStatus
    person_id: int | None = Field(description="Null when the item failed")
    consent_id: int | None = Field(default=None, description="The line that was appended")
    errors: list[InvalidField] | None = Field(default=None, description="What is wrong, by JSON pointer")


class RecordedOut(BaseModel):
    """What became of each item, in the order of the request."""

    recorded: int
    unchanged: int
    failed: int
    items: list[RecordedOutcome]
