"""The sources of a mailing's recipients, the list they make, and its tallies."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, choice, json_field, moment, reference


class RecipientStatus(StrEnum):
    """Where a recipient is (D24). `sending` is stored nowhere: it is said when it is read (sending_queries.py)."""

    READY = "ready"
    BLOCKED = "blocked"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    FAILED = "failed"
    BOUNCED = "bounced"
    UNCONFIRMED = "unconfirmed"


class BlockedReason(StrEnum):
    """Why a recipient is blocked (D24), in the order in which the rules are asked."""

    INVALID_ADDRESS = "invalid_address"
    BLOCKED_ADDRESS = "blocked_address"
    FORMER_EMPLOYEE = "former_employee"
    EXCLUDED = "excluded"
    NO_CONSENT = "no_consent"
    NO_SUBSCRIPTION = "no_subscription"
    DUPLICATE = "duplicate"


class Recipient(Row, table=True):
    """One line of a mailing's list.

    No foreign keys: a check per row would double the cost of populating a million rows, and lines outlive persons
    (D41).
    `status` and the marks are in no index, so that results are HOT updates; fillfactor 50 leaves them room.
    """

    __table_args__ = (
        sa.Index("recipient_list_idx", "mailing_id", "id"),
        sa.Index("recipient_seq_idx", "mailing_id", "seq"),
        sa.Index("recipient_person_idx", "person_id", postgresql_where=sa.text("person_id IS NOT NULL")),
        sa.Index("recipient_company_idx", "company_id", postgresql_where=sa.text("company_id IS NOT NULL")),
        sa.Index("recipient_stranger_idx", "email_key", postgresql_where=sa.text("person_id IS NULL")),
        {"postgresql_with": {"fillfactor": 50}},
    )

    mailing_id: int = Field(sa_type=sa.BigInteger)
    seq: int | None = Field(default=None, description="where the sending chunks find it; new for every retry")
    person_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    company_id: int | None = Field(
        default=None, sa_type=sa.BigInteger, description="the line is a company's own, and no person's (D22)"
    )
    name: str = ""
    email: str = Field(description="as it is sent to; what was given when it is not valid")
    email_key: str | None = None
    status: RecipientStatus = choice(RecipientStatus, name="status")
    reason: str | None = Field(default=None, description="a BlockedReason, for blocked")
    source_id: int | None = Field(default=None, sa_type=sa.BigInteger, description="the source that brought it")
    consent_id: int | None = Field(default=None, sa_type=sa.BigInteger, description="the ledger line it rests on")
    subscribed_at: datetime | None = moment(nullable=True)
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    due_at: datetime | None = moment(nullable=True)
    tried_at: datetime | None = moment(nullable=True)
    first_tried_at: datetime | None = moment(nullable=True)
    """When it failed for now for the first time: from then on, tries are made for so many hours (D32)."""
    code: int | None = Field(default=None, description="the last SMTP reply code")
    reply: str | None = Field(default=None, description="the server's words")
    bounce: str | None = Field(default=None, description="hard or soft")
    sent_at: datetime | None = moment(nullable=True)
    opened_at: datetime | None = moment(nullable=True)
    machine_opened_at: datetime | None = moment(nullable=True)
    clicked_at: datetime | None = moment(nullable=True)
    machine_clicked_at: datetime | None = moment(nullable=True)
    unsubscribed_at: datetime | None = moment(nullable=True)
    complained_at: datetime | None = moment(nullable=True)
    bounced_at: datetime | None = moment(nullable=True)


class RecipientTally(SQLModel, table=True):
    """How many lines of a mailing have a status, a reason or a mark; kept by a trigger, never counted when read."""

    __tablename__ = "recipient_tally"

    mailing_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    name: str = Field(primary_key=True, description="a status, `blocked:<reason>`, `bounced:<kind>` or a mark")
    value: int = Field(sa_type=sa.BigInteger)


class SourceKind(StrEnum):
    """Where recipients come from (D17)."""

    SELECTION = "selection"
    PROJECT = "project"
    PERSON = "person"
    COMPANY = "company"
    IMPORT = "import"
    ADDRESSES = "addresses"


class MailingSource(Row, table=True):
    """A source of a mailing's recipients. What it named may be deleted since; `label` still says what it was (D25)."""

    __tablename__ = "mailing_source"
    __table_args__ = (
        sa.Index("mailing_source_associated_key", "mailing_id", unique=True, postgresql_where=sa.text("associated")),
    )

    mailing_id: int = reference("mailing.id")
    kind: SourceKind = choice(SourceKind, name="kind")
    label: str = Field(default="", sa_column_kwargs={"server_default": ""}, description="name of what it brings")
    associated: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": sa.false()},
        description="it is the mailing's associated selection or project (D19)",
    )
    selection_id: int | None = reference("selection.id", on_delete="SET NULL", nullable=True)
    project_id: int | None = reference("project.id", on_delete="SET NULL", nullable=True)
    person_id: int | None = reference("person.id", on_delete="SET NULL", nullable=True)
    company_id: int | None = reference("company.id", on_delete="SET NULL", nullable=True)
    import_id: int | None = reference("import.id", on_delete="SET NULL", nullable=True)
    consent_basis: str | None = Field(default=None, description="the statement that consent was given (D20)")
    consent_source: str | None = None
    consent_date: date | None = None


class SourceAddress(SQLModel, table=True):
    """A pasted or imported address."""

    __tablename__ = "source_address"
    __table_args__ = (
        sa.Index("source_address_email_key_idx", "email_key", postgresql_where=sa.text("email_key IS NOT NULL")),
        sa.Index(
            "source_address_invalid_idx", "source_id", "email",
            postgresql_where=sa.text("email_key IS NULL AND mobile IS NOT NULL"),
        ),
    )  # fmt: skip

    source_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("mailing_source.id", ondelete="CASCADE")]
    )
    position: int = Field(primary_key=True)
    name: str = ""
    email: str
    email_key: str | None = Field(default=None, description="null when the address is not valid")
    mobile: str | None = Field(default=None, description="E.164, from the file's column")


class RecipientExport(Row, table=True):
    """A list written to a file (D23), kept until `expires_at`; it outlives its mailing, so that the file goes."""

    __tablename__ = "recipient_export"

    mailing_id: int = Field(sa_type=sa.BigInteger)
    operation_id: int = reference("operation.id")
    file_id: int | None = reference("stored_file.id", on_delete="SET NULL", nullable=True)
    format: str
    filter: dict[str, Any] = json_field()
    expires_at: datetime = Field(sa_type=sa.DateTime(timezone=True), index=True)
