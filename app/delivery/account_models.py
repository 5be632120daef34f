"""Sending accounts and how they fare."""

from datetime import date, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.delivery.smtp.account import AuthMethod, Pipelining, Security
from app.platform.tables import Row, choice, moment

CONNECTIONS = 20  # of one sender where nothing else is said; more gain nothing on a loopback sink


class AccountState(StrEnum):
    """Whether an account is used."""

    HEALTHY = "healthy"
    FAILING = "failing"  # not used before `retry_at`; its share goes to the others


class SendingAccount(Row, table=True):
    """One account on one SMTP server. Its password is sealed and shown to nobody."""

    __tablename__ = "sending_account"

    name: str = Field(unique=True)
    enabled: bool = Field(default=True, sa_column_kwargs={"server_default": sa.true()})
    host: str
    port: int
    security: Security = choice(Security, name="security")
    verify_certificate: bool = Field(default=True, sa_column_kwargs={"server_default": sa.true()})
    auth: AuthMethod = choice(AuthMethod, name="auth", default=AuthMethod.AUTO)
    username: str | None = None
    password_sealed: bytes | None = None
    password_set_at: datetime | None = moment(nullable=True)
    """In the audit log, where the password is not."""
    local_hostname: str | None = Field(default=None, description="what EHLO says; null: the sending machine's name")
    pipelining: Pipelining | None = choice(Pipelining, name="pipelining", nullable=True)
    """At most this much; null: as much as the server offers."""
    connections: int = Field(default=CONNECTIONS, sa_column_kwargs={"server_default": str(CONNECTIONS)})
    max_messages: int | None = Field(default=None, description="per connection")
    weight: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    from_domains: list[str] = Field(
        default_factory=list, sa_type=sa.ARRAY(sa.Text), nullable=False, sa_column_kwargs={"server_default": "{}"},
        description="A-labels, lower case; none for any",
    )  # fmt: skip
    # What pacing keeps to (D31), over all workers together.
    max_per_second: float | None = None
    max_per_hour: int | None = None
    max_per_day: int | None = None
    warm_up_from: date | None = Field(default=None, description="the first day of the ramp (UTC)")
    warm_up_first_day: int | None = Field(default=None, description="messages on that day")
    warm_up_growth: float | None = Field(default=None, description="each day's volume, as a multiple of the day before")


class SendingAccountHealth(SQLModel, table=True):
    """How an account fares: written by whoever tries it, at most once per try and never for a message."""

    __tablename__ = "sending_account_health"

    account_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True,
        sa_column_args=[sa.ForeignKey("sending_account.id", ondelete="CASCADE")],
    )  # fmt: skip
    failures: int = Field(default=0, sa_column_kwargs={"server_default": "0"}, description="in a row")
    is_fault: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """The server does not let us in (credentials, 5xx, certificate): somebody must act."""
    failing_since: datetime | None = moment(nullable=True)
    retry_at: datetime | None = moment(nullable=True)
    words: str | None = Field(default=None, description="the server's, of the last failure")
    used_at: datetime | None = moment(nullable=True)
    """When it last took messages or passed a test."""
    step: Pipelining | None = choice(Pipelining, name="step", nullable=True)
    """What pipelining was stepped down to; null: not at all."""
    step_until: datetime | None = moment(nullable=True)
    step_words: str | None = Field(default=None, description="what the server did wrong")
