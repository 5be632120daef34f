"""What the API takes and shows of consent, subscriptions and blocked addresses."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from app.consent.models import BlockReason, ConsentAction, LegalBasis, Purpose
from app.contacts.addresses import clean_text

TEXT_LIMIT = 500


def _clean(text: str) -> str:
    return clean_text(text, TEXT_LIMIT)


Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT), AfterValidator(_clean)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)]
Source = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)]

_TYPE: dict[str, Any] = {"name": "Nyhetsbrev", "description": "Once a month"}
_CONSENT: dict[str, Any] = {
    "purpose": "e_marketing", "action": "given", "source": "web shop, order 4711", "text_version": "2026-01",
    "valid_from": "2026-11-01T09:30:00Z",
}  # fmt: skip


class SubscriptionTypeIn(BaseModel):
    """A subscription type to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_TYPE]})

    name: Name
    description: Text | None = None


class SubscriptionTypePatch(BaseModel):
    """Changes to a subscription type (JSON merge patch)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"description": None}]})

    name: Name = "-"
    description: Text | None = None


class SubscriptionTypeOut(BaseModel):
    """The kind of mailing a person says yes to."""

    id: int
    name: str
    description: str | None
    created_at: datetime


class ConsentIn(BaseModel):
    """A line for the ledger: consent given or withdrawn."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_CONSENT]})

    purpose: Purpose
    action: ConsentAction
    legal_basis: LegalBasis = LegalBasis.CONSENT
    source: Source = Field(description="Where it was given or withdrawn")
    text_version: Text | None = Field(default=None, description="Which wording the person saw")
    valid_from: AwareDatetime | None = Field(
        default=None, description="Since when; now when left out. An older line than the newest changes nothing"
    )


class ConsentOut(BaseModel):
    """A line of the ledger."""

    id: int
    purpose: Purpose
    action: ConsentAction
    legal_basis: LegalBasis
    source: str
    text_version: str | None
    valid_from: datetime
    recorded_by: str | None
    created_at: datetime


class SubscriptionIn(BaseModel):
    """A yes or no to a subscription type."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"subscription_type_id": 1, "subscribed": True}]}
    )

    subscription_type_id: int = Field(ge=1, le=2**63 - 1)
    subscribed: bool


class SubscriptionsIn(BaseModel):
    """A person's answers. Types that are not named stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"source": "CRM", "items": [{"subscription_type_id": 1, "subscribed": True}]}]},
    )

    source: Source = "api"
    items: list[SubscriptionIn] = Field(max_length=1000)


class SubscriptionOut(BaseModel):
    """A person's answer to a subscription type; `subscribed` is null where the person was never asked."""

    subscription_type_id: int
    name: str
    subscribed: bool | None
    source: str | None
    changed_at: datetime | None


class SubscriptionsOut(BaseModel):
    """A person's answers to every subscription type."""

    items: list[SubscriptionOut]


class BlockedAddressIn(BaseModel):
    """An address to block by hand."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": "ola@nordlys.example", "origin": "asked by phone"}]}
    )

    email: Annotated[str, StringConstraints(max_length=500)]
    origin: Source = "manual"


class BlockedAddressOut(BaseModel):
    """An address no mailing may go to."""

    id: int
    email: str
    reason: BlockReason
    origin: str
    mailing_id: int | None
    created_at: datetime
