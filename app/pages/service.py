"""What the pages do: unsubscribing, and saving preferences."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import queries as consent_queries
from app.consent import service as consent
from app.consent.blocked import Block, block_at_once, read_address
from app.consent.models import BlockReason, ConsentAction, Purpose
from app.consent.service import ConsentLine, SubscriptionAnswer
from app.pages import queries

TEXT_VERSION = "preferences-1"
"""Which wording of the preferences page a consent was given to; a new wording is a new number (GDPR article 7)."""

TRACKING = (Purpose.TRACK_OPENS, Purpose.TRACK_CLICKS)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The recipient whose page it is. Without a subscription type the mailing was of any type."""

    recipient_id: int
    mailing_id: int
    person_id: int | None
    company_id: int | None
    email: str
    sent_to: str
    email_key: str | None
    language: str | None
    sender: str
    subscription_type_id: int | None
    subscription_type: str | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person receives and permits: (id, name, subscribed) per subscription type, and the purposes granted."""

    types: tuple[tuple[int, str, bool], ...]
    granted: frozenset[Purpose]


async def find_visitor(session: AsyncSession, *, recipient_id: int) -> Visitor | None:
    """Return whose page it is, or None when the recipient is gone."""
    row = await queries.find_recipient(session, recipient_id=recipient_id)
    if row is None:
        return None
    return Visitor(
        recipient_id=row.id, mailing_id=row.mailing_id, person_id=row.person_id, company_id=row.company_id,
        email=row.email or "", sent_to=row.sent_to, email_key=row.email_key, language=row.language,
        sender=row.from_name or "", subscription_type_id=row.subscription_type_id,
        subscription_type=row.subscription_type,
    )  # fmt: skip


async def unsubscribe(session: AsyncSession, *, visitor: Visitor, everything: bool, page: str) -> bool:
    """Unsubscribe from the mailing's type, or from everything, at once (D46, D47); return whether it was everything.

    A mailing of any type, and a recipient who matches no person, can only be taken off everything. Repeats change
    nothing. `page` says in the ledger how it came about.
    """
    source = f"{page}, mailing {visitor.mailing_id}"
    subscription_type_id = None if everything else visitor.subscription_type_id
    if visitor.company_id is not None:
        await consent.unsubscribe_company(
            session, company_id=visitor.company_id, subscription_type_id=subscription_type_id, source=source
        )
        if subscription_type_id is None:
            await _unsubscribe_address(session, visitor=visitor, source=source)
    elif visitor.person_id is None:
        subscription_type_id = None
        await _unsubscribe_address(session, visitor=visitor, source=source)
    else:
        await consent.unsubscribe(
            session, person_id=visitor.person_id, subscription_type_id=subscription_type_id, source=source,
            mailing_id=visitor.mailing_id,
        )  # fmt: skip
    await queries.mark_unsubscribed(session, recipient_id=visitor.recipient_id)
    return subscription_type_id is None


async def _unsubscribe_address(session: AsyncSession, *, visitor: Visitor, source: str) -> None:
    if visitor.email_key is None:
        return
    address = read_address(visitor.sent_to)
    await block_at_once(session, blocks=[Block(address, BlockReason.UNSUBSCRIBED_ALL, source, visitor.mailing_id)])


async def read_preferences(session: AsyncSession, *, person_id: int) -> Preferences:
    """Return what a person receives and permits.

    Tracking never asked about is not granted: a box ticked by us is no consent (GDPR recital 32).
    """
    types: Any = await consent_queries.subscriptions_of(session, person_id=person_id)
    consents = await queries.consents_of(session, person_id=person_id)
    return Preferences(
        types=tuple((row.subscription_type_id, row.name, bool(row.subscribed)) for row in types),
        granted=frozenset(purpose for purpose in Purpose if consents.get(purpose.value)),
    )


async def save_preferences(
    session: AsyncSession, *, visitor: Visitor, person_id: int, wanted: Collection[int], tracking: Collection[Purpose]
) -> None:
    """Set a person's subscriptions to the `wanted` types and tracking consent to the given purposes (D46).

    Asking for a type that the person did not have is consent to receive it by email. Unknown types are passed over.
    """
    before = await read_preferences(session, person_id=person_id)
    source = f"preferences page, mailing {visitor.mailing_id}"
    answers = [
        SubscriptionAnswer(person_id, type_id, subscribed=type_id in wanted, source=source)
        for type_id, _, _ in before.types
    ]
    if Purpose.E_MARKETING not in before.granted and any(
        type_id in wanted and not subscribed for type_id, _, subscribed in before.types
    ):
        line = ConsentLine(
            Purpose.E_MARKETING, ConsentAction.GIVEN, source, person_id, text_version=TEXT_VERSION
        )  # fmt: skip
        await consent.record_consent(session, line=line)
    lines = [
        ConsentLine(
            purpose, ConsentAction.GIVEN if purpose in tracking else ConsentAction.WITHDRAWN, source, person_id,
            text_version=TEXT_VERSION,
        )
        for purpose in TRACKING
    ]  # fmt: skip
    await consent.record_consents(session, lines=lines, only_changes=True)
    await consent.set_subscriptions(session, rows=answers)
