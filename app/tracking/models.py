"""Tracked links, clicks and opens."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, choice, moment, reference


class Link(Row, table=True):
    """A tracked link of a mailing. `target` is kept byte for byte; it may hold merge tags (D37).

    A row never changes: a draft whose content changes gets new links, and a test sent before keeps its own (D41).
    """

    __table_args__ = (
        # The hash, since an index entry holds at most 2.7 kB and a target may be longer.
        sa.Index("link_target_idx", "mailing_id", "position", sa.text("md5(target)"), "registered_as", unique=True),
        sa.Index("link_honeypot_idx", "id", postgresql_where=sa.text("honeypot")),
        sa.Index("link_library_link_idx", "library_link_id", postgresql_where=sa.text("library_link_id IS NOT NULL")),
    )

    mailing_id: int = reference("mailing.id", index=False)
    position: int
    target: str
    frozen: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": sa.false()},
        description="it is in the mailing as it is sent, and not only in a draft of it",
    )
    library_link_id: int | None = reference("library_link.id", on_delete="SET NULL", nullable=True, index=False)
    honeypot: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": sa.false()},
        description="no person can see it, so who follows it is a machine (D45)",
    )
    registered_as: int = Field(
        default=0,
        sa_type=sa.BigInteger,
        sa_column_kwargs={"server_default": "0"},
        description="the library link it was registered for, also when that is gone; 0 is none, -1 a honeypot",
    )
    registered_at: datetime = moment(default_now=True)


class EventKind(StrEnum):
    """What a reader did."""

    OPEN = "open"
    CLICK = "click"


class Verdict(StrEnum):
    """Who did it (D45)."""

    HUMAN = "human"
    MACHINE = "machine"


class Engagement(SQLModel, table=True):
    """One click or open as it came in, with the verdict on it. Never deleted by rules: verdicts are recomputed."""

    __table_args__ = (
        sa.Index("engagement_recipient_idx", "recipient_id", "occurred_at"),
        sa.Index("engagement_link_idx", "link_id", "occurred_at", postgresql_where=sa.text("link_id IS NOT NULL")),
        # Events are appended in the order of time: a few bytes for every 32 pages find those since a day.
        sa.Index(
            "engagement_occurred_idx",
            "occurred_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
        ),
    )

    id: int = Field(
        default=None, primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.Identity()}
    )
    kind: EventKind = choice(EventKind, name="kind")
    mailing_id: int = Field(sa_type=sa.BigInteger)
    recipient_id: int = Field(sa_type=sa.BigInteger)
    link_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    occurred_at: datetime = moment(default_now=True)
    method: str = Field(default="GET", sa_column_kwargs={"server_default": "GET"})
    user_agent: str | None = None
    verdict: Verdict = choice(Verdict, name="verdict")
    reasons: list[str] = Field(
        default_factory=list, sa_type=sa.ARRAY(sa.Text), nullable=False, sa_column_kwargs={"server_default": "{}"}
    )
    rule_version: int


class EngagementSpool(SQLModel, table=True):
    """How far a process's spool is stored: with the events, in one transaction (decision 27)."""

    __tablename__ = "engagement_spool"

    owner: str = Field(sa_type=sa.Text, primary_key=True)
    drained: int = Field(sa_type=sa.BigInteger, description="the number of its next event")
    updated_at: datetime = moment(default_now=True)
    finished_at: datetime | None = moment(nullable=True)


class EngagementTally(SQLModel, table=True):
    """Events by mailing, link, kind, verdict and hour; kept by a trigger, so they equal a recount at any time."""

    __tablename__ = "engagement_tally"

    mailing_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    link_id: int = Field(sa_type=sa.BigInteger, primary_key=True, description="0 for opens")
    kind: str = Field(primary_key=True)
    verdict: str = Field(primary_key=True)
    hour: datetime = Field(sa_type=sa.DateTime(timezone=True), primary_key=True)
    events: int = Field(sa_type=sa.BigInteger)


class LinkClicker(SQLModel, table=True):
    """A recipient who clicked a link: the first time as a human and as a machine. Kept by a trigger (decision 29)."""

    __tablename__ = "link_clicker"

    link_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    recipient_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    clicked_at: datetime | None = moment(nullable=True)
    machine_clicked_at: datetime | None = moment(nullable=True)


class LibraryLinkClicker(SQLModel, table=True):
    """A recipient who clicked a library link in a mailing, wherever it stood in it. Kept by a trigger."""

    __tablename__ = "library_link_clicker"

    library_link_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    recipient_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    clicked_at: datetime | None = moment(nullable=True)
    machine_clicked_at: datetime | None = moment(nullable=True)


class LinkTally(SQLModel, table=True):
    """Clicks and clickers of a link. Clickers whom only machines stand for are `machine_clickers`."""

    __tablename__ = "link_tally"

    link_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    clicks: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    machine_clicks: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    clickers: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    machine_clickers: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})


class LibraryLinkTally(SQLModel, table=True):
    """Clicks and clickers of a library link, over all mailings."""

    __tablename__ = "library_link_tally"

    library_link_id: int = Field(sa_type=sa.BigInteger, primary_key=True)
    clicks: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    machine_clicks: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    clickers: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    machine_clickers: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
