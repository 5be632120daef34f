"""Many persons or companies at once: `/v1/persons/bulk` and `/v1/companies/bulk` (api.md rule 7)."""

from collections.abc import Awaitable, Callable, Sequence

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import bulk
from app.contacts.bulk import ItemOutcome
from app.contacts.errors import ExternalIdTaken
from app.contacts.routes import country_of
from app.contacts.schemas import BulkOut, BulkOutcome, BulkStatus, CompanyBulk, PersonBulk
from app.platform.auth import ContactsWrite
from app.platform.errors import InvalidField, UnsupportedMedia, declare
from app.platform.http import Session, router
from app.platform.ndjson import MEDIA_TYPE

routes = router(tag="persons and companies")

STREAM_MEDIA = {MEDIA_TYPE, "application/ndjson", "application/jsonl", "application/json-lines"}
CHUNK = 1000  # items; few enough that other requests get their turn between two statements
Upsert = Callable[..., Awaitable[list[ItemOutcome]]]


async def _refuse_lines(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in STREAM_MEDIA:
        raise UnsupportedMedia(
            f"Lines of JSON go to {request.url.path}/stream, as {MEDIA_TYPE}; here is one JSON document with all items."
        )


async def _in_chunks(upsert: Upsert, session: AsyncSession, items: Sequence[object], country: str) -> BulkOut:
    found: list[ItemOutcome] = []
    for start in range(0, len(items), CHUNK):
        found += await upsert(session, items=items[start : start + CHUNK], default_country=country)
    counts = {status: sum(each.status is status for each in found) for status in BulkStatus}
    return BulkOut(
        created=counts[BulkStatus.CREATED], updated=counts[BulkStatus.UPDATED], failed=counts[BulkStatus.FAILED],
        items=[_shown(index, each) for index, each in enumerate(found)],
    )  # fmt: skip


def _shown(index: int, outcome: ItemOutcome) -> BulkOutcome:
    errors = [
        InvalidField(pointer=f"#/items/{index}{fault.pointer[1:]}", detail=fault.detail) for fault in outcome.faults
    ]
    return BulkOutcome(index=index, status=outcome.status, id=outcome.id, errors=errors or None)


@routes.post(
    "/v1/persons/bulk", operation_id="upsert_persons", responses=declare(ExternalIdTaken, UnsupportedMedia),
    dependencies=[Depends(_refuse_lines)],
    summary="Create or change many persons",
)  # fmt: skip
async def upsert_persons(caller: ContactsWrite, session: Session, request: Request, body: PersonBulk) -> BulkOut:
    """Create or change up to 10 000 persons by external id, each as by a merge patch.

    Each item has its own outcome: what is wrong with one does not keep the others from being saved. An external id that
    comes twice is created or changed twice, in order. A company that is not known yet is created if its name is given.
    """
    return await _in_chunks(bulk.upsert_persons, session, body.items, country_of(request))


@routes.post(
    "/v1/companies/bulk", operation_id="upsert_companies", responses=declare(ExternalIdTaken, UnsupportedMedia),
    dependencies=[Depends(_refuse_lines)],
    summary="Create or change many companies",
)  # fmt: skip
async def upsert_companies(caller: ContactsWrite, session: Session, request: Request, body: CompanyBulk) -> BulkOut:
    """Create or change up to 10 000 companies by external id, each with its own outcome."""
    return await _in_chunks(bulk.upsert_companies, session, body.items, country_of(request))
