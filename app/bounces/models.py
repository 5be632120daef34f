"""Bounces, and the inbound messages they come in."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field

from app.platform.tables import Row, choice, moment


class BounceKind(StrEnum):
    """Whether trying again could help (D58)."""

    HARD = "hard"
    SOFT = "soft"


class BounceOrigin(StrEnum):
    """How we heard of it (D57)."""

    SMTP = "smtp"
    DSN = "dsn"


class Bounce(Row, table=True):
    """An undelivered message. One per recipient and origin: a bounce reported twice counts once."""

    __table_args__ = (sa.UniqueConstraint("recipient_id", "origin"),)

    mailing_id: int = Field(sa_type=sa.BigInteger, index=True)
    recipient_id: int = Field(sa_type=sa.BigInteger)
    kind: BounceKind = choice(BounceKind, name="kind")
    origin: BounceOrigin = choice(BounceOrigin, name="origin")
    status: str | None = Field(default=None, description="RFC 3463 code")
    detail: str = Field(description="the diagnostic text")


class InboundMessage(Row, table=True):
    """A message as it came in to a return path: stored before the 250 leaves, read by a job."""

    __tablename__ = "inbound_message"

    digest: bytes = Field(unique=True)
    recipient_id: int = Field(sa_type=sa.BigInteger, index=True, description="of the return path it was sent to")
    octets: bytes
    read_at: datetime | None = moment(nullable=True)
    outcome: str | None = None
