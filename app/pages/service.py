"""What the pages do: unsubscribing and taking it back, and saving preferences."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import service as consent
from app.consent.blocked import Block, block_at_once, read_address, take_back_unsubscription
from app.consent.models import BlockReason, ConsentAction, Purpose
from app.consent.service import ConsentLine, SubscriptionAnswer
from app.pages import queries
from app.pages.models import LeavingReason
from app.platform.clock import now
from app.platform.outbox import Job, enqueue

TEXT_VERSION = "preferences-1"
"""Which wording of the preferences page a consent was given to; a new wording is a new number (GDPR article 7)."""

UNDO_VERSION = "undo-1"
"""The same of the button that takes unsubscribing back."""

UNDO_HOURS = 24
"""How long unsubscribing can be taken back with one button. The link lasts for ever, and old mail is passed around."""

TRACKING = (Purpose.TRACK_OPENS, Purpose.TRACK_CLICKS)

LINK_MINUTES = 5  # between two requests of a fresh link: the first is most often in the inbox by then
LINKS_A_DAY = 5


@dataclass(frozen=True, slots=True)
class Visitor:
    """The recipient whose page it is. Without a subscription type the mailing was of any type.

    `has_left_type` and `has_left_all` tell what holds now; `sent_at` when the message went out.
    """

    recipient_id: int
    mailing_id: int
    person_id: int | None
    company_id: int | None
    email: str
    sent_to: str
    email_key: str | None
    language: str | None
    sender: str
    sender_email: str
    sending_account_id: int | None
    sent_at: datetime
    subscription_type_id: int | None
    subscription_type: str | None
    has_left_type: bool
    has_left_all: bool
    can_undo: bool
    can_say_why: bool

    @property
    def is_known(self) -> bool:
        """Whether it is a person or a company, and not an address alone."""
        return self.person_id is not None or self.company_id is not None

    @property
    def is_erased(self) -> bool:
        """Whether the line was emptied on request (D78)."""
        return not self.sent_to


@dataclass(frozen=True, slots=True)
class TypeChoice:
    """A subscription type as the preferences page shows it."""

    id: int
    name: str
    description: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What somebody receives, and the purposes a person granted; a company is not tracked."""

    types: tuple[TypeChoice, ...]
    granted: frozenset[Purpose] | None


async def find_visitor(session: AsyncSession, *, recipient_id: int) -> Visitor | None:
    """Return whose page it is, or None when the recipient is gone."""
    row = await queries.find_recipient(session, recipient_id=recipient_id, undo_hours=UNDO_HOURS)
    if row is None:
        return None
    return Visitor(
        recipient_id=row.id, mailing_id=row.mailing_id, person_id=row.person_id, company_id=row.company_id,
        email=row.email or "", sent_to=row.sent_to, email_key=row.email_key, language=row.language,
        sender=row.from_name or "", sender_email=row.from_email or "", sending_account_id=row.sending_account_id,
        sent_at=row.sent_at, subscription_type_id=row.subscription_type_id, subscription_type=row.subscription_type,
        has_left_type=row.has_left_type, has_left_all=row.has_left_all, can_undo=row.can_undo,
        can_say_why=row.can_say_why,
    )  # fmt: skip


async def unsubscribe(session: AsyncSession, *, visitor: Visitor, everything: bool, page: str) -> bool:
    """Unsubscribe from the mailing's type, or from everything, at once (D46, D47); return whether it was everything.

    A mailing of any type, and a recipient who matches no person, can only be taken off everything. Repeats change
    nothing. `page` says in the ledger how it came about. What was taken away is kept, so that it can be taken back.
    """
    source = f"{page}, mailing {visitor.mailing_id}"
    type_id = visitor.subscription_type_id if visitor.is_known and not everything else None
    received = [
        choice.id
        for choice in await _types(session, visitor)
        if choice.subscribed and type_id in (None, choice.id)
    ]  # fmt: skip
    if visitor.person_id is not None:
        await consent.unsubscribe(
            session, person_id=visitor.person_id, subscription_type_id=type_id, source=source,
            mailing_id=visitor.mailing_id,
        )  # fmt: skip
    elif visitor.company_id is not None:
        await consent.unsubscribe_company(
            session, company_id=visitor.company_id, subscription_type_id=type_id, source=source
        )
    if visitor.person_id is None and type_id is None:
        await _block(session, visitor=visitor, source=source)
    ends_all = type_id is None and not visitor.has_left_all and not visitor.is_erased
    if received or ends_all:
        await queries.remember_leaving(
            session, recipient_id=visitor.recipient_id, mailing_id=visitor.mailing_id, type_ids=received,
            everything=ends_all,
        )  # fmt: skip
    await queries.mark_unsubscribed(session, recipient_id=visitor.recipient_id)
    return type_id is None


async def _types(session: AsyncSession, visitor: Visitor) -> list[TypeChoice]:
    if not visitor.is_known:
        return []
    rows = await queries.types_of(session, person_id=visitor.person_id, company_id=visitor.company_id)
    return [TypeChoice(row.id, row.name, row.description, row.subscribed) for row in rows]


async def _block(session: AsyncSession, *, visitor: Visitor, source: str) -> None:
    if visitor.email_key is None:
        return
    address = read_address(visitor.sent_to)
    await block_at_once(session, blocks=[Block(address, BlockReason.UNSUBSCRIBED_ALL, source, visitor.mailing_id)])


async def resubscribe(session: AsyncSession, *, visitor: Visitor) -> bool:
    """Take back what the visitor's link took away; return False when there is nothing, or it is too long ago.

    Asking for it is consent, where consent was withdrawn. Only what was received before comes back, and only through
    the link that took it away.
    """
    left = await queries.recall_leaving(session, recipient_id=visitor.recipient_id, undo_hours=UNDO_HOURS)
    if left is None:
        return False
    source = f"unsubscribe page, taken back, mailing {visitor.mailing_id}"
    if left.everything:
        if visitor.is_known:
            await _consent_again(session, visitor=visitor, source=source, text_version=UNDO_VERSION)
        if visitor.person_id is None and visitor.email_key is not None:
            await take_back_unsubscription(session, email_key=visitor.email_key)
    there = {choice.id for choice in await _types(session, visitor)}
    answers = [(type_id, True) for type_id in left.subscription_type_ids if type_id in there]
    await _answer(session, visitor=visitor, answers=answers, source=source)
    await queries.unmark_unsubscribed(session, recipient_id=visitor.recipient_id)
    return True


async def _consent_again(session: AsyncSession, *, visitor: Visitor, source: str, text_version: str) -> None:
    line = ConsentLine(
        Purpose.E_MARKETING, ConsentAction.GIVEN, source, visitor.person_id, company_id=visitor.company_id,
        text_version=text_version,
    )  # fmt: skip
    await consent.record_consent(session, line=line)


async def _answer(
    session: AsyncSession, *, visitor: Visitor, answers: Collection[tuple[int, bool]], source: str
) -> None:  # fmt: skip
    if visitor.person_id is not None:
        rows = [SubscriptionAnswer(visitor.person_id, type_id, yes, source) for type_id, yes in answers]
        await consent.set_subscriptions(session, rows=rows)
    elif visitor.company_id is not None and answers:
        await consent.answer_company_subscriptions(
            session, company_id=visitor.company_id, answers=list(answers), source=source
        )


async def say_why(session: AsyncSession, *, visitor: Visitor, reason: LeavingReason) -> None:
    """Keep why the visitor left; the last answer counts."""
    await queries.note_reason(session, recipient_id=visitor.recipient_id, reason=reason.value)


async def read_preferences(session: AsyncSession, *, visitor: Visitor) -> Preferences:
    """Return what a known visitor receives and permits.

    Tracking never asked about is not granted: a box ticked by us is no consent (GDPR recital 32).
    """
    types = await _types(session, visitor)
    granted = None
    if visitor.person_id is not None:
        consents = await queries.consents_of(session, person_id=visitor.person_id)
        granted = frozenset(purpose for purpose in Purpose if consents.get(purpose.value))
    return Preferences(tuple(types), granted)


async def save_preferences(
    session: AsyncSession, *, visitor: Visitor, wanted: Collection[int], tracking: Collection[Purpose]
) -> None:
    """Set a visitor's subscriptions to the `wanted` types and a person's tracking consent to the given purposes (D46).

    Asking for a type that one did not have is consent to receive it by email. Unknown types are passed over.
    """
    before = await read_preferences(session, visitor=visitor)
    source = f"preferences page, mailing {visitor.mailing_id}"
    asks_for_more = any(choice.id in wanted and not choice.subscribed for choice in before.types)
    if asks_for_more:
        await queries.forget_leaving(session, recipient_id=visitor.recipient_id)
        if before.granted is None or Purpose.E_MARKETING not in before.granted:
            await _consent_again(session, visitor=visitor, source=source, text_version=TEXT_VERSION)
        if visitor.person_id is None and visitor.email_key is not None:
            await take_back_unsubscription(session, email_key=visitor.email_key)
    if visitor.person_id is not None:
        lines = [
            ConsentLine(
                purpose, ConsentAction.GIVEN if purpose in tracking else ConsentAction.WITHDRAWN, source,
                visitor.person_id, text_version=TEXT_VERSION,
            )
            for purpose in TRACKING
        ]  # fmt: skip
        await consent.record_consents(session, lines=lines, only_changes=True)
    answers = [(choice.id, choice.id in wanted) for choice in before.types]
    await _answer(session, visitor=visitor, answers=answers, source=source)


def has_run_out(visitor: Visitor, *, issued: int, days: int) -> bool:
    """Tell whether a link to the preferences is too old (D46).

    `issued` is the second since 1970 that is in the token of a fresh link; in messages it is 0: those count from when
    they were sent.
    """
    began = visitor.sent_at.timestamp() if issued == 0 else float(issued)
    return now().timestamp() - began > timedelta(days=days).total_seconds()


async def ask_for_link(session: AsyncSession, *, visitor: Visitor) -> None:
    """Have a fresh link sent to the visitor, within the limits. Nobody is told whether that was so."""
    if visitor.is_erased or not visitor.sender_email:
        return
    if await queries.admit_link_request(
        session, recipient_id=visitor.recipient_id, mailing_id=visitor.mailing_id, minutes=LINK_MINUTES,
        most=LINKS_A_DAY,
    ):  # fmt: skip
        await enqueue(
            session, Job.PREFERENCES_SEND_LINK, dedup=f"preferences.send_link:{visitor.recipient_id}",
            recipient=visitor.recipient_id,
        )  # fmt: skip
