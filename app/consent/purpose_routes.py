"""`/v1/consent-purposes`, and consents and subscriptions of many persons at once."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query

from app.consent import bulk, expiring_queries, purpose_queries, purposes
from app.consent.bulk_schemas import ConsentBulk, RecordedOut, SubscriptionBulk
from app.consent.errors import PurposeInUse, PurposeNotFound, PurposeTaken
from app.consent.models import ConsentPurpose, Purpose
from app.consent.schemas import ExpiringOut, ExpiringPage, PurposeIn, PurposeOut, PurposePatch, PurposesOut
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.clock import now
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, page_of, read_key

routes = router(tag="consent")


def show_purpose(purpose: ConsentPurpose) -> PurposeOut:
    """Return a purpose as the API shows it."""
    return PurposeOut(**purpose.model_dump())


def show_expiring(row: Any) -> ExpiringOut:
    """Return whose yes runs out as the API shows it."""
    return ExpiringOut(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


@routes.post(
    "/v1/consent-purposes", operation_id="create_consent_purpose", status_code=201, responses=declare(PurposeTaken),
    summary="Create a purpose",
)  # fmt: skip
async def create_consent_purpose(caller: ContactsWrite, session: Session, body: PurposeIn) -> PurposeOut:
    """Add something that persons and companies can consent to. Its key must be free, and never changes."""
    return show_purpose(await purposes.create_purpose(session, fields=body.model_dump()))


@routes.get("/v1/consent-purposes", operation_id="list_consent_purposes", responses=declare(), summary="List purposes")
async def list_consent_purposes(caller: ContactsRead, session: Session) -> PurposesOut:
    """List all purposes, the built-in ones first."""
    return PurposesOut(items=[show_purpose(purpose) for purpose in await purpose_queries.list_purposes(session)])


@routes.get(
    "/v1/consent-purposes/{key}", operation_id="get_consent_purpose", responses=declare(PurposeNotFound),
    summary="Get a purpose",
)  # fmt: skip
async def get_consent_purpose(caller: ContactsRead, session: Session, key: str) -> PurposeOut:
    """Return one purpose by its key."""
    return show_purpose(await purposes.read_purpose(session, key=key))


@routes.patch(
    "/v1/consent-purposes/{key}", operation_id="update_consent_purpose", responses=declare(PurposeNotFound),
    summary="Change a purpose",
)  # fmt: skip
async def update_consent_purpose(caller: ContactsWrite, session: Session, key: str, body: PurposePatch) -> PurposeOut:
    """Change the fields that are sent.

    `valid_months` is for yeses that are recorded from now on; those in the ledger keep their times.
    """
    fields = body.model_dump(exclude_unset=True)
    return show_purpose(await purposes.change_purpose(session, key=key, fields=fields))


@routes.delete(
    "/v1/consent-purposes/{key}", operation_id="delete_consent_purpose", status_code=204,
    responses=declare(PurposeNotFound, PurposeInUse), summary="Delete a purpose",
)  # fmt: skip
async def delete_consent_purpose(caller: ContactsWrite, session: Session, key: str) -> None:
    """Delete a purpose of your own, unless the ledger has lines of it."""
    await purposes.delete_purpose(session, key=key)


@routes.get(
    "/v1/consents/expiring", operation_id="list_expiring_consents", responses=declare(PurposeNotFound),
    summary="List whose consent runs out",
)  # fmt: skip
async def list_expiring_consents(
    caller: ContactsRead, session: Session,
    purpose: Annotated[str, Query(max_length=40)] = Purpose.E_MARKETING,
    within_days: Annotated[int, Query(ge=0, le=36_600, description="The yes runs out within so many days")] = 30,
    expired_days: Annotated[int, Query(ge=0, le=36_600, description="Or it ran out so many days ago at most")] = 0,
    include: Annotated[Literal["total"] | None, Query(description="`total` counts them, too")] = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> ExpiringPage:  # fmt: skip
    """List the persons to ask for permission again, those first whose yes runs out first.

    Whoever has withdrawn, or said yes anew for longer, is not among them.
    """
    await purposes.read_purpose(session, key=purpose)
    at = now()
    since, until = at - timedelta(days=expired_days), at + timedelta(days=within_days)
    rows = await expiring_queries.page_of_expiring(
        session, purpose=purpose, since=since, until=until, after=read_key(cursor, datetime, int), limit=limit
    )
    total = None
    if include:
        total = await expiring_queries.count_expiring(session, purpose=purpose, since=since, until=until)
    page = page_of(rows, limit=limit, show=show_expiring, key=lambda row: (row.until, row.person_id))
    return ExpiringPage(**page, total=total)


@routes.post(
    "/v1/consents/bulk", operation_id="record_consents", responses=declare(), summary="Record many persons' consents"
)
async def record_consents(caller: ContactsWrite, session: Session, body: ConsentBulk) -> RecordedOut:
    """Append up to 10 000 lines to persons' ledgers, in order, each as a single one would be.

    Each item has its own outcome: what is wrong with one does not keep the others from being recorded. Persons are
    named by `person_id` or `external_id`. Withdrawals take lines that wait out of mailings at once. With `only_changes`
    lines that would change no state are left out as `unchanged`; a yes with a `valid_from` of its own that holds longer
    than the one that is known is a change.
    """
    return await bulk.record_many(session, items=body.items, only_changes=body.only_changes, recorded_by=caller.name)


@routes.post(
    "/v1/subscriptions/bulk", operation_id="set_many_subscriptions", responses=declare(),
    summary="Set many persons' subscriptions",
)  # fmt: skip
async def set_many_subscriptions(caller: ContactsWrite, session: Session, body: SubscriptionBulk) -> RecordedOut:
    """Set up to 10 000 answers of persons to subscription types; answers that are not named stay.

    Each item has its own outcome: `unchanged` where the answer was the same already, which then keeps its time and
    source. Of several answers of one person to one type the last counts. A no takes lines that wait out of mailings of
    that type at once.
    """
    return await bulk.answer_many(session, items=body.items, source=body.source)
