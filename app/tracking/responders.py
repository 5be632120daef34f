"""What may answer a click in place of its stored target: actions of a library link (D38).

A slice above puts a responder for a library link into `Tracking.responders`, by the library link's id, and takes it out
when the link has no such action any more. A click on a link without one pays nothing for it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from app.letterhead.frame import Page


class Click(NamedTuple):
    """A click as it came in. `recipient_id` is 0 in a test message (D15)."""

    recipient_id: int
    mailing_id: int
    link_id: int
    library_link_id: int
    occurred_at: datetime
    method: str
    user_agent: str
    accept_language: str


class Elsewhere(NamedTuple):
    """Lead to this target instead. It may have merge tags; they are filled as the link's own are."""

    target: str


class TextPage(NamedTuple):
    """Show this page instead, with its headers."""

    page: Page


Responder = Callable[[Click], Awaitable[Elsewhere | TextPage | None]]
"""Answers a click, or None for the stored target. It bounds its own time and raises nothing: a reader waits for it."""
