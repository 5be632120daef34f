"""`/v1/destination-limits` and `/v1/slowed-destinations`: how much goes to whom, and who asked for less (D31)."""

from typing import Any

from app.delivery import pace_queries as queries
from app.delivery.pace_errors import DestinationLimitNotFound, DestinationNotSlowed
from app.delivery.pace_models import DestinationLimit
from app.delivery.pace_schemas import Destination, DestinationLimitIn, DestinationLimitOut, SlowedDestinationOut
from app.platform.auth import Admin, MailingsRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_key

routes = router(prefix="/v1", tag="sending limits")


def show_limit(limit: DestinationLimit) -> DestinationLimitOut:
    """Return a limit as the API shows it."""
    return DestinationLimitOut(**limit.model_dump(exclude={"id"}))


def show_slowed(row: Any) -> SlowedDestinationOut:
    """Return a slowed destination as the API shows it."""
    return SlowedDestinationOut.model_validate(row, from_attributes=True)


@routes.put(
    "/destination-limits/{domain}", operation_id="set_destination_limit", responses=declare(),
    summary="Limit what goes to a destination",
)  # fmt: skip
async def set_destination_limit(
    caller: Admin, session: Session, domain: Destination, body: DestinationLimitIn
) -> DestinationLimitOut:
    """Set how much may go to recipients of a domain, by all workers and mailings together, in place of what was set.

    It holds within about a second, also for what is being sent. Recipients that a limit keeps back stay *ready*, and
    other domains go on at full speed. With the domain `*`, every domain without a limit of its own has this one, each
    for itself. A limit is kept in every window of its length, give or take what was granted within a fifth of a
    second.
    """
    return show_limit(await queries.set_limit(session, domain=domain, fields=body.model_dump()))


@routes.get(
    "/destination-limits", operation_id="list_destination_limits", responses=declare(),
    summary="List limits of destinations",
)  # fmt: skip
async def list_destination_limits(
    caller: MailingsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[DestinationLimitOut]:
    """List the domains that have a limit, by name. Without any, only sending accounts and mailings limit what goes."""
    after = read_key(cursor, str)
    rows = await queries.page_of_limits(session, after=after[0] if after else None, limit=limit)
    page = page_of(rows, limit=limit, show=show_limit, key=lambda row: [row.domain])
    return Page[DestinationLimitOut](**page)


@routes.get(
    "/destination-limits/{domain}", operation_id="get_destination_limit", responses=declare(DestinationLimitNotFound),
    summary="Get the limit of a destination",
)  # fmt: skip
async def get_destination_limit(caller: MailingsRead, session: Session, domain: Destination) -> DestinationLimitOut:
    """Return the limit that was set for a domain, or for `*`; 404 when it has none of its own."""
    found = await queries.find_limit(session, domain=domain)
    if found is None:
        raise DestinationLimitNotFound(f"{domain} has no limit of its own.")
    return show_limit(found)


@routes.delete(
    "/destination-limits/{domain}", operation_id="delete_destination_limit", status_code=204,
    responses=declare(DestinationLimitNotFound), summary="Lift the limit of a destination",
)  # fmt: skip
async def delete_destination_limit(caller: Admin, session: Session, domain: Destination) -> None:
    """Lift the limit of a domain; that of `*` holds for it from then on, if there is one.

    What the limit had kept back goes within a minute.
    """
    found = await queries.find_limit(session, domain=domain)
    if found is None:
        raise DestinationLimitNotFound(f"{domain} has no limit of its own.")
    await session.delete(found)


@routes.get(
    "/slowed-destinations", operation_id="list_slowed_destinations", responses=declare(),
    summary="List destinations that asked for less",
)  # fmt: skip
async def list_slowed_destinations(
    caller: MailingsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[SlowedDestinationOut]:
    """List the domains that are slowed down now, by name, each with its rate and the server's words.

    A server that answers with 421, or that there are too many messages, has its domain's rate halved for all workers;
    then it grows evenly, and within ten minutes the domain is at full speed again.
    """
    after = read_key(cursor, str)
    rows = await queries.page_of_slowed(session, after=after[0] if after else None, limit=limit)
    page = page_of(rows, limit=limit, show=show_slowed, key=lambda row: [row.domain])
    return Page[SlowedDestinationOut](**page)


@routes.delete(
    "/slowed-destinations/{domain}", operation_id="release_slowed_destination", status_code=204,
    responses=declare(DestinationNotSlowed), summary="Let a destination go at full speed",
)  # fmt: skip
async def release_slowed_destination(caller: Admin, session: Session, domain: Destination) -> None:
    """Forget that a domain asked for less: it goes at full speed at once, as far as limits let it."""
    if not await queries.release_slowed(session, domain=domain):
        raise DestinationNotSlowed(f"{domain} is not slowed down.")
