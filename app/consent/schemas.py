"""What the API takes and shows of consent and subscriptions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.consent.models import ConsentAction, LegalBasis
from app.contacts.schemas import Language
from app.contacts.texts import Name, Text
from app.platform.clock import Instant

PurposeKey = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="Key of a purpose, built in (e_marketing, track_opens, track_clicks) or of your own",
    ),
]

_TYPE: dict[str, Any] = {"external_id": "TYPE-3", "name": "Nyhetsbrev", "description": "Once a month"}
_PURPOSE: dict[str, Any] = {"key": "surveys", "name": "Surveys", "valid_months": 24}
_CONSENT: dict[str, Any] = {
    "purpose": "e_marketing", "action": "given", "source": "web shop, order 4711", "text_version": "2026-01",
    "language": "nb", "evidence": "https://shop.example/orders/4711", "valid_from": "2026-11-01T09:30:00Z",
    "valid_until": "2028-11-01T00:00:00Z",
}  # fmt: skip


class PurposeIn(BaseModel):
    """A purpose to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_PURPOSE]})

    key: PurposeKey
    name: Name
    description: Text | None = None
    valid_months: int | None = Field(
        default=None, ge=1, le=1200, description="How long a yes holds, in months; for ever when left out"
    )


class PurposePatch(BaseModel):
    """Changes to a purpose (JSON merge patch); its key stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"valid_months": 24}]})

    name: Name = "-"
    description: Text | None = None
    valid_months: int | None = Field(default=None, ge=1, le=1200, description="For yeses recorded from now on")


class PurposeOut(BaseModel):
    """What persons and companies can consent to."""

    key: str
    name: str
    description: str | None
    valid_months: int | None = Field(description="How long a yes holds, in months; null: for ever")
    built_in: bool = Field(description="The service itself asks about it; it cannot be deleted")
    created_at: datetime


class PurposesOut(BaseModel):
    """All purposes, the built-in ones first."""

    items: list[PurposeOut]


class SubscriptionTypeIn(BaseModel):
    """A subscription type to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_TYPE]})

    external_id: Name | None = Field(default=None, description="What the CRM calls it")
    name: Name
    description: Text | None = None


class SubscriptionTypePatch(BaseModel):
    """Changes to a subscription type (JSON merge patch)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"description": None}]})

    external_id: Name | None = None
    name: Name = "-"
    description: Text | None = None


class SubscriptionTypeOut(BaseModel):
    """The kind of mailing a person says yes to."""

    id: int
    external_id: str | None
    name: str
    description: str | None
    created_at: datetime


class ConsentIn(BaseModel):
    """A line for the ledger: consent given or withdrawn."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_CONSENT]})

    purpose: PurposeKey
    action: Literal[ConsentAction.GIVEN, ConsentAction.WITHDRAWN]
    legal_basis: LegalBasis = LegalBasis.CONSENT
    source: Name = Field(description="Where it was given or withdrawn")
    text_version: Text | None = Field(default=None, description="Which wording the person saw")
    language: Language | None = Field(default=None, description="In which language the wording was shown (BCP 47)")
    evidence: Text | None = Field(default=None, description="What proves it, such as a form's URL or a scan's number")
    valid_from: Instant | None = Field(
        default=None, description="Since when; now when left out. An older line than the newest changes nothing"
    )
    valid_until: Instant | None = Field(
        default=None, description="Until when a yes holds; as long as its purpose says when left out"
    )


class ConsentOut(BaseModel):
    """A line of the ledger, of a person, a company or an address."""

    id: int
    person_id: int | None = None
    company_id: int | None = None
    purpose: str
    action: ConsentAction
    legal_basis: LegalBasis
    source: str
    text_version: str | None
    language: str | None = None
    evidence: str | None = None
    valid_from: datetime
    valid_until: datetime | None = None
    recorded_by: str | None
    created_at: datetime


class ConsentStateValue(StrEnum):
    """What the ledger comes to."""

    UNKNOWN = "unknown"
    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class ConsentStateOut(BaseModel):
    """What the ledger says now about one purpose."""

    purpose: str
    name: str
    state: ConsentStateValue = Field(description="unknown: never asked. Only given is a yes")
    since: datetime | None
    until: datetime | None = Field(description="When the yes runs out, or ran out; null: never")
    consent_id: int | None = Field(description="The line that it rests on")


class ConsentStatesOut(BaseModel):
    """What the ledger says now, for every purpose."""

    items: list[ConsentStateOut]


class ExpiringOut(BaseModel):
    """A person whose yes runs out, or ran out."""

    person_id: int
    external_id: str | None
    name: str
    email: str | None
    since: datetime
    until: datetime
    expired: bool
    consent_id: int = Field(description="The line that the state rests on: the yes, or that it expired")


class ExpiringPage(BaseModel):
    """One page of the re-permission list."""

    items: list[ExpiringOut]
    next_cursor: str | None = Field(description="Pass as `cursor` to get the next page; null on the last one")
    total: int | None = Field(default=None, description="With include=total: how many there are")


class SubscriptionIn(BaseModel):
    """A yes or no to a subscription type."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"subscription_type_id": 1, "subscribed": True}]}
    )

    subscription_type_id: int = Field(ge=1, le=2**63 - 1)
    subscribed: bool


class SubscriptionsIn(BaseModel):
    """Answers of a person or a company. Types that are not named stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"source": "CRM", "items": [{"subscription_type_id": 1, "subscribed": True}]}]},
    )

    source: Name = "api"
    items: list[SubscriptionIn] = Field(max_length=1000)


class SubscriptionOut(BaseModel):
    """An answer to a subscription type; `subscribed` is null where it was never asked for."""

    subscription_type_id: int
    name: str
    subscribed: bool | None
    source: str | None
    changed_at: datetime | None


class SubscriptionsOut(BaseModel):
    """The answers to every subscription type."""

    items: list[SubscriptionOut]
