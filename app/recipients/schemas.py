"""What the API takes and shows of sources and recipients."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.consent.models import BlockReason, LegalBasis
from app.consent.schemas import ConsentOut
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


class ProjectSourceIn(BaseModel):
    """The members of a project."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"kind": "project", "project_id": 5}]})

    kind: Literal[SourceKind.PROJECT]
    project_id: int


class CompanySourceIn(BaseModel):
    """A company: itself with `include_companies` and an address, else its persons (D22)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"kind": "company", "company_id": 8}]})

    kind: Literal[SourceKind.COMPANY]
    company_id: int


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


Source = SelectionSourceIn | ProjectSourceIn | PersonSourceIn | CompanySourceIn | AddressesSourceIn
SourceIn = Annotated[Source, Field(discriminator="kind")]


class SourceOut(BaseModel):
    """A source of recipients."""

    id: int
    kind: SourceKind
    label: str = Field(description="The name, at adding, of what it brings; stays when that is deleted")
    associated: bool = Field(description="It is the mailing's associated selection or project (D19)")
    selection_id: int | None = Field(description="null too once the selection is deleted: it brings nobody then")
    project_id: int | None
    person_id: int | None
    company_id: int | None
    import_id: int | None
    addresses: int | None = Field(description="How many addresses were pasted or imported")
    consent_basis: str | None
    consent_source: str | None
    consent_date: date | None
    created_at: datetime


class RecipientOut(BaseModel):
    """One line of a mailing's recipient list."""

    id: int
    person_id: int | None
    company_id: int | None = Field(description="The line is the company's own, and no person's (D22)")
    name: str
    email: str
    mobile: str | None = Field(description="E.164: the person's, else the one that was imported with the address (D17)")
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


class WhySource(BaseModel):
    """The source that brought a recipient; of several, the one that was added first."""

    id: int
    kind: SourceKind
    label: str = Field(description="Name of what it brought when it was added; it stays when that is gone")
    associated: bool = Field(description="Whether it is the mailing's associated selection or project (D19)")
    selection_id: int | None
    selection_name: str | None = Field(description="What the selection is called by now; null when it is gone")
    stated_consent: StatedConsent | None = Field(description="What was stated when the addresses were pasted (D20)")
    added_at: datetime


class WhySubscription(BaseModel):
    """The subscription a recipient rests on."""

    subscription_type_id: int | None = Field(description="null for a mailing to *Any*, once it is not known any more")
    name: str | None
    subscribed_at: datetime


class WhyOverride(BaseModel):
    """That the mailing overrides consent (D21)."""

    by: str | None = Field(description="The API key that asked for it")
    reason: str | None
    needed: bool = Field(description="Whether this recipient is on the list only because of it")


class WhyBlockedAddress(BaseModel):
    """The entry of blocked addresses that keeps a recipient out."""

    reason: BlockReason
    origin: str
    blocked_at: datetime


class Why(BaseModel):
    """Why a recipient is on the list, or gets nothing although on it (D25)."""

    recipient_id: int
    person_id: int | None
    person_exists: bool = Field(description="false once the person is deleted; the ledger stays")
    company_id: int | None = Field(description="The line is the company's own (D22)")
    merge_data: Literal["person", "company", "line"] = Field(
        description="Whose fields fill the merge tags; a line that matches nobody has a name and an address only (D13)"
    )
    name: str
    email: str
    status: RecipientStatus
    reason: BlockedReason | None
    explanation: str = Field(description="All of it in words, for a data subject's question")
    source: WhySource | None = Field(description="null once the source is gone")
    consent: ConsentOut | None = Field(
        description="The ledger line it rests on; without one, the withdrawal that was the last word"
    )
    subscription: WhySubscription | None
    override: WhyOverride | None = Field(description="null when the mailing does not override consent")
    blocked_address: WhyBlockedAddress | None
