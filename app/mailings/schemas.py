"""What the API takes and shows of mailings."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, field_validator, model_validator

from app.contacts.addresses import InvalidEmail, normalise_email
from app.content.schemas import Key, Name, Subject, Written
from app.mailings.models import FromRule, MailingState, MailingType, ReplyToRule, UnconfirmedPolicy
from app.recipients.schemas import ListCounts

Header = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\r\n\x00]*$")]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500, pattern=r"^[^\x00]*$")]
Utm = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\r\n\x00]*$")]

MAX_TEST_ADDRESSES = 20


def _address(value: str | None) -> str | None:
    if value is None or value == "":
        return value
    try:
        return normalise_email(value).address
    except InvalidEmail as error:
        raise ValueError(str(error)) from error


class Setup(BaseModel):
    """The setup of a mailing: all that is not its content."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    from_rule: FromRule = Field(
        default=FromRule.ALWAYS,
        description=(
            "`our_contact` and `support_contact`: from the recipient's own contact where it has one whose domain is an "
            "approved sending domain, otherwise from `from_email` (D5)"
        ),
    )
    from_name: Header = Field(default="", description="Also shown for a contact that has no name")
    from_email: Annotated[str, StringConstraints(max_length=254)] = Field(
        default="", description="The address it is from; with a contact's rule, what stands in for it"
    )
    reply_to_rule: ReplyToRule | None = Field(
        default=None,
        description=(
            "Who gets the replies, as for `from_rule`, or `use_from`: the sender. "
            "null: `always` where there is a `reply_to`, else `use_from`"
        ),
    )
    reply_to_name: Header = ""
    reply_to: Annotated[str, StringConstraints(max_length=254)] | None = Field(
        default=None,
        description="The address for replies; with a contact's rule, what stands in for it (null: the sender)",
    )
    language: Language = "en"
    folder_id: Key | None = Field(default=None, description="A folder for mailings")
    selection_id: Key | None = Field(
        default=None, description="The associated selection; its members are a source of recipients (D19)"
    )
    project_id: Key | None = Field(
        default=None,
        description=(
            "The associated project; its members are a source of recipients unless a selection is associated, too. "
            "Its name, number and description fill `project.…` tags"
        ),
    )
    subscription_type_id: Key | None = Field(default=None, description="null is *Any*: subscribed to at least one")
    sending_account_id: Key | None = Field(
        default=None, description="null: by the From domain, else by weight among the accounts that are enabled"
    )
    max_per_hour: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None, description="At most so many messages of it in any hour, by all workers together; null: any"
    )
    track_opens: bool = True
    track_all_links: bool = Field(
        default=True,
        description="Links to the web that are not in the library are tracked, too; those in it always are",
    )
    honeypot_link: bool = Field(
        default=False,
        description=(
            "Adds a link that no person can see or reach to messages with tracked links: who follows it is a machine. "
            "Some spam filters think little of hidden links (D45)"
        ),
    )
    utm_source: Utm | None = None
    utm_campaign: Utm | None = None
    override_consent: bool = Field(
        default=False, description="Sends without consent; never overrides blocked addresses"
    )
    override_reason: Reason | None = Field(
        default=None, description="Why consent is overridden; kept with the mailing (D21)"
    )
    one_per_address: bool = Field(default=False, description="Later lines of an address are blocked as duplicates")
    include_companies: bool = Field(
        default=False, description="A company with an address is a recipient of its own; else its persons are"
    )
    prefer_company: bool = Field(
        default=False, description="One message to a company instead of its persons; needs `include_companies`"
    )
    update_list_when_sending: bool = Field(
        default=False, description="Sources are evaluated again when the mailing is sent"
    )
    unconfirmed_policy: UnconfirmedPolicy = Field(
        default=UnconfirmedPolicy.LEAVE,
        description="What becomes of messages whose final reply was never seen: leave them, or send them again",
    )

    @field_validator("from_email", "reply_to")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return _address(value)

    @field_validator("reply_to")
    @classmethod
    def _is_one_or_none(cls, value: str | None) -> str | None:
        return value or None


class MailingIn(Setup):
    """A mailing to create, as a draft. Everything but the name may come later."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Autumn news", "from_name": "Nordlys Bygg", "from_email": "post@nordlys.example",
                    "language": "nb", "subscription_type_id": 1, "template_id": 4, "selection_id": 2, "folder_id": 7,
                }
            ]
        },
    )  # fmt: skip

    type: Literal[MailingType.EMAIL] = Field(default=MailingType.EMAIL, description="`email` is the type sent so far")
    template_id: Key | None = Field(default=None, description="Content to begin with")
    subject: Subject | None = Field(default=None, description="Overrides the template's")

    @model_validator(mode="after")
    def _override_has_a_reason(self) -> "MailingIn":
        if self.override_consent and not self.override_reason:
            raise ValueError("override_consent needs override_reason: it is recorded with who and why (D21)")
        return self


class MailingPatch(Setup):
    """Changes to a draft's setup (JSON merge patch): what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"utm_campaign": "autumn", "from_rule": "our_contact"}]}
    )

    name: Name = "-"


class ContentIn(Written):
    """The content of a mailing, in HTML or MJML."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"subject": "Hi [[customer.firstname]]", "html": "<p>News</p>"}]},
    )

    subject: Subject = ""


class ContentOut(BaseModel):
    """The content of a mailing."""

    subject: str
    html: str
    mjml: str | None = Field(description="The source the HTML was compiled from")
    text: str | None
    template_id: int | None


class MailingOut(BaseModel):
    """A mailing: setup, options and state."""

    id: int
    type: MailingType
    name: str
    state: MailingState
    state_reason: str | None = Field(description="Why it stopped or failed")
    subject: str
    from_rule: FromRule
    from_name: str
    from_email: str
    reply_to_rule: ReplyToRule
    reply_to_name: str
    reply_to: str | None
    language: str
    folder_id: int | None
    selection_id: int | None = Field(description="The associated selection")
    project_id: int | None = Field(description="The associated project")
    subscription_type_id: int | None
    sending_account_id: int | None
    max_per_hour: int | None
    template_id: int | None
    track_opens: bool
    track_all_links: bool
    honeypot_link: bool
    utm_source: str | None
    utm_campaign: str | None
    override_consent: bool
    override_reason: str | None
    override_by: str | None = Field(description="The API key that overrode consent")
    one_per_address: bool
    include_companies: bool
    prefer_company: bool
    update_list_when_sending: bool
    unconfirmed_policy: UnconfirmedPolicy
    list_updated_at: datetime | None = Field(description="null: the list is behind its sources")
    send_at: datetime | None = Field(
        description="When it is to be sent; with `recipient_local_time`, what clocks in `time_zone` show then is meant"
    )
    send_before: datetime | None = Field(description="What has not begun by then is not sent any more")
    time_zone: str | None = Field(description="IANA, of the schedule; its times here are in UTC")
    recipient_local_time: bool
    starts_at: datetime | None = Field(description="When preparing begins, or began, by the schedule")
    prepare_operation_id: int | None = Field(description="The operation that prepares it, or did last")
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class MailingProgress(BaseModel):
    """Where a mailing is: recipients done of all that are not blocked, the rate, and the estimated end."""

    id: int
    state: MailingState
    state_reason: str | None
    total: int = Field(description="Recipients that are not blocked")
    done: int = Field(description="Those with a result: sent, failed, bounced or unconfirmed")
    sent: int
    failed: int = Field(description="Failed or bounced")
    deferred: int = Field(description="Waiting for another try")
    rate: float | None = Field(description="Results per second over the last 15 s; null while it is not known")
    estimated_end_at: datetime | None = Field(description="When everyone will have been tried once, at this rate")
    recipients: ListCounts


class StepState(StrEnum):
    """How far a step is (D26)."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    NOT_STARTED = "not_started"


class StepName(StrEnum):
    """The steps of a mailing (D26)."""

    SETUP = "setup"
    TEMPLATE = "template"
    CONTENT = "content"
    RECIPIENTS = "recipients"
    CONFIRM = "confirm"


class Remark(BaseModel):
    """One thing to mend (`problem`, stops sending) or to think about (`warning`)."""

    code: str
    severity: Literal["problem", "warning"]
    detail: str
    line: int | None = None
    column: int | None = None


def problem(code: str, detail: str) -> Remark:
    """Return a remark that stops the mailing."""
    return Remark(code=code, severity="problem", detail=detail)


def warning(code: str, detail: str) -> Remark:
    """Return a remark that does not."""
    return Remark(code=code, severity="warning", detail=detail)


class Step(BaseModel):
    """One step and what was found in it."""

    step: StepName
    state: StepState
    remarks: list[Remark]


class Readiness(BaseModel):
    """Whether a mailing can be sent, step by step."""

    ready: bool
    steps: list[Step]
    recipients: ListCounts


class EmptyTagExample(BaseModel):
    """A recipient for whom a tag is empty."""

    recipient_id: int
    name: str
    email: str


class EmptyTag(BaseModel):
    """A merge tag of the content, and how many ready recipients have no value for it."""

    tag: str
    empty: int = Field(description="See nothing in its place")
    with_default: int = Field(description="See its default; the tag has one wherever it is used")
    examples: list[EmptyTagExample] = Field(description="The first five of them")


class EmptyTags(BaseModel):
    """The empty-tag report over the whole list (D14)."""

    ready: int = Field(description="How many recipients are ready: those the report is about")
    tags: list[EmptyTag]


class PreviewOut(BaseModel):
    """What one recipient gets: decoded from the very message, so that it cannot differ (D14)."""

    recipient_id: int
    sender: str = Field(description="Who it is from, as the From header shows it")
    reply_to: str | None = Field(description="Who gets the replies, as the Reply-To header shows it; null: the sender")
    subject: str
    html: str
    text: str
    size: int = Field(description="Octets of the whole message")


_LIST = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_TEST_ADDRESSES}
TestAddresses = Annotated[list[str], WithJsonSchema({"anyOf": [{"type": "string"}, _LIST], "title": "Addresses"})]


class MessageTest(BaseModel):
    """Where a test goes, and whose merge values it shows."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"addresses": "me@example.com; you@example.com"}]}
    )

    addresses: TestAddresses = Field(
        min_length=1, max_length=MAX_TEST_ADDRESSES, description="A list, or text with `;`"
    )
    recipient_id: Key | None = Field(
        default=None, description="Rendered as this recipient; default: the first ready one"
    )

    @field_validator("addresses", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(";") if part.strip()] if isinstance(value, str) else value

    @field_validator("addresses")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        return [_address(address) or "" for address in value]
