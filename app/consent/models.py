"""Consent, subscriptions and blocked addresses."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, choice, moment, reference


class Purpose(StrEnum):
    """The built-in purposes: what the service itself asks about. Tracking is apart from receiving (D43)."""

    E_MARKETING = "e_marketing"
    TRACK_OPENS = "track_opens"
    TRACK_CLICKS = "track_clicks"


class ConsentAction(StrEnum):
    """What a ledger line says."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class LegalBasis(StrEnum):
    """GDPR article 6 (1), a to f."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    VITAL_INTERESTS = "vital_interests"
    PUBLIC_TASK = "public_task"
    LEGITIMATE_INTEREST = "legitimate_interest"


class ConsentPurpose(SQLModel, table=True):
    """What persons can consent to. The built-in ones cannot be deleted."""

    __tablename__ = "consent_purpose"

    key: str = Field(primary_key=True, description="as the API names it, such as e_marketing")
    name: str
    description: str | None = None
    valid_months: int | None = Field(default=None, description="how long a yes holds; for ever when empty")
    built_in: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    created_at: datetime = moment(default_now=True)


class Consent(Row, table=True):
    """One line of the append-only ledger, of a person, a company or an address that matches none (D20).

    A trigger refuses changes. `person_id` and `company_id` have no foreign keys, since proof of consent outlives whom
    it is about; `purpose` has none, since checking each line cost a sixth of an import: whoever writes locks purposes.
    """

    __table_args__ = (
        sa.Index("consent_person_purpose_idx", "person_id", "purpose"),
        sa.Index("consent_address_idx", "email_key", postgresql_where=sa.text("email_key IS NOT NULL")),
        sa.Index("consent_company_idx", "company_id", "purpose", postgresql_where=sa.text("company_id IS NOT NULL")),
        sa.CheckConstraint("person_id IS NOT NULL OR email_key IS NOT NULL OR company_id IS NOT NULL", name="subject"),
    )

    person_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    company_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    email_key: str | None = None
    purpose: str
    action: ConsentAction = choice(ConsentAction, name="action")
    legal_basis: LegalBasis = choice(LegalBasis, name="legal_basis", default=LegalBasis.CONSENT)
    source: str = Field(description="where it was given: an import's file, a page, an API client")
    text_version: str | None = None
    language: str | None = Field(default=None, description="BCP 47: in which the wording was shown")
    evidence: str | None = Field(default=None, description="what proves it: a form's URL, an IP, a scan's number")
    valid_from: datetime = moment(default_now=True)
    valid_until: datetime | None = moment(nullable=True)
    recorded_by: str | None = None


class ConsentState(SQLModel, table=True):
    """What the ledger says now, per person and purpose; written by the statement that appends to the ledger.

    It rests on the line with the latest `valid_from`, of equals on the one that was appended last. A yes past
    `valid_until` counts as none, also before a job has appended the line `expired`. `consent_id` has no foreign key:
    lines are never deleted, and its check cost a fifth of an import.
    """

    __tablename__ = "consent_state"
    __table_args__ = (
        sa.Index(
            "consent_state_valid_until_idx", "purpose", "valid_until", "person_id",
            postgresql_where=sa.text("given AND valid_until IS NOT NULL"),
        ),
        sa.Index(
            "consent_state_expired_idx", "purpose", "valid_until", "person_id",
            postgresql_where=sa.text("NOT given AND valid_until IS NOT NULL"),
        ),
    )  # fmt: skip

    person_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("person.id", ondelete="CASCADE")]
    )
    purpose: str = Field(primary_key=True)
    given: bool
    consent_id: int = Field(sa_type=sa.BigInteger)
    valid_from: datetime = moment(default_now=True)
    valid_until: datetime | None = moment(nullable=True)


class CompanyConsentState(SQLModel, table=True):
    """What the ledger says now of a company's own address (D21, D22)."""

    __tablename__ = "company_consent_state"
    __table_args__ = (
        sa.Index(
            "company_consent_state_valid_until_idx", "purpose", "valid_until", "company_id",
            postgresql_where=sa.text("given AND valid_until IS NOT NULL"),
        ),
    )  # fmt: skip

    company_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("company.id", ondelete="CASCADE")]
    )
    purpose: str = Field(primary_key=True)
    given: bool
    consent_id: int = Field(sa_type=sa.BigInteger)
    valid_from: datetime = moment(default_now=True)
    valid_until: datetime | None = moment(nullable=True)


class SubscriptionType(Row, table=True):
    """The kind of mailing a person says yes to."""

    __tablename__ = "subscription_type"

    external_id: str | None = Field(default=None, unique=True, description="what the CRM calls it")
    name: str = Field(unique=True)
    description: str | None = None


class Subscription(SQLModel, table=True):
    """A person's yes or no to a subscription type."""

    person_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("person.id", ondelete="CASCADE")]
    )
    subscription_type_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        sa_column_args=[sa.ForeignKey("subscription_type.id", ondelete="CASCADE")],
    )
    subscribed: bool
    source: str
    changed_at: datetime = moment(default_now=True)


class CompanySubscription(SQLModel, table=True):
    """A company's yes or no to a subscription type, for its own address."""

    __tablename__ = "company_subscription"

    company_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("company.id", ondelete="CASCADE")]
    )
    subscription_type_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        sa_column_args=[sa.ForeignKey("subscription_type.id", ondelete="CASCADE")],
    )
    subscribed: bool
    source: str
    changed_at: datetime = moment(default_now=True)


class BlockReason(StrEnum):
    """Why no mailing may go to an address."""

    HARD_BOUNCE = "hard_bounce"
    REPEATED_BOUNCES = "repeated_bounces"
    COMPLAINT = "complaint"
    UNSUBSCRIBED_ALL = "unsubscribed_all"
    MANUAL = "manual"


class BlockedAddress(Row, table=True):
    """An address no mailing may go to, by address and not by person."""

    __tablename__ = "blocked_address"
    __table_args__ = (sa.Index("blocked_address_reason_idx", "reason", "id"),)

    email: str
    email_key: str = Field(unique=True)
    reason: BlockReason = choice(BlockReason, name="reason")
    origin: str = Field(description="what led to it, such as the words of a bounce")
    mailing_id: int | None = reference("mailing.id", on_delete="SET NULL", nullable=True)


class ErasedAddress(SQLModel, table=True):
    """An address that was erased on request, as a keyed hash: no mailing goes to it, and nobody can read it (D78)."""

    __tablename__ = "erased_address"

    hash: bytes = Field(primary_key=True)
    created_at: datetime = moment(default_now=True)
