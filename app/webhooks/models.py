"""Events, and the feed that numbers them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import choice, json_field, key, moment


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
