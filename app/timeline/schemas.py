"""Entries of a timeline as the API shows them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from app.actions.models import ActionKind, FollowUpType, Priority, RunState
from app.consent.models import ConsentAction, LegalBasis
from app.tracking.models import Verdict


class EntryKind(StrEnum):
    """What happened."""

    SENT = "sent"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    BOUNCED = "bounced"
    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    CONSENT = "consent"
    SUBSCRIPTION = "subscription"
    ACTION = "action"
    FOLLOW_UP = "follow_up"
    REQUEST = "request"


class VerdictFilter(StrEnum):
    """Whose opens and clicks are wanted (D45)."""

    HUMAN = "human"
    MACHINE = "machine"
    ANY = "any"


class MailingRef(BaseModel):
    """The mailing it was about."""

    id: int
    name: str | None = Field(description="null once the mailing is deleted")


class LinkRef(BaseModel):
    """A link of the library."""

    id: int
    name: str | None = Field(description="null once the link is deleted")


class _Entry(BaseModel):
    moment: datetime = Field(description="When it happened")
    id: int = Field(description="Of entries of one kind and moment, each has its own")


class _MailingEntry(_Entry):
    mailing: MailingRef
    recipient_id: int = Field(description="The person's line in the mailing's list")


class LineEntry(_MailingEntry):
    """What became of a message: it was sent, or not; it came back; the reader unsubscribed by it, or complained."""

    kind: Literal["sent", "failed", "unconfirmed", "bounced", "unsubscribed", "complained"]
    bounce: str | None = Field(default=None, description="`hard` or `soft`, of what bounced")
    code: int | None = Field(default=None, description="The server's last reply, where it was not sent")
    reply: str | None = Field(default=None, description="Its words")


class EngagementEntry(_MailingEntry):
    """The message was opened, or a link in it followed."""

    kind: Literal["open", "click"]
    verdict: Verdict
    reasons: list[str] = Field(description="Why it is a machine's")
    target: str | None = Field(default=None, description="Where a link leads, as stored; it may hold merge tags")
    link: LinkRef | None = Field(default=None, description="The link of the library that it is one to")


class ConsentEntry(_Entry):
    """A line of the consent ledger was written."""

    kind: Literal["consent"]
    purpose: str
    action: ConsentAction
    legal_basis: LegalBasis
    source: str
    valid_from: datetime
    valid_until: datetime | None


class SubscriptionEntry(_Entry):
    """A subscription type was answered with yes or no."""

    kind: Literal["subscription"]
    subscription_type_id: int
    subscription_type: str | None = Field(description="Its name; null once it is deleted")
    subscribed: bool
    source: str | None = Field(description="Who said so; null for answers that others followed")


class ActionEntry(_MailingEntry):
    """A click set an action of its link going; the moment is the click's."""

    kind: Literal["action"]
    action: ActionKind
    state: RunState
    detail: str | None = Field(description="What came of it, in words")
    tried_at: datetime | None
    link: LinkRef


class _CollectedEntry(_MailingEntry):
    link: LinkRef
    owner_name: str | None
    owner_email: str | None
    taken_over_at: datetime | None = Field(description="When the CRM took it over")
    external_id: str | None


class FollowUpEntry(_CollectedEntry):
    """A click made a task or an appointment."""

    kind: Literal["follow_up"]
    type: FollowUpType
    description: str


class RequestEntry(_CollectedEntry):
    """A click made a request for the CRM's service."""

    kind: Literal["request"]
    title: str
    priority: Priority
    category: str | None


AnyEntry = Annotated[
    LineEntry | EngagementEntry | ConsentEntry | SubscriptionEntry | ActionEntry | FollowUpEntry | RequestEntry,
    Field(discriminator="kind"),
]


class TimelineEntry(RootModel[AnyEntry]):
    """Something that happened with a person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "moment": "2026-11-24T09:30:00Z", "kind": "click", "id": 981, "recipient_id": 4711,
                    "mailing": {"id": 12, "name": "Newsletter 11"}, "verdict": "human", "reasons": [],
                    "target": "https://www.nordlys.example/prices", "link": {"id": 3, "name": "Price list"},
                },
                {
                    "moment": "2026-11-24T08:00:00Z", "kind": "sent", "id": 4711, "recipient_id": 4711,
                    "mailing": {"id": 12, "name": "Newsletter 11"},
                },
            ]
        }
    )  # fmt: skip
