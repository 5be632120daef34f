"""What the API takes and shows of sources and recipients."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.consent.models import LegalBasis
from app.recipients.models import BlockedReason, RecipientStatus, SourceKind

MAX_ADDRESSES = 10_000  # pasted at once; more is an import


class StatedConsent(BaseModel):
    """The statement that consent was given for addresses that match no person (D20); kept in the ledger."""

    model_config = ConfigDict(extra="forbid")

    legal_basis: LegalBasis
    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]
    given_on: date


class SelectionSourceIn(BaseModel):
    """The members of a selection."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"kind": "selection", "selection_id": 3}]}
    )

    kind: Literal[SourceKind.SELECTION]
    selection_id: int


class PersonSourceIn(BaseModel):
    """One person."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"kind": "person", "person_id": 12}]})

    kind: Literal[SourceKind.PERSON]
    person_id: int


class AddressesSourceIn(BaseModel):
    """Pasted addresses, one in each string: `ola@example.com` or `Ola Nordmann <ola@example.com>`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "addresses", "addresses": ["Ola Nordmann <ola@example.com>"]}]},
    )

    kind: Literal[SourceKind.ADDRESSES]
    addresses: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]] = Field(
        min_length=1, max_length=MAX_ADDRESSES
    )
    consent: StatedConsent | None = Field(
        default=None, description="Without it, addresses that match no person are excluded"
    )


SourceIn = Annotated[SelectionSourceIn | PersonSourceIn | AddressesSourceIn, Field(discriminator="kind")]


class SourceOut(BaseModel):
    """A source of recipients."""

    id: int
    kind: SourceKind
    selection_id: int | None
    person_id: int | None
    addresses: int | None = Field(description="How many addresses were pasted")
    consent_basis: str | None
    consent_source: str | None
    consent_date: date | None
    created_at: datetime


class RecipientOut(BaseModel):
    """One line of a mailing's recipient list."""

    id: int
    person_id: int | None
    name: str
    email: str
    status: RecipientStatus
    reason: BlockedReason | None = Field(description="Why it is blocked")
    source_id: int | None
    attempts: int
    code: int | None = Field(description="The last SMTP reply code")
    reply: str | None = Field(description="The receiving server's words")
    bounce: Literal["hard", "soft"] | None
    due_at: datetime | None = Field(description="When a deferred message is tried again")
    sent_at: datetime | None
    opened_at: datetime | None = Field(description="First open by a human")
    machine_opened_at: datetime | None
    clicked_at: datetime | None = Field(description="First click by a human")
    machine_clicked_at: datetime | None
    unsubscribed_at: datetime | None
    complained_at: datetime | None
    bounced_at: datetime | None


class ListCounts(BaseModel):
    """The list's size and its lines by status; the statuses always sum to the total (D24)."""

    total: int
    by_status: dict[RecipientStatus, int]
    blocked_by_reason: dict[BlockedReason, int]
