"""Reading the feed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from app.webhooks import queries
from app.webhooks.models import Event, EventType


@dataclass(frozen=True, slots=True)
class Feed:
    """A piece of the feed, and where to go on."""

    events: Sequence[Event]
    last_id: int
    more: bool


async def read_feed(session: AsyncSession, *, after: int, types: Sequence[EventType], limit: int) -> Feed:
    """Return events behind `after` in the order in which they can never be overtaken; none is ever missed."""
    upto, left_over = await queries.number_events(session)
    events = await queries.events_after(session, after=after, upto=upto, types=types, limit=limit)
    if len(events) > limit:
        shown = events[:limit]
        return Feed(shown, last_id=shown[-1].seq or after, more=True)
    return Feed(events, last_id=max(after, upto), more=left_over)
