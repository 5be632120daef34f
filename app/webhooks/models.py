"""Events, and the feed that numbers them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, choice, json_field, key, moment, reference


class EventType(StrEnum):
    """What happened."""

    PERSON_CREATED = "person.created"
    PERSON_UPDATED = "person.updated"
    PERSON_DELETED = "person.deleted"
    PERSON_ERASED = "person.erased"
    CONSENT_GIVEN = "consent.given"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    CONSENT_EXPIRED = "consent.expired"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    ADDRESS_BLOCKED = "address.blocked"
    ADDRESS_UNBLOCKED = "address.unblocked"
    IMPORT_FINISHED = "import.finished"
    SENDING_DOMAIN_CHANGED = "sending_domain.changed"
    FOLLOW_UP_CREATED = "follow_up.created"
    REQUEST_CREATED = "request.created"
    MAILING_SCHEDULED = "mailing.scheduled"
    MAILING_UNSCHEDULED = "mailing.unscheduled"
    MAILING_PREPARING = "mailing.preparing"
    MAILING_NOT_STARTED = "mailing.not_started"
    MAILING_STARTED = "mailing.started"
    MAILING_STOPPED = "mailing.stopped"
    MAILING_RESUMED = "mailing.resumed"
    MAILING_FINISHED = "mailing.finished"
    MAILING_EXPIRED = "mailing.expired"
    MAILING_CANCELLED = "mailing.cancelled"
    MAILING_FAILED = "mailing.failed"


class Event(SQLModel, table=True):
    """Something that happened. `seq` is its place in the feed, given once its transaction is over."""

    __table_args__ = (
        sa.Index("event_seq_idx", "seq", unique=True, postgresql_where=sa.text("seq IS NOT NULL")),
        sa.Index("event_unnumbered_idx", "id", postgresql_where=sa.text("seq IS NULL")),
        sa.Index("event_person_idx", "person_id", postgresql_where=sa.text("person_id IS NOT NULL")),
    )

    id: int = key()
    seq: int | None = Field(default=None, sa_type=sa.BigInteger)
    type: EventType = choice(EventType, name="type")
    occurred_at: datetime = moment(default_now=True)
    person_id: int | None = Field(default=None, sa_type=sa.BigInteger, description="whom it is about")
    data: dict[str, Any] = json_field()


class EventFeed(SQLModel, table=True):
    """How far the feed is numbered: one row, whose lock is the right to number."""

    __tablename__ = "event_feed"

    id: int = Field(primary_key=True, sa_type=sa.SmallInteger)
    last_seq: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})


class Webhook(Row, table=True):
    """Where events are pushed to. Its secret is in no table: it follows from the service's secret and `secret_salt`."""

    url: str
    description: str | None = None
    types: list[str] = Field(
        default_factory=list, sa_type=sa.ARRAY(sa.Text), nullable=False, sa_column_kwargs={"server_default": "{}"},
        description="none for all",
    )  # fmt: skip
    secret_salt: bytes
    last_seq: int = Field(sa_type=sa.BigInteger, description="up to where the feed was made into deliveries")
    disabled_at: datetime | None = moment(nullable=True)
    disabled_reason: str | None = None


class DeliveryState(StrEnum):
    """Where a delivery is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Row, table=True):
    """One event on its way to one webhook; without an event, a test."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        sa.Index("webhook_delivery_list_idx", "webhook_id", "id"),
        sa.Index("webhook_delivery_due_idx", "due_at", postgresql_where=sa.text("state = 'waiting'")),
    )

    webhook_id: int = reference("webhook.id", index=False)
    event_id: int | None = reference("event.id", nullable=True)
    state: DeliveryState = choice(DeliveryState, name="state", default=DeliveryState.WAITING)
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    due_at: datetime = moment(default_now=True)
    tried_at: datetime | None = moment(nullable=True)
    status: int | None = Field(default=None, description="of the last answer")
    error: str | None = Field(default=None, description="why the last try failed")
