"""`/v1/blocked-addresses`."""

from typing import Annotated

from fastapi import Query

from app.consent import blocked, blocked_queries
from app.consent.blocked_schemas import BlockedAddressIn, BlockedAddressOut
from app.consent.errors import AlreadyBlocked, BlockedAddressNotFound, InvalidAddress
from app.consent.models import BlockedAddress, BlockReason
from app.contacts.service import search_key
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="blocked addresses")


def show_blocked(blocked: BlockedAddress) -> BlockedAddressOut:
    """Return a blocked address as the API shows it."""
    return BlockedAddressOut(**blocked.model_dump())


@routes.get(
    "/v1/blocked-addresses", operation_id="list_blocked_addresses", responses=declare(),
    summary="List blocked addresses",
)  # fmt: skip
async def list_blocked_addresses(
    caller: ContactsRead, session: Session, reason: BlockReason | None = None,
    q: Annotated[str | None, Query(max_length=500, description="One address, in whatever way it is written")] = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[BlockedAddressOut]:  # fmt: skip
    """List the addresses no mailing may go to, oldest first."""
    rows = await blocked_queries.page_of_blocked(
        session, reason=reason, email_key=None if q is None else search_key(q), after=read_cursor(cursor), limit=limit
    )
    return Page[BlockedAddressOut](**page_of(rows, limit=limit, show=show_blocked))


@routes.post(
    "/v1/blocked-addresses", operation_id="block_address", status_code=201,
    responses=declare(AlreadyBlocked, InvalidAddress), summary="Block an address",
)  # fmt: skip
async def block_address(caller: ContactsWrite, session: Session, body: BlockedAddressIn) -> BlockedAddressOut:
    """Block an address: no mailing goes to it any more, whoever has it. Lines that wait are taken out at once.

    One that is blocked already keeps its reason (409), save that another reason takes the place of an unsubscription.
    """
    added = await blocked.block_by_hand(session, email=body.email, reason=body.reason, origin=body.origin)
    return show_blocked(added)


@routes.delete(
    "/v1/blocked-addresses/{blocked_address_id}", operation_id="unblock_address", status_code=204,
    responses=declare(BlockedAddressNotFound), summary="Unblock an address",
)  # fmt: skip
async def unblock_address(caller: ContactsWrite, session: Session, blocked_address_id: int) -> None:
    """Let mailings go to the address again. Consent and subscriptions stay as they are."""
    await blocked.unblock(session, blocked_address_id=blocked_address_id)
