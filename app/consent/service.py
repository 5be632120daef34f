"""Consent and subscriptions: what other slices call, set by set.

Whatever takes a yes back takes the lines that wait out of mailings in the same transaction (D47).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import blocked_queries, ledger_queries, queries
from app.consent.errors import InvalidSubscription, PurposeNotFound, SubscriptionTypeNotFound
from app.consent.models import BlockReason, Consent, ConsentAction, LegalBasis, Purpose, SubscriptionType
from app.consent.waiting_queries import take_out
from app.contacts.service import read_company, read_person
from app.platform.errors import InvalidField


@dataclass(frozen=True, slots=True)
class ConsentLine:
    """A line for the ledger, of a person, a company or an address that matches none.

    `purpose` is the key of one. `valid_from` None is now, and so is a time in the future. A yes without `valid_until`
    holds as long as its purpose says.
    """

    purpose: str
    action: ConsentAction
    source: str
    person_id: int | None = None
    email_key: str | None = None
    legal_basis: LegalBasis = LegalBasis.CONSENT
    text_version: str | None = None
    valid_from: datetime | None = None
    recorded_by: str | None = None
    company_id: int | None = None
    language: str | None = None
    evidence: str | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionAnswer:
    """A person's yes or no to a subscription type."""

    person_id: int
    subscription_type_id: int
    subscribed: bool
    source: str


async def record_consents(
    session: AsyncSession,
    *,
    lines: Sequence[ConsentLine],
    only_changes: bool = False,
    only_unknown: bool = False,
    locked: bool = False,
) -> int:
    """Append lines to the ledger, in order, and bring the states in line; return how many were appended.

    A line older than the one a state rests on changes no state. With `only_changes`, lines that would change no state
    are left out (a yes with a time of its own that holds longer does change it); with `only_unknown`, those of whom it
    is known whether they consent. Lines of persons and companies who do not exist (any more) are left out, too;
    with `locked` the caller holds their rows, or has just added them, and they are not asked for again. Raises
    PurposeNotFound.
    """
    recorded = await record_lines(
        session, lines=lines, only_changes=only_changes, only_unknown=only_unknown, locked=locked
    )
    return len(recorded)


async def record_lines(
    session: AsyncSession,
    *,
    lines: Sequence[ConsentLine],
    only_changes: bool = False,
    only_unknown: bool = False,
    locked: bool = False,
    and_take_out: bool = True,
) -> dict[int, int]:
    """Do as `record_consents`; return the ids of the lines that were appended, by their places in `lines`.

    Without `and_take_out` the caller judges lines that wait by itself.
    """
    subjects = await _whom(session, lines, locked=locked)
    if not subjects:
        return {}
    places: dict[tuple[Any, ...], int] = {}
    rows = []
    for number in subjects:
        line = lines[number]
        place = places.setdefault(_said(line), len(places))
        rows.append((number, line.person_id, line.company_id, line.email_key, place))
    await _check_purposes(session, {str(said[0]) for said in places})
    recorded = await ledger_queries.append(
        session, contents=[_content(said, place) for said, place in places.items()], subjects=rows,
        only_changes=only_changes, only_unknown=only_unknown,
    )  # fmt: skip
    if and_take_out:
        await _take_out_who_lost_consent(session, (lines[number] for number in recorded))
    return recorded


async def _whom(session: AsyncSession, lines: Sequence[ConsentLine], *, locked: bool) -> Sequence[int]:
    """Return the places of the lines that are about somebody who exists, locked until the commit."""
    if locked:
        return range(len(lines))
    person_ids = sorted({line.person_id for line in lines if line.person_id is not None})
    company_ids = sorted({line.company_id for line in lines if line.company_id is not None})
    persons = await ledger_queries.lock_persons(session, ids=person_ids) if person_ids else set()
    companies = await ledger_queries.lock_companies(session, ids=company_ids) if company_ids else set()
    return [
        number
        for number, line in enumerate(lines)
        if (line.person_id is None or line.person_id in persons)
        and (line.company_id is None or line.company_id in companies)
    ]


async def _check_purposes(session: AsyncSession, keys: set[str]) -> None:
    unknown = keys - await ledger_queries.lock_purposes(session, keys=sorted(keys))
    if unknown:
        raise PurposeNotFound(f"There is no purpose {min(unknown)}.")


_SAID = (
    "purpose", "action", "legal_basis", "source", "text_version", "language", "evidence", "recorded_by", "valid_from",
    "valid_until",
)  # fmt: skip
_said = attrgetter(*_SAID)


def _content(said: tuple[Any, ...], place: int) -> dict[str, Any]:
    shown = (value.isoformat() if isinstance(value, datetime) else value for value in said)
    return {"place": place, **dict(zip(_SAID, shown, strict=True))}


async def _take_out_who_lost_consent(session: AsyncSession, lines: Iterable[ConsentLine]) -> None:
    lost = [line for line in lines if line.purpose == Purpose.E_MARKETING and line.action is not ConsentAction.GIVEN]
    person_ids = sorted({line.person_id for line in lost if line.person_id is not None})
    company_ids = sorted({line.company_id for line in lost if line.company_id is not None})
    if person_ids or company_ids:
        await take_out(session, person_ids=person_ids, company_ids=company_ids, consent=True)


async def record_consent(session: AsyncSession, *, line: ConsentLine) -> Consent:
    """Append a line of one person or company, and return it.

    A person's yes to e-marketing that is the newest word also takes back what unsubscribing from everything blocked.
    """
    if line.person_id is None and line.company_id is None:
        raise ValueError("record_consent is for persons and companies; addresses go through record_consents")
    recorded = await record_lines(session, lines=[line])
    if line.person_id is not None and line.purpose == Purpose.E_MARKETING and line.action is ConsentAction.GIVEN:
        await blocked_queries.lift(session, person_ids=[line.person_id])
    consent = await ledger_queries.find_consent(session, consent_id=recorded[0])
    if consent is None:
        raise AssertionError("a line that was just appended is there")
    return consent


async def withdraw(
    session: AsyncSession,
    *,
    person_id: int,
    source: str,
    purpose: str = Purpose.E_MARKETING,
    recorded_by: str | None = None,
) -> None:
    """Withdraw a person's consent as of now; one that is withdrawn already stays as it is."""
    await record_consents(session, lines=[_withdrawal(person_id, source, purpose, recorded_by)], only_changes=True)


def _withdrawal(
    person_id: int, source: str, purpose: str = Purpose.E_MARKETING, recorded_by: str | None = None
) -> ConsentLine:
    return ConsentLine(purpose, ConsentAction.WITHDRAWN, source, person_id, recorded_by=recorded_by)


async def set_subscriptions(
    session: AsyncSession, *, rows: Sequence[SubscriptionAnswer], only_unknown: bool = False
) -> int:
    """Set persons' answers to subscription types, the last one for each pair; return how many changed.

    Persons and types must exist. An answer that is the same already keeps its time and source; with `only_unknown`,
    every answer that is there stays.
    """
    return len(await change_subscriptions(session, rows=rows, only_unknown=only_unknown))


async def change_subscriptions(
    session: AsyncSession, *, rows: Sequence[SubscriptionAnswer], only_unknown: bool = False
) -> set[tuple[int, int]]:
    """Do as `set_subscriptions`; return (person, subscription type) of the answers that changed."""
    last = {(row.person_id, row.subscription_type_id): row for row in rows}
    if not last:
        return set()
    values = [
        {
            "person_id": row.person_id, "subscription_type_id": row.subscription_type_id, "subscribed": row.subscribed,
            "source": row.source,
        }
        for row in last.values()
    ]  # fmt: skip
    changed = await queries.subscribe(session, rows=values, only_unknown=only_unknown)
    left = sorted({pair[0] for pair in changed if not last[pair].subscribed})
    if left:
        await take_out(session, person_ids=left, subscription=True)
    return changed


async def unsubscribe(
    session: AsyncSession,
    *,
    person_id: int,
    subscription_type_id: int | None,
    source: str,
    mailing_id: int | None = None,
) -> None:
    """Take a person off a subscription type, or with None off everything, at once (D46, D47). Repeats change nothing.

    Everything is: a no to every type, consent to e-marketing withdrawn, and the address blocked (D59), which also keeps
    out other persons who share it. `mailing_id` is the one it came from. A person who does not exist any more is passed
    over.
    """
    if not await ledger_queries.lock_persons(session, ids=[person_id]):
        return
    if subscription_type_id is not None:
        await set_subscriptions(
            session, rows=[SubscriptionAnswer(person_id, subscription_type_id, subscribed=False, source=source)]
        )
        return
    await queries.unsubscribe_all(session, person_id=person_id, source=source)
    await record_lines(session, lines=[_withdrawal(person_id, source)], only_changes=True, and_take_out=False)
    person = await read_person(session, person_id=person_id)
    keys = []
    if person.email and person.email_key:
        keys = [person.email_key]
        blocked = {
            "email": person.email, "email_key": person.email_key, "reason": BlockReason.UNSUBSCRIBED_ALL.value,
            "origin": source, "mailing_id": mailing_id,
        }  # fmt: skip
        await blocked_queries.block(session, rows=[blocked])
    await take_out(
        session, person_ids=[person_id], email_keys=keys, address=True, consent=True, subscription=True
    )  # one statement for all: see there


async def unsubscribe_company(
    session: AsyncSession, *, company_id: int, subscription_type_id: int | None, source: str
) -> None:
    """Take a company's own address off a subscription type, or with None withdraw its consent to e-marketing (D46).

    A company that does not exist any more is passed over.
    """
    if not await ledger_queries.lock_companies(session, ids=[company_id]):
        return
    if subscription_type_id is None:
        line = ConsentLine(Purpose.E_MARKETING, ConsentAction.WITHDRAWN, source, company_id=company_id)
        await record_consents(session, lines=[line], only_changes=True)
        return
    await answer_company_subscriptions(
        session, company_id=company_id, answers=[(subscription_type_id, False)], source=source
    )


def check_types(answers: Sequence[tuple[int, bool]], known: set[int]) -> None:
    """Raise InvalidSubscription, by place, where an answer (subscription type, subscribed) names no known type."""
    faults = [
        InvalidField(
            pointer=f"#/items/{index}/subscription_type_id", detail=f"There is no subscription type {type_id}."
        )
        for index, (type_id, _) in enumerate(answers)
        if type_id not in known
    ]
    if faults:
        raise InvalidSubscription(faults[0].detail, errors=faults)


async def answer_subscriptions(
    session: AsyncSession, *, person_id: int, answers: Sequence[tuple[int, bool]], source: str
) -> Sequence[Any]:
    """Set a person's answers (subscription type, subscribed) and return all; raises InvalidSubscription."""
    await read_person(session, person_id=person_id)
    check_types(answers, await queries.known_type_ids(session, ids=[type_id for type_id, _ in answers]))
    rows = [SubscriptionAnswer(person_id, type_id, subscribed, source) for type_id, subscribed in answers]
    await set_subscriptions(session, rows=rows)
    return await queries.subscriptions_of(session, person_id=person_id)


async def answer_company_subscriptions(
    session: AsyncSession, *, company_id: int, answers: Sequence[tuple[int, bool]], source: str
) -> Sequence[Any]:
    """Set a company's answers for its own address, and return all; raises InvalidSubscription."""
    await read_company(session, company_id=company_id)
    check_types(answers, await queries.known_type_ids(session, ids=[type_id for type_id, _ in answers]))
    last = dict(answers)
    rows = [
        {"company_id": company_id, "subscription_type_id": type_id, "subscribed": subscribed, "source": source}
        for type_id, subscribed in last.items()
    ]
    changed = await queries.subscribe_companies(session, rows=rows)
    if any(not last[type_id] for _, type_id in changed):
        await take_out(session, company_ids=[company_id], subscription=True)
    return await queries.subscriptions_of_company(session, company_id=company_id)


async def create_type(session: AsyncSession, *, fields: dict[str, Any]) -> SubscriptionType:
    """Add a subscription type; raises SubscriptionTypeTaken."""
    kind = SubscriptionType(**fields)
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
