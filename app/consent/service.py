"""Consent, subscriptions and blocked addresses: what other slices call, set by set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import queries
from app.consent.errors import (
    AlreadyBlocked,
    BlockedAddressNotFound,
    InvalidAddress,
    InvalidSubscription,
    SubscriptionTypeNotFound,
)
from app.consent.models import (
    BlockedAddress,
    BlockReason,
    Consent,
    ConsentAction,
    LegalBasis,
    Purpose,
    SubscriptionType,
)
from app.contacts.addresses import Email, InvalidEmail, normalise_email
from app.contacts.service import read_person
from app.platform.errors import InvalidField


@dataclass(frozen=True, slots=True)
class ConsentLine:
    """A line for the ledger, of a person or of an address that matches none; `valid_from` None is now."""

    purpose: Purpose
    action: ConsentAction
    source: str
    person_id: int | None = None
    email_key: str | None = None
    legal_basis: LegalBasis = LegalBasis.CONSENT
    text_version: str | None = None
    valid_from: datetime | None = None
    recorded_by: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionAnswer:
    """A person's yes or no to a subscription type."""

    person_id: int
    subscription_type_id: int
    subscribed: bool
    source: str


async def record_consents(
    session: AsyncSession, *, lines: Sequence[ConsentLine], only_changes: bool = False, only_unknown: bool = False
) -> int:
    """Append lines to the ledger, in order, and bring the state in line; return how many were appended.

    A line older than the one a person's state rests on changes no state. With `only_changes`, lines that would change
    no state are left out; with `only_unknown`, those of persons of whom it is known whether they consent. Lines of
    persons who do not exist (any more) are left out, too.
    """
    ids = sorted({line.person_id for line in lines if line.person_id is not None})
    known = await queries.lock_persons(session, ids=ids) if ids else set()
    rows = [_ledger_row(line) for line in lines if line.person_id is None or line.person_id in known]
    if not rows:
        return 0
    return await queries.append(session, lines=rows, only_changes=only_changes, only_unknown=only_unknown)


def _ledger_row(line: ConsentLine) -> dict[str, Any]:
    return {
        "person_id": line.person_id, "email_key": line.email_key, "purpose": line.purpose.value,
        "action": line.action.value, "legal_basis": line.legal_basis.value, "source": line.source,
        "text_version": line.text_version, "recorded_by": line.recorded_by,
        "valid_from": line.valid_from.isoformat() if line.valid_from else None,
    }  # fmt: skip


async def record_consent(session: AsyncSession, *, line: ConsentLine) -> Consent:
    """Append one person's line and return it.

    A yes to e-marketing that is the newest word also takes back what unsubscribing from everything blocked.
    """
    if line.person_id is None:
        raise ValueError("record_consent is for persons; addresses go through record_consents")
    await record_consents(session, lines=[line])
    if line.purpose is Purpose.E_MARKETING and line.action is ConsentAction.GIVEN:
        await queries.lift(session, person_ids=[line.person_id])
    return await queries.last_consent(session, person_id=line.person_id)


async def withdraw(
    session: AsyncSession,
    *,
    person_id: int,
    source: str,
    purpose: Purpose = Purpose.E_MARKETING,
    recorded_by: str | None = None,
) -> None:
    """Withdraw a person's consent as of now; one that is withdrawn already stays as it is."""
    line = ConsentLine(purpose, ConsentAction.WITHDRAWN, source, person_id, recorded_by=recorded_by)
    await record_consents(session, lines=[line], only_changes=True)


async def set_subscriptions(
    session: AsyncSession, *, rows: Sequence[SubscriptionAnswer], only_unknown: bool = False
) -> int:
    """Set persons' answers to subscription types, the last one for each pair; return how many changed.

    Persons and types must exist. An answer that is the same already keeps its time and source; with `only_unknown`,
    every answer that is there stays.
    """
    last = {(row.person_id, row.subscription_type_id): row for row in rows}
    values = [
        {
            "person_id": row.person_id, "subscription_type_id": row.subscription_type_id, "subscribed": row.subscribed,
            "source": row.source,
        }
        for row in last.values()
    ]  # fmt: skip
    return await queries.subscribe(session, rows=values, only_unknown=only_unknown) if values else 0


async def unsubscribe(session: AsyncSession, *, person_id: int, subscription_type_id: int | None, source: str) -> None:
    """Take a person off a subscription type, or with None off everything (D46). Repeats change nothing.

    Everything is: a no to every type, consent to e-marketing withdrawn, and the address blocked (D59), which also keeps
    out other persons who share it. A person who does not exist any more is passed over.
    """
    if not await queries.lock_persons(session, ids=[person_id]):
        return
    if subscription_type_id is not None:
        await set_subscriptions(
            session, rows=[SubscriptionAnswer(person_id, subscription_type_id, subscribed=False, source=source)]
        )
        return
    await queries.unsubscribe_all(session, person_id=person_id, source=source)
    await withdraw(session, person_id=person_id, source=source)
    person = await read_person(session, person_id=person_id)
    if person.email and person.email_key:
        await block_address(session, email=person.email, reason=BlockReason.UNSUBSCRIBED_ALL, origin=source)


async def block_address(
    session: AsyncSession, *, email: str, reason: BlockReason, origin: str, mailing_id: int | None = None
) -> bool:
    """Block an address, whatever way it is written; return whether it was not blocked before. Repeats are fine.

    Raises InvalidAddress for what is no address: nothing is ever sent there.
    """
    address = _address(email)
    blocked = await queries.block(
        session, email=address.address, email_key=address.key, reason=reason, origin=origin, mailing_id=mailing_id
    )
    return blocked is not None


def _address(email: str) -> Email:
    try:
        return normalise_email(email)
    except InvalidEmail as refusal:
        fault = InvalidField(pointer="#/email", detail=refusal.reason)
        raise InvalidAddress(refusal.reason, errors=[fault]) from refusal


async def block_by_hand(session: AsyncSession, *, email: str, origin: str) -> BlockedAddress:
    """Block an address as `manual`; raises InvalidAddress and AlreadyBlocked."""
    address = _address(email)
    blocked_id = await queries.block(
        session, email=address.address, email_key=address.key, reason=BlockReason.MANUAL, origin=origin, mailing_id=None
    )
    if blocked_id is None:
        raise AlreadyBlocked("This address is blocked; find it with `q`.")
    return await read_blocked(session, blocked_address_id=blocked_id)


async def read_blocked(session: AsyncSession, *, blocked_address_id: int) -> BlockedAddress:
    """Return a blocked address; raises BlockedAddressNotFound."""
    blocked = await queries.find_blocked(session, blocked_address_id=blocked_address_id)
    if blocked is None:
        raise BlockedAddressNotFound(f"There is no blocked address {blocked_address_id}.")
    return blocked


async def unblock(session: AsyncSession, *, blocked_address_id: int) -> None:
    """Let mailings go to an address again; raises BlockedAddressNotFound."""
    await session.delete(await read_blocked(session, blocked_address_id=blocked_address_id))


async def answer_subscriptions(
    session: AsyncSession, *, person_id: int, answers: Sequence[tuple[int, bool]], source: str
) -> Sequence[Any]:
    """Set a person's answers (subscription type, subscribed) and return all; raises InvalidSubscription."""
    await read_person(session, person_id=person_id)
    known = await queries.known_type_ids(session, ids=[type_id for type_id, _ in answers])
    faults = [
        InvalidField(
            pointer=f"#/items/{index}/subscription_type_id", detail=f"There is no subscription type {type_id}."
        )
        for index, (type_id, _) in enumerate(answers)
        if type_id not in known
    ]
    if faults:
        raise InvalidSubscription(faults[0].detail, errors=faults)
    rows = [SubscriptionAnswer(person_id, type_id, subscribed, source) for type_id, subscribed in answers]
    await set_subscriptions(session, rows=rows)
    return await queries.subscriptions_of(session, person_id=person_id)


async def create_type(session: AsyncSession, *, name: str, description: str | None) -> SubscriptionType:
    """Add a subscription type; raises SubscriptionTypeTaken."""
    kind = SubscriptionType(name=name, description=description)
    await queries.save_type(session, kind)
    return kind


async def read_type(session: AsyncSession, *, subscription_type_id: int) -> SubscriptionType:
    """Return a subscription type; raises SubscriptionTypeNotFound."""
    kind = await queries.find_type(session, subscription_type_id=subscription_type_id)
    if kind is None:
        raise SubscriptionTypeNotFound(f"There is no subscription type {subscription_type_id}.")
    return kind


async def change_type(session: AsyncSession, *, subscription_type_id: int, fields: dict[str, Any]) -> SubscriptionType:
    """Change a subscription type; raises SubscriptionTypeNotFound and SubscriptionTypeTaken."""
    kind = await read_type(session, subscription_type_id=subscription_type_id)
    kind.sqlmodel_update(fields)
    await queries.save_type(session, kind)
    return kind


async def delete_type(session: AsyncSession, *, subscription_type_id: int) -> None:
    """Delete a subscription type with its subscriptions; raises SubscriptionTypeNotFound, SubscriptionTypeInUse."""
    await queries.delete_type(session, await read_type(session, subscription_type_id=subscription_type_id))
