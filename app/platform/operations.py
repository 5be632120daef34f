"""Operations: long work that a client can watch and cancel (api.md rule 6)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import Field, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.errors import Conflict, NotFound
from app.platform.tables import Row, choice, json_field, moment


class OperationState(StrEnum):
    """Where an operation is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED})


class Operation(Row, table=True):
    """Long work and how far it is. `version` grows with each change: the id of its server-sent events."""

    kind: str
    state: OperationState = choice(OperationState, name="state", default=OperationState.WAITING)
    done: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    total: int | None = Field(default=None, sa_type=sa.BigInteger)
    started_at: datetime | None = moment(nullable=True)
    finished_at: datetime | None = moment(nullable=True)
    cancel_requested: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    result: dict[str, Any] | None = json_field(nullable=True)
    error: dict[str, Any] | None = json_field(nullable=True)
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})


async def open_operation(session: AsyncSession, *, kind: str) -> Operation:
    """Add an operation that waits for its job."""
    operation = Operation(kind=kind)
    session.add(operation)
    await session.flush()
    await session.refresh(operation)
    return operation


async def read_operation(session: AsyncSession, *, operation_id: int) -> Operation:
    """Return an operation as the database has it now; raises NotFound."""
    found = await session.exec(
        select(Operation).where(Operation.id == operation_id).execution_options(populate_existing=True)
    )
    operation = found.one_or_none()
    if operation is None:
        raise NotFound(f"There is no operation {operation_id}.")
    return operation


_ADVANCE = text("""
    -- Progress of a running operation; answers whether a client asked to cancel it.
    UPDATE operation
    SET state = 'running', started_at = coalesce(started_at, now()), done = :done,
        total = coalesce(:total, total), version = version + 1
    WHERE id = :id AND state IN ('waiting', 'running')
    RETURNING cancel_requested
""").bindparams(sa.bindparam("total", type_=sa.BigInteger), sa.bindparam("done", type_=sa.BigInteger))

_CLOSE = text("""
    -- The end of an operation; a second end changes nothing.
    UPDATE operation
    SET state = :state, finished_at = now(), result = cast(:result AS jsonb), error = cast(:error AS jsonb),
        started_at = coalesce(started_at, now()),
        done = CASE WHEN :state = 'succeeded' THEN coalesce(total, done) ELSE done END, version = version + 1
    WHERE id = :id AND state IN ('waiting', 'running')
""").bindparams(
    sa.bindparam("result", type_=sa.JSON(none_as_null=True)),
    sa.bindparam("error", type_=sa.JSON(none_as_null=True)),
    sa.bindparam("state", type_=sa.Text),
)


async def advance(session: AsyncSession, *, operation_id: int, done: int, total: int | None = None) -> bool:
    """Record progress in units of the operation; return whether the work should stop (cancelled, or already over)."""
    row = (await run(session, _ADVANCE, id=operation_id, done=done, total=total)).one_or_none()
    return True if row is None else bool(row.cancel_requested)


async def close_operation(
    session: AsyncSession,
    *,
    operation_id: int,
    state: OperationState,
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> None:
    """Record how an operation ended."""
    await run(session, _CLOSE, id=operation_id, state=state.value, result=result, error=error)


async def cancel_operation(session: AsyncSession, *, operation_id: int) -> Operation:
    """Ask a waiting or running operation to stop; raises Conflict when it is over."""
    operation = await read_operation(session, operation_id=operation_id)
    if operation.state in FINAL:
        raise Conflict(
            f"Operation {operation_id} is {operation.state.value}; only waiting or running ones can be cancelled."
        )
    operation.cancel_requested = True
    operation.version += 1
    return operation
