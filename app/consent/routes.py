"""`/v1/subscription-types`, and consents and subscriptions of persons, companies and addresses."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from app.consent import ledger_queries, queries, service
from app.consent.errors import (
    InvalidConsent,
    InvalidSubscription,
    SubscriptionTypeInUse,
    SubscriptionTypeNotFound,
    SubscriptionTypeTaken,
)
from app.consent.models import Consent, SubscriptionType
from app.consent.purposes import check_line
from app.consent.schemas import (
    ConsentIn,
    ConsentOut,
    ConsentStateOut,
    ConsentStatesOut,
    SubscriptionOut,
    SubscriptionsIn,
    SubscriptionsOut,
    SubscriptionTypeIn,
    SubscriptionTypeOut,
    SubscriptionTypePatch,
)
from app.contacts.errors import CompanyNotFound, PersonNotFound
from app.contacts.service import read_company, read_person, search_key
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


def show_states(rows: Sequence[Any]) -> ConsentStatesOut:
    """Return what the ledger says now as the API shows it."""
    items = [ConsentStateOut(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it
    return ConsentStatesOut(items=items)


def show_subscriptions(rows: Sequence[Any]) -> SubscriptionsOut:
    """Return answers as the API shows them."""
    items = [SubscriptionOut(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it
    return SubscriptionsOut(items=items)


@routes.post(
    "/v1/subscription-types", operation_id="create_subscription_type", status_code=201,
    responses=declare(SubscriptionTypeTaken), summary="Create a subscription type",
)  # fmt: skip
async def create_subscription_type(
    caller: ContactsWrite, session: Session, body: SubscriptionTypeIn
) -> SubscriptionTypeOut:
    """Add a kind of mailing that persons can say yes to. Its name and external id must be free."""
    return show_type(await service.create_type(session, fields=body.model_dump()))


@routes.get(
    "/v1/subscription-types", operation_id="list_subscription_types", responses=declare(),
    summary="List subscription types",
)  # fmt: skip
async def list_subscription_types(
    caller: ContactsRead, session: Session,
    external_id: Annotated[str | None, Query(max_length=200)] = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[SubscriptionTypeOut]:  # fmt: skip
    """List subscription types, oldest first; with `external_id` the one that the CRM calls so."""
    rows = await queries.page_of_types(session, external_id=external_id, after=read_cursor(cursor), limit=limit)
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
    "/v1/consents", operation_id="list_consents_of_address", responses=declare(), summary="List an address's consents",
)  # fmt: skip
async def list_consents_of_address(
    caller: ContactsRead, session: Session,
    email: Annotated[str, Query(max_length=500, description="In whatever way it is written")],
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[ConsentOut]:  # fmt: skip
    """List the lines of the ledger that an address has by itself, in the order in which they were recorded.

    Such lines come from imports and pasted addresses that match no person (D20). An address without any, or one that is
    not valid, has an empty list.
    """
    rows = await ledger_queries.page_of_consents(
        session, email_key=search_key(email), after=read_cursor(cursor), limit=limit
    )
    return Page[ConsentOut](**page_of(rows, limit=limit, show=show_consent))


@routes.get(
    "/v1/persons/{person_id}/consents", operation_id="list_consents", responses=declare(PersonNotFound),
    summary="List a person's consents",
)  # fmt: skip
async def list_consents(
    caller: ContactsRead, session: Session, person_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[ConsentOut]:
    """List the lines of the person's ledger in the order in which they were recorded."""
    await read_person(session, person_id=person_id)
    rows = await ledger_queries.page_of_consents(session, person_id=person_id, after=read_cursor(cursor), limit=limit)
    return Page[ConsentOut](**page_of(rows, limit=limit, show=show_consent))


@routes.post(
    "/v1/persons/{person_id}/consents", operation_id="record_consent", status_code=201,
    responses=declare(PersonNotFound, InvalidConsent), summary="Record a consent",
)  # fmt: skip
async def record_consent(caller: ContactsWrite, session: Session, person_id: int, body: ConsentIn) -> ConsentOut:
    """Append a line to the person's ledger: consent given or withdrawn. Lines are never changed.

    What holds is what the line with the latest `valid_from` says: one with an earlier time is kept as proof only. A
    withdrawal of `e_marketing` takes the person out of every mailing that has not been sent to it yet, at once, save
    those that override consent.
    """
    await read_person(session, person_id=person_id)
    await check_line(session, body)
    line = service.ConsentLine(**body.model_dump(), person_id=person_id, recorded_by=caller.name)
    return show_consent(await service.record_consent(session, line=line))


@routes.get(
    "/v1/persons/{person_id}/consents/state", operation_id="get_consent_state", responses=declare(PersonNotFound),
    summary="Get what a person consents to",
)  # fmt: skip
async def get_consent_state(caller: ContactsRead, session: Session, person_id: int) -> ConsentStatesOut:
    """Return what the ledger says now, for every purpose: unknown, given, withdrawn or expired, and since when.

    Tracking of opens and clicks are purposes of their own (`track_opens`, `track_clicks`).
    """
    await read_person(session, person_id=person_id)
    return show_states(await ledger_queries.states_of(session, person_id=person_id))


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
    """Set the answers that are sent; the others stay. Returns all of them.

    A no takes the person out of mailings of that type that have not been sent to it yet, at once, save those that
    override consent; of mailings of any type, when no other type is subscribed to.
    """
    answers = [(item.subscription_type_id, item.subscribed) for item in body.items]
    rows = await service.answer_subscriptions(session, person_id=person_id, answers=answers, source=body.source)
    return show_subscriptions(rows)


@routes.get(
    "/v1/companies/{company_id}/consents", operation_id="list_company_consents", responses=declare(CompanyNotFound),
    summary="List a company's consents",
)  # fmt: skip
async def list_company_consents(
    caller: ContactsRead, session: Session, company_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[ConsentOut]:
    """List the lines of the company's ledger in the order in which they were recorded.

    They are about the company's own address, such as post@.
    """
    await read_company(session, company_id=company_id)
    rows = await ledger_queries.page_of_consents(session, company_id=company_id, after=read_cursor(cursor), limit=limit)
    return Page[ConsentOut](**page_of(rows, limit=limit, show=show_consent))


@routes.post(
    "/v1/companies/{company_id}/consents", operation_id="record_company_consent", status_code=201,
    responses=declare(CompanyNotFound, InvalidConsent), summary="Record a company's consent",
)  # fmt: skip
async def record_company_consent(
    caller: ContactsWrite, session: Session, company_id: int, body: ConsentIn
) -> ConsentOut:
    """Append a line to the company's ledger: consent given or withdrawn. Lines are never changed.

    What holds is what the line with the latest `valid_from` says: one with an earlier time is kept as proof only. A
    withdrawal of `e_marketing` takes the company out of every mailing that has not been sent to it yet, at once, save
    those that override consent.
    """
    await read_company(session, company_id=company_id)
    await check_line(session, body)
    line = service.ConsentLine(**body.model_dump(), company_id=company_id, recorded_by=caller.name)
    return show_consent(await service.record_consent(session, line=line))


@routes.get(
    "/v1/companies/{company_id}/consents/state", operation_id="get_company_consent_state",
    responses=declare(CompanyNotFound), summary="Get what a company consents to",
)  # fmt: skip
async def get_company_consent_state(caller: ContactsRead, session: Session, company_id: int) -> ConsentStatesOut:
    """Return what the ledger says now, for every purpose: unknown, given, withdrawn or expired, and since when.

    Tracking of opens and clicks are purposes of their own (`track_opens`, `track_clicks`).
    """
    await read_company(session, company_id=company_id)
    return show_states(await ledger_queries.states_of(session, company_id=company_id))


@routes.get(
    "/v1/companies/{company_id}/subscriptions", operation_id="get_company_subscriptions",
    responses=declare(CompanyNotFound), summary="Get a company's subscriptions",
)  # fmt: skip
async def get_company_subscriptions(caller: ContactsRead, session: Session, company_id: int) -> SubscriptionsOut:
    """Return the company's answer to every subscription type, null where there is none."""
    await read_company(session, company_id=company_id)
    return show_subscriptions(await queries.subscriptions_of_company(session, company_id=company_id))


@routes.put(
    "/v1/companies/{company_id}/subscriptions", operation_id="set_company_subscriptions",
    responses=declare(CompanyNotFound, InvalidSubscription), summary="Set a company's subscriptions",
)  # fmt: skip
async def set_company_subscriptions(
    caller: ContactsWrite, session: Session, company_id: int, body: SubscriptionsIn
) -> SubscriptionsOut:
    """Set the answers that are sent; the others stay. Returns all of them.

    A no takes the company out of mailings of that type that have not been sent to it yet, at once, save those that
    override consent; of mailings of any type, when no other type is subscribed to.
    """
    answers = [(item.subscription_type_id, item.subscribed) for item in body.items]
    rows = await service.answer_company_subscriptions(
        session, company_id=company_id, answers=answers, source=body.source
    )
    return show_subscriptions(rows)
