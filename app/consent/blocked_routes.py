"""`/v1/blocked-addresses`: the registry, and what is done about an address (D60)."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from app.consent import blocked, registry, registry_queries
from app.consent.blocked_schemas import (
    BlockedAddressIn,
    BlockedAddressOut,
    BlockedBulkIn,
    BlockedBulkOut,
    BlockedIds,
    CorrectionIn,
    HolderOut,
    HoldersChanged,
    UnblockIn,
)
from app.consent.errors import AlreadyBlocked, BlockedAddressNotFound, InvalidAddress
from app.consent.models import BlockedAddress, BlockReason
from app.consent.registry_queries import BlockedFilter, BlockedSort, key_kinds, key_of
from app.contacts.service import search_key
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.clock import Instant
from app.platform.csv_lines import BYTE_ORDER_MARK, csv_lines
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor, read_key

routes = router(tag="blocked addresses")

EXPORT_ROWS = 2000  # read and sent at a time: flat memory, and no transaction waits for the client


def show_blocked(blocked: BlockedAddress) -> BlockedAddressOut:
    """Return a blocked address as the API shows it."""
    return BlockedAddressOut(**blocked.model_dump())


def show_holder(row: Any) -> HolderOut:
    """Return a person who has an address as the API shows it."""
    return HolderOut(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def _filter(
    reason: Annotated[list[BlockReason] | None, Query(description="Any of these")] = None,
    q: Annotated[str | None, Query(max_length=500, description="One address, in whatever way it is written")] = None,
    part: Annotated[str | None, Query(min_length=1, max_length=200, description="Part of the address")] = None,
    origin: Annotated[str | None, Query(min_length=1, max_length=200, description="Part of the origin")] = None,
    mailing_id: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="The mailing that led to it")] = None,
    since: Annotated[Instant | None, Query(description="Blocked at that time or later")] = None,
    until: Annotated[Instant | None, Query(description="Blocked before that time")] = None,
) -> BlockedFilter:
    return BlockedFilter(
        reasons=reason or (), email_key=None if q is None else search_key(q), part=part, origin=origin,
        mailing_id=mailing_id, since=since, until=until,
    )  # fmt: skip


Filter = Annotated[BlockedFilter, Depends(_filter)]


@routes.get(
    "/v1/blocked-addresses", operation_id="list_blocked_addresses", responses=declare(),
    summary="List blocked addresses",
)  # fmt: skip
async def list_blocked_addresses(
    caller: ContactsRead, session: Session, where: Filter, sort: BlockedSort = BlockedSort.OLDEST, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BlockedAddressOut]:  # fmt: skip
    """List the addresses no mailing may go to, over all mailings or with `mailing_id` of one."""
    rows = await registry_queries.page_of_blocked(
        session, where=where, sort=sort, after=read_key(cursor, *key_kinds(sort)), limit=limit
    )
    return Page[BlockedAddressOut](**page_of(rows, limit=limit, show=show_blocked, key=lambda row: key_of(row, sort)))


@routes.get(
    "/v1/blocked-addresses/export", operation_id="export_blocked_addresses",
    responses={**declare(), 200: {"content": {"text/csv": {}}, "description": "A CSV file in UTF-8"}},
    response_class=StreamingResponse, summary="Export blocked addresses as CSV",
)  # fmt: skip
async def export_blocked_addresses(
    caller: ContactsRead, request: Request, where: Filter, sort: BlockedSort = BlockedSort.OLDEST
) -> StreamingResponse:
    """Send all blocked addresses that pass the filter as a CSV file, with as little memory for a million as for ten.

    What a spreadsheet would take for a formula begins with an apostrophe.
    """
    headers = {"Content-Disposition": 'attachment; filename="blocked-addresses.csv"'}
    return StreamingResponse(_exported(request, where, sort), media_type="text/csv; charset=utf-8", headers=headers)


async def _exported(request: Request, where: BlockedFilter, sort: BlockedSort) -> AsyncIterator[bytes]:
    yield BYTE_ORDER_MARK.encode() + csv_lines([("email", "reason", "origin", "mailing_id", "blocked_at")])
    after = None
    more = True
    while more:
        async with request.app.state.database.begin() as session:
            rows = await registry_queries.page_of_blocked(
                session, where=where, sort=sort, after=after, limit=EXPORT_ROWS
            )
        more = len(rows) > EXPORT_ROWS
        rows = rows[:EXPORT_ROWS]
        if rows:
            after = key_of(rows[-1], sort)
            yield csv_lines((row.email, row.reason.value, row.origin, row.mailing_id, row.created_at) for row in rows)


@routes.post(
    "/v1/blocked-addresses", operation_id="block_address", status_code=201,
    responses=declare(AlreadyBlocked, InvalidAddress), summary="Block an address",
)  # fmt: skip
async def block_address(caller: ContactsWrite, session: Session, body: BlockedAddressIn) -> BlockedAddressOut:
    """Block an address: no mailing goes to it any more, whoever has it. Lines that wait are taken out at once.

    One that is blocked already keeps its reason (409), save that another reason takes the place of an unsubscription.
    A complaint also withdraws the consent to e-marketing of the persons who have the address.
    """
    added = await blocked.block_by_hand(session, email=body.email, reason=body.reason, origin=body.origin)
    return show_blocked(added)


@routes.post(
    "/v1/blocked-addresses/bulk", operation_id="block_addresses", responses=declare(), summary="Block many addresses"
)
async def block_addresses(caller: ContactsWrite, session: Session, body: BlockedBulkIn) -> BlockedBulkOut:
    """Block up to 10 000 addresses, each as a single one would be, with an outcome for each.

    What is wrong with one does not keep the others from being blocked; one that is blocked already is `unchanged`.
    """
    return await registry.block_many(session, items=body.items)


@routes.post(
    "/v1/blocked-addresses/unblock", operation_id="unblock_addresses", responses=declare(),
    summary="Unblock many addresses",
)  # fmt: skip
async def unblock_addresses(caller: ContactsWrite, session: Session, body: UnblockIn) -> BlockedBulkOut:
    """Let mailings go to up to 10 000 addresses again, with an outcome for each: `unchanged` was not blocked."""
    return await registry.unblock_many(session, asked=body)


@routes.post(
    "/v1/blocked-addresses/delete-from-persons", operation_id="delete_blocked_addresses_from_persons",
    responses=declare(BlockedAddressNotFound), summary="Take blocked addresses away from persons",
)  # fmt: skip
async def delete_blocked_addresses_from_persons(
    caller: ContactsWrite, session: Session, body: BlockedIds
) -> HoldersChanged:
    """Take the addresses away from all persons and companies who have them; they stay blocked.

    Where it was the preferred one, the oldest further address takes its place. Lists of mailings follow at their next
    update. With an id of no blocked address nothing is changed.
    """
    return await registry.delete_from_holders(session, ids=body.ids)


@routes.post(
    "/v1/blocked-addresses/mark-former-employees", operation_id="mark_former_employees",
    responses=declare(BlockedAddressNotFound), summary="Mark persons with blocked addresses as former employees",
)  # fmt: skip
async def mark_former_employees(caller: ContactsWrite, session: Session, body: BlockedIds) -> HoldersChanged:
    """Mark all persons who have the addresses as former employees; mailings that wait for them leave them out at once.

    Answers how many were not marked before. With an id of no blocked address nothing is changed.
    """
    return await registry.mark_as_left(session, ids=body.ids)


@routes.get(
    "/v1/blocked-addresses/{blocked_address_id}", operation_id="get_blocked_address",
    responses=declare(BlockedAddressNotFound), summary="Get a blocked address",
)  # fmt: skip
async def get_blocked_address(caller: ContactsRead, session: Session, blocked_address_id: int) -> BlockedAddressOut:
    """Return one blocked address."""
    return show_blocked(await blocked.read_blocked(session, blocked_address_id=blocked_address_id))


@routes.get(
    "/v1/blocked-addresses/{blocked_address_id}/persons", operation_id="list_persons_of_blocked_address",
    responses=declare(BlockedAddressNotFound), summary="List the persons who have a blocked address",
)  # fmt: skip
async def list_persons_of_blocked_address(
    caller: ContactsRead, session: Session, blocked_address_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[HolderOut]:
    """List the persons who have the address, as the preferred one or a further one."""
    known = await blocked.read_blocked(session, blocked_address_id=blocked_address_id)
    rows = await registry_queries.page_of_holders(
        session, email_key=known.email_key, after=read_cursor(cursor), limit=limit
    )
    return Page[HolderOut](**page_of(rows, limit=limit, show=show_holder))


@routes.post(
    "/v1/blocked-addresses/{blocked_address_id}/correct", operation_id="correct_blocked_address",
    responses=declare(BlockedAddressNotFound, InvalidAddress, AlreadyBlocked), summary="Correct a blocked address",
)  # fmt: skip
async def correct_blocked_address(
    caller: ContactsWrite, session: Session, blocked_address_id: int, body: CorrectionIn
) -> HoldersChanged:
    """Write the address that is right in the place of the blocked one, with all persons and companies who have it.

    The old address stays blocked. Refused when nothing may go to the new one, either (409). Lists of mailings follow at
    their next update.
    """
    return await registry.correct_address(session, blocked_address_id=blocked_address_id, email=body.email)


@routes.delete(
    "/v1/blocked-addresses/{blocked_address_id}", operation_id="unblock_address", status_code=204,
    responses=declare(BlockedAddressNotFound), summary="Unblock an address",
)  # fmt: skip
async def unblock_address(caller: ContactsWrite, session: Session, blocked_address_id: int) -> None:
    """Let mailings go to the address again. Consent and subscriptions stay as they are."""
    await blocked.unblock(session, blocked_address_id=blocked_address_id)
