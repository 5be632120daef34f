"""What pages keep: what a recipient left, so that it can be taken back, and that a fresh link was asked for."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import choice, moment


class LeavingReason(StrEnum):
    """Why somebody left, of the few answers that the page offers."""

    TOO_MANY = "too_many"
    NOT_FOR_ME = "not_for_me"
    NEVER_ASKED = "never_asked"
    OTHER = "other"


class Leaving(SQLModel, table=True):
    """What unsubscribing through a recipient's link took away. One row per line of a list; gone once it is undone.

    No foreign key to the line, as lines have none themselves: it goes with the mailing.
    """

    recipient_id: int = Field(sa_type=sa.BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    mailing_id: int = Field(
        sa_type=sa.BigInteger, index=True, sa_column_args=[sa.ForeignKey("mailing.id", ondelete="CASCADE")]
    )
    left_at: datetime = moment(default_now=True)
    subscription_type_ids: list[int] = Field(
        sa_type=sa.ARRAY(sa.BigInteger), description="types that were received and no longer are"
    )
    everything: bool = Field(description="consent was withdrawn, and the address blocked")
    reason: LeavingReason | None = choice(LeavingReason, name="reason", nullable=True)


class LinkRequest(SQLModel, table=True):
    """That a fresh link to the preferences was asked for: how often within a day, for the limit."""

    __tablename__ = "link_request"

    recipient_id: int = Field(sa_type=sa.BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    mailing_id: int = Field(
        sa_type=sa.BigInteger, index=True, sa_column_args=[sa.ForeignKey("mailing.id", ondelete="CASCADE")]
    )
    first_at: datetime = moment(default_now=True)
    last_at: datetime = moment(default_now=True)
    times: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
