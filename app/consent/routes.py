"""`/v1/subscription-types`, `/v1/persons/{id}/consents`, `/v1/persons/{id}/subscriptions`, `/v1/blocked-addresses`."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from app.consent import queries, service
from app.consent.errors import (
    AlreadyBlocked,
    BlockedAddressNotFound,
    InvalidAddress,
    InvalidSubscription,
    SubscriptionTypeInUse,
    SubscriptionTypeNotFound,
    SubscriptionTypeTaken,
)
from app.consent.models import BlockedAddress, BlockReason, Consent, SubscriptionType
from app.consent.schemas import (
    BlockedAddressIn,
    BlockedAddressOut,
    ConsentIn,
    ConsentOut,
    SubscriptionOut,
    SubscriptionsIn,
    SubscriptionsOut,
    SubscriptionTypeIn,
    SubscriptionTypeOut,
    SubscriptionTypePatch,
)
from app.contacts.errors import PersonNotFound
from app.contacts.service import read_person, search_key
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(tag="consent")


def show_type(kind: SubscriptionType) -> SubscriptionTypeOut:
    """Return a subscription type as the API shows it."""
    return SubscriptionTypeOut(**kind.model_dump())


def show_consent(consent: Consent) -> ConsentOut:
    """Return a line of the ledger as the API shows it."""
    return ConsentOut(**consent.model_dump())


def show_blocked(blocked: BlockedAddress) -> BlockedAddressOut:
    """Return a blocked address as the API shows it."""
    return BlockedAddressOut(**blocked.model_dump())


def show_subscriptions(rows: Sequence[Any]) -> SubscriptionsOut:
    """Return a person's answers as the API shows them."""
    items = [SubscriptionOut(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it
    return SubscriptionsOut(items=items)


@routes.post(
    "/v1/subscription-types", operation_id="create_subscription_type", status_code=201,
    responses=declare(SubscriptionTypeTaken), summary="Create a subscription type",
)  # fmt: skip
async def create_subscription_type(
    caller: ContactsWrite, session: Session, body: SubscriptionTypeIn
) -> SubscriptionTypeOut:
    """Add a kind of mailing that persons can say yes to. Its name must be free."""
    return show_type(await service.create_type(session, name=body.name, description=body.description))


@routes.get(
    "/v1/subscription-types", operation_id="list_subscription_types", responses=declare(),
    summary="List subscription types",
)  # fmt: skip
async def list_subscription_types(
    caller: ContactsRead, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[SubscriptionTypeOut]:
    """List subscription types, oldest first."""
    rows = await queries.page_of_types(session, after=read_cursor(cursor), limit=limit)
    return Page[SubscriptionTypeOut](**page_of(rows, limit=limit, show=show_type))


@routes.get(
    "/v1/subscription-types/{subscription_type_id}", operation_id="get_subscription_type",
    responses=declare(SubscriptionTypeNotFound), summary="Get a subscription type",
)  # fmt: skip
async def get_subscription_type(
    caller: ContactsRead, session: Session, subscription_type_id: int
) -> SubscriptionTypeOut:
    """Return one subscription type."""
    return show_type(await service.read_type(session, subscription_type_id=subscription_type_id))


@routes.patch(
    "/v1/subscription-types/{subscription_type_id}", operation_id="update_subscription_type",
    responses=declare(SubscriptionTypeNotFound, SubscriptionTypeTaken), summary="Change a subscription type",
)  # fmt: skip
async def update_subscription_type(
    caller: ContactsWrite, session: Session, subscription_type_id: int, body: SubscriptionTypePatch
) -> SubscriptionTypeOut:
    """Change the fields that are sent."""
    fields = body.model_dump(exclude_unset=True)
    return show_type(await service.change_type(session, subscription_type_id=subscription_type_id, fields=fields))


@routes.delete(
    "/v1/subscription-types/{subscription_type_id}", operation_id="delete_subscription_type", status_code=204,
    responses=declare(SubscriptionTypeNotFound, SubscriptionTypeInUse), summary="Delete a subscription type",
)  # fmt: skip
async def delete_subscription_type(caller: ContactsWrite, session: Session, subscription_type_id: int) -> None:
    """Delete a subscription type with everyone's answers to it, unless a mailing is of this type."""
    await service.delete_type(session, subscription_type_id=subscription_type_id)


@routes.get(
    "/v1/persons/{person_id}/consents", operation_id="list_consents", responses=declare(PersonNotFound),
    summary="List a person's consents",
)  # fmt: skip
async def list_consents(
    caller: ContactsRead, session: Session, person_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[ConsentOut]:
    """List the lines of the person's ledger in the order in which they were recorded."""
    await read_person(session, person_id=person_id)
    rows = await queries.page_of_consents(session, person_id=person_id, after=read_cursor(cursor), limit=limit)
    return Page[ConsentOut](**page_of(rows, limit=limit, show=show_consent))


@routes.post(
    "/v1/persons/{person_id}/consents", operation_id="record_consent", status_code=201,
    responses=declare(PersonNotFound), summary="Record a consent",
)  # fmt: skip
async def record_consent(caller: ContactsWrite, session: Session, person_id: int, body: ConsentIn) -> ConsentOut:
    """Append a line to the person's ledger: consent given or withdrawn. Lines are never changed.

    What holds is what the line with the latest `valid_from` says: one with an earlier time is kept as proof only.
    """
    await read_person(session, person_id=person_id)
    line = service.ConsentLine(**body.model_dump(), person_id=person_id, recorded_by=caller.name)
    return show_consent(await service.record_consent(session, line=line))


@routes.get(
    "/v1/persons/{person_id}/subscriptions", operation_id="get_subscriptions", responses=declare(PersonNotFound),
    summary="Get a person's subscriptions",
)  # fmt: skip
async def get_subscriptions(caller: ContactsRead, session: Session, person_id: int) -> SubscriptionsOut:
    """Return the person's answer to every subscription type, null where there is none."""
    await read_person(session, person_id=person_id)
    return show_subscriptions(await queries.subscriptions_of(session, person_id=person_id))


@routes.put(
    "/v1/persons/{person_id}/subscriptions", operation_id="set_subscriptions",
    responses=declare(PersonNotFound, InvalidSubscription), summary="Set a person's subscriptions",
)  # fmt: skip
async def set_subscriptions(
    caller: ContactsWrite, session: Session, person_id: int, body: SubscriptionsIn
) -> SubscriptionsOut:
    """Set the answers that are sent; the others stay. Returns all of them."""
    answers = [(item.subscription_type_id, item.subscribed) for item in body.items]
    rows = await service.answer_subscriptions(session, person_id=person_id, answers=answers, source=body.source)
    return show_subscriptions(rows)


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
    rows = await queries.page_of_blocked(
        session, reason=reason, email_key=None if q is None else search_key(q), after=read_cursor(cursor), limit=limit
    )
    return Page[BlockedAddressOut](**page_of(rows, limit=limit, show=show_blocked))


@routes.post(
    "/v1/blocked-addresses", operation_id="block_address", status_code=201,
    responses=declare(InvalidAddress, AlreadyBlocked), summary="Block an address",
)  # fmt: skip
async def block_address(caller: ContactsWrite, session: Session, body: BlockedAddressIn) -> BlockedAddressOut:
    """Block an address by hand: no mailing goes there, whoever has it and whatever was overridden."""
    return show_blocked(await service.block_by_hand(session, email=body.email, origin=body.origin))


@routes.delete(
    "/v1/blocked-addresses/{blocked_address_id}", operation_id="unblock_address", status_code=204,
    responses=declare(BlockedAddressNotFound), summary="Unblock an address",
)  # fmt: skip
async def unblock_address(caller: ContactsWrite, session: Session, blocked_address_id: int) -> None:
    """Let mailings go to the address again. Consent and subscriptions stay as they are."""
    await service.unblock(session, blocked_address_id=blocked_address_id)
