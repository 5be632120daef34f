"""Limits per destination, what is slowed down, and how far budgets are used up (D31)."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, moment

ANYWHERE = "*"  # the destination of a limit for every domain that has none of its own


class DestinationLimit(Row, table=True):
    """How much may go to one destination domain, by all workers together."""

    __tablename__ = "destination_limit"

    domain: str = Field(unique=True, description="A-labels, lower case; * for every domain without a limit of its own")
    max_per_second: float | None = None
    max_per_hour: int | None = None


class SlowedDestination(SQLModel, table=True):
    """A destination domain that asked for less (D31): its rate, and how it grows until it is free again.

    At any time the rate is `rate` plus a share of `peak` for each second since `cut_at`; at `peak` it is free.
    """

    __tablename__ = "slowed_destination"

    domain: str = Field(primary_key=True)
    since: datetime = moment(default_now=True)
    cut_at: datetime = moment(default_now=True)
    rate: float = Field(description="messages a second, at cut_at")
    peak: float = Field(description="messages a second, before it was slowed down")
    cuts: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    code: int | None = None
    words: str = Field(description="the server's, without the recipient's address")


class Pace(SQLModel, table=True):
    """How far a budget is used up: `mailing:7`, `account:2`, `domain:example.com`. Hot, and of no worth by itself."""

    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    key: str = Field(primary_key=True)
    second_at: datetime | None = moment(nullable=True)
    """When the budget by the second is whole again."""
    hour_at: datetime | None = moment(nullable=True)
    """When the budget by the hour is whole again."""
    day: date | None = Field(default=None, sa_type=sa.Date, description="the day (UTC) that `used` is of")
    used: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
