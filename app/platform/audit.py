"""The audit log: who wrote what, before and after (D76). Triggers keep it (decision 5); here it is read."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.tables import choice, json_field, key, moment


class AuditAction(StrEnum):
    """What was done to a row, or to as many as the entry says."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    ERASED = "erased"
    RESET = "reset"


class AuditEntry(SQLModel, table=True):
    """One row that was written, or with `rows` the sum of many."""

    __tablename__ = "audit_log"
    __table_args__ = (
        sa.Index("audit_log_entity_idx", "entity", "entity_id", "id"),
        sa.Index("audit_log_actor_idx", "actor", "id"),
        sa.Index("audit_log_person_idx", "person_id", "id", postgresql_where=sa.text("person_id IS NOT NULL")),
        sa.Index("audit_log_address_idx", "address", postgresql_where=sa.text("address IS NOT NULL")),
        sa.Index("audit_log_bulk_idx", "bulk", unique=True, postgresql_where=sa.text("bulk IS NOT NULL")),
    )

    id: int = key()
    occurred_at: datetime = moment(default_now=True)
    actor: str = Field(description="`api-key:<id>`, `job:<name>`, `recipient:<id>`, or `database:<user>`")
    actor_name: str | None = None
    request_id: str | None = None
    action: AuditAction = choice(AuditAction, name="action")
    entity: str = Field(description="the table, in the words of the API")
    entity_id: str | None = Field(default=None, description="the row's key, or the first column of one of two")
    person_id: int | None = Field(default=None, sa_type=sa.BigInteger, description="whom it is about")
    address: str | None = Field(default=None, description="the key of the address it is about; emptied by erasure")
    before: dict[str, Any] | None = json_field(nullable=True)
    after: dict[str, Any] | None = json_field(nullable=True)
    rows: int = Field(default=1, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "1"})
    bulk: str | None = Field(default=None, description="the import whose rows are counted here")


async def page_of_entries(
    session: AsyncSession,
    *,
    equal: dict[str, str | int | AuditAction | None],
    since: datetime | None,
    until: datetime | None,
    below: int | None,
    limit: int,
) -> Sequence[AuditEntry]:
    """Return at most `limit + 1` entries, newest first, with ids under `below` and columns that equal what is given."""
    query = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit + 1)
    for column, value in equal.items():
        if value is not None:
            query = query.where(getattr(AuditEntry, column) == value)
    if since is not None:
        query = query.where(col(AuditEntry.occurred_at) >= since)
    if until is not None:
        query = query.where(col(AuditEntry.occurred_at) < until)
    if below is not None:
        query = query.where(col(AuditEntry.id) < below)
    return (await session.exec(query)).all()


_FORGET = text("""
    -- The oldest entries, where their time is over: by primary key, so that it costs little when there are none.
    DELETE FROM audit_log WHERE id IN (
        SELECT id FROM (SELECT id, occurred_at FROM audit_log ORDER BY id LIMIT :most) AS oldest
        WHERE occurred_at < now() - make_interval(days => :days))
""")


async def forget_entries(session: AsyncSession, *, days: int, most: int) -> int:
    """Delete at most `most` entries that are older than `days`; return how many (D79)."""
    return int((await run(session, _FORGET, days=days, most=most)).rowcount)
