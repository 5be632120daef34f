"""Server-sent events (WHATWG HTML §9.2)."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel

HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 0.25  # one primary-key read; an operation's watcher is a person looking at a bar

EVENT_STREAM: dict[str, Any] = {"content": {"text/event-stream": {}}, "description": "Server-sent events"}
"""For a route's `responses`."""


def event(name: str, data: BaseModel, *, event_id: int) -> bytes:
    """Return one event with JSON data."""
    return f"id: {event_id}\nevent: {name}\ndata: {data.model_dump_json()}\n\n".encode()


def last_event_id(request: Request) -> int:
    """Return the id after which the client goes on; 0 when it has seen none, or sends no number."""
    given = request.headers.get("last-event-id", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
