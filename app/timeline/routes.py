"""`/v1/persons/{person_id}/timeline` (D68)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query

from app.contacts.errors import PersonNotFound
from app.platform.auth import ContactsRead, TrackingRead
from app.platform.clock import Instant
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_key
from app.timeline import service
from app.timeline.schemas import EntryKind, TimelineEntry, VerdictFilter

routes = router(prefix="/v1/persons/{person_id}/timeline", tag="persons and companies")

Kinds = Annotated[list[EntryKind] | None, Query(max_length=len(EntryKind), description="Only these; repeat it")]


def show_entry(row: Any) -> TimelineEntry:
    """Return an entry as the API shows it."""
    found = row._asdict()
    if "mailing_id" in found:
        found["mailing"] = {"id": found.pop("mailing_id"), "name": found["mailing"]}
    if "library_link_id" in found:
        link_id, name = found.pop("library_link_id"), found.pop("library_link")
        found["link"] = {"id": link_id, "name": name} if link_id is not None else None
    return TimelineEntry.model_validate(found)


@routes.get("", operation_id="list_timeline", responses=declare(PersonNotFound), summary="What happened with a person")
async def list_timeline(
    caller: ContactsRead, tracker: TrackingRead, session: Session, person_id: int, kind: Kinds = None,
    verdict: Annotated[
        VerdictFilter, Query(description="Whose opens and clicks: people's, machines' or both (D45)")
    ] = VerdictFilter.HUMAN,
    since: Annotated[Instant | None, Query(description="From this time on")] = None,
    until: Annotated[Instant | None, Query(description="Before this time")] = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[TimelineEntry]:  # fmt: skip
    """List what happened with a person, newest first.

    That is: mailings that were sent to the person or could not be, opens, clicks and what they set going, answers to
    subscription types, and the lines of the consent ledger. Opens and clicks are those of people, unless `verdict` says
    otherwise. The last answer to each subscription type is kept for good, those before as long as events are. Lines of
    the ledger stand where they were written; an imported consent may be valid from earlier on.

    A key needs both `contacts:read` and `tracking:read`. A person who was deleted or erased has no timeline (404).
    """
    rows = await service.page_of_entries(
        session, person_id=person_id, kinds=kind or (), verdict=verdict, since=since, until=until,
        before=read_key(cursor, datetime, str, int), limit=limit,
    )  # fmt: skip
    return Page[TimelineEntry](**page_of(rows, limit=limit, show=show_entry, key=service.key_of))
