"""The frozen plan of a send: one dispatch, cut into chunks that are leased to senders (exactness.md)."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, json_field, moment, reference

CHUNK_SIZE = 1000  # recipients: a lease costs one statement, and a job step must not be shorter than ~50 ms


class Dispatch(Row, table=True):
    """What is sent for a mailing, compiled once; of it only the last four columns change."""

    mailing_id: int = reference("mailing.id")
    compiled: dict[str, Any] = json_field()
    link_ids: list[int] = Field(sa_type=sa.ARRAY(sa.BigInteger), description="of the tracked links, by position")
    last_seq: int = Field(default=0, description="up to where chunks were cut; retries go on behind it")
    halted_at: datetime | None = moment(nullable=True)
    rest_until: datetime | None = moment(nullable=True)
    """No sender is needed before: a limit leaves nothing to send (D31)."""
    look_again_at: datetime | None = moment(nullable=True)
    """When deferred recipients are looked for next: finding them reads the whole list."""


class Chunk(SQLModel, table=True):
    """Recipients `first_seq` to `last_seq`. Rows past `window_end` have been started by nobody."""

    __table_args__ = (
        sa.Index("chunk_open_idx", "dispatch_id", "number", postgresql_where=sa.text("done_at IS NULL")),
        sa.Index(
            "chunk_kept_back_idx",
            "dispatch_id",
            "number",
            postgresql_where=sa.text("done_at IS NULL AND destination IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 50}},
    )

    dispatch_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("dispatch.id", ondelete="CASCADE")]
    )
    number: int = Field(primary_key=True)
    first_seq: int
    last_seq: int
    owner: str | None = Field(default=None, description="the sender that holds it: the name of its journal")
    epoch: int = Field(default=0, sa_column_kwargs={"server_default": "0"}, description="grows with each claim")
    lease_until: datetime | None = moment(nullable=True)
    window_end: int = Field(description="the last seq the present owner may start; first_seq - 1 when none")
    done_at: datetime | None = moment(nullable=True)
    not_before: datetime | None = moment(nullable=True)
    """When it may be leased: the time its recipients' clocks must show (D27). Null: at once."""
    send_before: datetime | None = moment(nullable=True)
    """Unless it was leased once by then, it is not sent any more."""
    destination: str | None = Field(default=None, description="the domain of all its recipients, kept back by a limit")
