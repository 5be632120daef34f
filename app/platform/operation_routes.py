"""`/v1/operations`: watch and cancel long work."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.platform.auth import AnyCaller
from app.platform.errors import Conflict, NotFound, declare
from app.platform.http import Session, router
from app.platform.operations import FINAL, Operation, OperationState, cancel_operation, read_operation
from app.platform.sse import EVENT_STREAM, HEARTBEAT_SECONDS, POLL_SECONDS, event, last_event_id

routes = router(prefix="/v1/operations", tag="operations")


class Progress(BaseModel):
    """How far an operation is, in its own units (rows, recipients)."""

    done: int
    total: int | None = Field(description="null while it is not known")


class OperationOut(BaseModel):
    """Long work: an import, updating a list, preparing a mailing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7, "kind": "import", "state": "running", "progress": {"done": 500, "total": 2000},
                    "created_at": "2026-11-23T08:00:00Z", "started_at": "2026-11-23T08:00:01Z", "finished_at": None,
                    "result": None, "error": None,
                }
            ]
        }
    )  # fmt: skip

    id: int
    kind: str
    state: OperationState
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None = Field(description="`{detail}` of what went wrong")


def show_operation(operation: Operation) -> OperationOut:
    """Return an operation as the API shows it."""
    return OperationOut(
        progress=Progress(done=operation.done, total=operation.total),
        **operation.model_dump(exclude={"done", "total", "cancel_requested", "version"}),
    )


@routes.get("/{operation_id}", operation_id="get_operation", responses=declare(NotFound), summary="Get an operation")
async def get_operation(caller: AnyCaller, session: Session, operation_id: int) -> OperationOut:
    """Say where the operation is: its state, progress, and its result or error once it is over."""
    return show_operation(await read_operation(session, operation_id=operation_id))


@routes.post(
    "/{operation_id}/cancel",
    operation_id="cancel_operation",
    responses=declare(NotFound, Conflict),
    summary="Cancel an operation",
    status_code=202,
)
async def cancel(caller: AnyCaller, session: Session, operation_id: int) -> OperationOut:
    """Ask the operation to stop. It ends as `cancelled` after the step it is in; what was done by then stays done."""
    return show_operation(await cancel_operation(session, operation_id=operation_id))


@routes.get(
    "/{operation_id}/events",
    operation_id="watch_operation",
    responses={**declare(NotFound), 200: EVENT_STREAM},
    summary="Watch an operation",
    response_class=StreamingResponse,
)
async def watch_operation(
    caller: AnyCaller, session: Session, request: Request, operation_id: int
) -> StreamingResponse:
    """Send an `operation` event at each change, until it is over; a comment every 15 s keeps the line open.

    Reconnecting with `Last-Event-ID` goes on after that event.
    """
    await read_operation(session, operation_id=operation_id)
    return StreamingResponse(_changes(request, operation_id), media_type="text/event-stream")


async def _changes(request: Request, operation_id: int) -> AsyncIterator[bytes]:
    seen, quiet = last_event_id(request), 0.0
    while not await request.is_disconnected():
        async with request.app.state.database.begin() as session:
            operation = await read_operation(session, operation_id=operation_id)
        if operation.version > seen or (operation.state in FINAL and quiet == 0.0):
            seen, quiet = operation.version, 0.0
            yield event("operation", show_operation(operation), event_id=seen)
        if operation.state in FINAL:
            return
        await asyncio.sleep(POLL_SECONDS)
        quiet += POLL_SECONDS
        if quiet >= HEARTBEAT_SECONDS:
            quiet = POLL_SECONDS
            yield b": still here\n\n"


def accepted(operation: Operation, response: Response) -> OperationOut:
    """Answer 202 with where to watch the operation (api.md rule 6)."""
    response.headers["Location"] = f"/v1/operations/{operation.id}"
    return show_operation(operation)
