"""`/v1/events`: the feed that other systems pull (D77)."""

from typing import Annotated

from fastapi import Query

from app.platform.auth import ContactsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Limit
from app.webhooks import service
from app.webhooks.models import Event, EventType
from app.webhooks.schemas import EventOut, EventsOut

routes = router(tag="events and webhooks")

After = Annotated[int, Query(ge=0, le=2**63 - 1, description="`last_id` of the answer before; 0 from the beginning")]
Types = Annotated[list[EventType], Query(description="Only these types; repeat for several")]


def show_event(event: Event) -> EventOut:
    """Return an event as the API shows it; inside, its id is another than its place in the feed."""
    return EventOut(id=event.seq or 0, type=event.type, occurred_at=event.occurred_at, data=event.data)


@routes.get("/v1/events", operation_id="list_events", responses=declare(), summary="Read the event feed")
async def list_events(
    caller: ContactsRead, session: Session, after: After = 0,
    type: Types = [],  # noqa: A002, B006 - it is the parameter's name; FastAPI copies defaults
    limit: Limit = 50,
) -> EventsOut:  # fmt: skip
    """Return what happened since `after`, in order. Keep `last_id`, ask again with it, and no event is missed.

    Events are committed with what they tell of and read once that is done. What an import does to persons is one
    `import.finished`; everything else has an event for each person. `fields` of `person.updated` are the names of what
    changed. Events name ids only: read the rest from the resource. They are kept 90 days (`BUDSTIKKE_EVENTS_DAYS`): who
    reads on after a longer break goes on with the oldest that is left.
    """
    feed = await service.read_feed(session, after=after, types=type, limit=limit)
    return EventsOut(items=[show_event(event) for event in feed.events], last_id=feed.last_id, more=feed.more)
