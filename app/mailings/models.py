"""The mailing."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field

from app.platform.tables import Row, choice, moment, reference


class MailingType(StrEnum):
    """The four types (D1)."""

    EMAIL = "email"
    SMS = "sms"
    DOCUMENT = "document"
    FORM_RESPONSE = "form_response"


class MailingState(StrEnum):
    """Where a mailing is (D28)."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PREPARING = "preparing"
    SENDING = "sending"
    STOPPED = "stopped"
    FINISHED = "finished"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class FromRule(StrEnum):
    """Who a mailing is from (D5): always the one address, or a contact of the recipient's, otherwise that address."""

    ALWAYS = "always"
    OUR_CONTACT = "our_contact"
    SUPPORT_CONTACT = "support_contact"


class ReplyToRule(StrEnum):
    """Who gets the replies (D5): the sender, always one address, or a contact of the recipient's."""

    USE_FROM = "use_from"
    ALWAYS = "always"
    OUR_CONTACT = "our_contact"
    SUPPORT_CONTACT = "support_contact"


class UnconfirmedPolicy(StrEnum):
    """What happens to messages whose final reply was never seen (D34)."""

    LEAVE = "leave"
    RESEND = "resend"


class Mailing(Row, table=True):
    """One send-out: type, setup, content, options and state."""

    __table_args__ = (
        sa.Index("mailing_draft_idx", "id", postgresql_where=sa.text("state IN ('draft', 'scheduled')")),
        sa.Index("mailing_scheduled_idx", "starts_at", postgresql_where=sa.text("state = 'scheduled'")),
    )

    type: MailingType = choice(MailingType, name="type", default=MailingType.EMAIL)
    name: str
    state: MailingState = choice(MailingState, name="state", default=MailingState.DRAFT)
    state_reason: str | None = Field(default=None, description="why it stopped or failed: the server's words, or who")
    subject: str = ""
    from_rule: FromRule = choice(FromRule, name="from_rule", default=FromRule.ALWAYS)
    from_name: str = ""
    from_email: str = Field(default="", description="the one address, or what stands in where a contact cannot be used")
    reply_to_rule: ReplyToRule = choice(ReplyToRule, name="reply_to_rule", default=ReplyToRule.USE_FROM)
    reply_to_name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    reply_to: str | None = Field(default=None, description="as `from_email`; null stands for the sender")
    language: str = Field(default="en", sa_column_kwargs={"server_default": "en"})
    folder_id: int | None = reference("folder.id", on_delete="SET NULL", nullable=True)
    selection_id: int | None = reference("selection.id", on_delete="SET NULL", nullable=True)
    project_id: int | None = reference("project.id", on_delete="SET NULL", nullable=True)
    subscription_type_id: int | None = reference("subscription_type.id", on_delete="RESTRICT", nullable=True)
    sending_account_id: int | None = reference("sending_account.id", on_delete="SET NULL", nullable=True)
    max_per_hour: int | None = Field(default=None, description="messages, over all workers together (D31)")
    template_id: int | None = reference("template.id", on_delete="SET NULL", nullable=True)
    html: str = ""
    mjml: str | None = Field(
        default=None, description="the source the HTML was compiled from, if it was written in MJML"
    )
    text: str | None = None
    track_opens: bool = Field(default=True, sa_column_kwargs={"server_default": sa.true()})
    track_all_links: bool = Field(default=True, sa_column_kwargs={"server_default": sa.true()})
    honeypot_link: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    utm_source: str | None = None
    utm_campaign: str | None = None
    override_consent: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    override_reason: str | None = Field(default=None, description="why consent is overridden (D21)")
    override_by: str | None = Field(default=None, description="the API key that asked for it (D21)")
    one_per_address: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    include_companies: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    prefer_company: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    update_list_when_sending: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    unconfirmed_policy: UnconfirmedPolicy = choice(
        UnconfirmedPolicy, name="unconfirmed_policy", default=UnconfirmedPolicy.LEAVE
    )
    list_updated_at: datetime | None = moment(nullable=True)
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    updated_at: datetime = moment(default_now=True)
    started_at: datetime | None = moment(nullable=True)
    finished_at: datetime | None = moment(nullable=True)
    prepare_operation_id: int | None = reference("operation.id", on_delete="SET NULL", nullable=True)
    send_at: datetime | None = moment(nullable=True)
    """When it is to be sent (D27); in recipients' own time, what the clocks of `time_zone` show then."""
    send_before: datetime | None = moment(nullable=True)
    starts_at: datetime | None = moment(nullable=True)
    """When preparing begins: `send_at`, or when it is that in the first time zone on earth."""
    time_zone: str | None = Field(default=None, description="IANA; of the schedule")
    recipient_local_time: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})

    def forget_schedule(self) -> None:
        """Take the schedule away: it was unscheduled, started by hand, or turned out not to be ready."""
        self.send_at = self.send_before = self.starts_at = self.time_zone = None
        self.recipient_local_time = False


class TestMessage(Row, table=True):
    """A test to be sent by a job (D15): jobs carry ids, so its addresses wait here."""

    __tablename__ = "test_message"
    __test__ = False  # it is no test of pytest's

    mailing_id: int = reference("mailing.id")
    operation_id: int = reference("operation.id")
    recipient_id: int = Field(sa_type=sa.BigInteger)
    addresses: list[str] = Field(sa_type=sa.ARRAY(sa.Text))


class Attachment(Row, table=True):
    """A file sent along with a mailing (D16); copies of the mailing share its octets, which never change."""

    __table_args__ = (
        sa.Index("attachment_content_id_key", "mailing_id", "content_id", unique=True),
        sa.Index("attachment_mailing_id_idx", "mailing_id", "id"),
    )

    mailing_id: int = reference("mailing.id", index=False)
    file_id: int = reference("stored_file.id", on_delete="RESTRICT")
    name: str = Field(description="as readers see it")
    content_type: str
    size: int = Field(sa_type=sa.BigInteger, description="octets, before they are encoded")
    content_id: str | None = Field(default=None, description="of an inline image: what `cid:` in the HTML names")
