"""Consents and subscriptions of many persons at once."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import blocked_queries, bulk_queries, purpose_queries, queries
from app.consent.bulk_schemas import (
    ConsentBulkItem,
    RecordedOut,
    RecordedOutcome,
    RecordedStatus,
    SubscriptionBulkItem,
)
from app.consent.models import ConsentAction, Purpose
from app.consent.purposes import faults_of
from app.consent.service import ConsentLine, SubscriptionAnswer, change_subscriptions, record_lines
from app.platform.bulk import faults_in
from app.platform.clock import now
from app.platform.errors import InvalidField

Item = TypeVar("Item", ConsentBulkItem, SubscriptionBulkItem)


async def record_many(
    session: AsyncSession, *, items: Sequence[object], only_changes: bool, recorded_by: str
) -> RecordedOut:
    """Append persons' lines to the ledger, in order; what is wrong with one item stops no other.

    What a single line does, these do: a withdrawal takes lines that wait out of mailings (D47), and a yes to
    e-marketing that is the newest word lifts what unsubscribing from everything blocked.
    """
    read, faults = _read(ConsentBulkItem, items)
    known, at = await purpose_queries.purpose_keys(session), now()
    for index, item in list(read.items()):
        if found := faults_of(item, known=known, at=at, pointer=f"#/items/{index}"):
            faults[index] = found
            del read[index]
    persons = await _persons(session, read, faults)
    lines = [
        ConsentLine(
            **item.model_dump(exclude={"person_id", "external_id"}), person_id=persons[index], recorded_by=recorded_by
        )
        for index, item in read.items()
    ]
    recorded = await record_lines(session, lines=lines, only_changes=only_changes)
    yeses = {
        line.person_id
        for line in lines
        if line.purpose == Purpose.E_MARKETING and line.action is ConsentAction.GIVEN and line.person_id is not None
    }
    if yeses:
        await blocked_queries.lift(session, person_ids=sorted(yeses))
    outcomes = [
        RecordedOutcome(
            index=index, person_id=persons[index], consent_id=recorded.get(place),
            status=RecordedStatus.RECORDED if place in recorded else RecordedStatus.UNCHANGED,
        )
        for place, index in enumerate(read)
    ]  # fmt: skip
    return _answer(outcomes, faults)


async def answer_many(session: AsyncSession, *, items: Sequence[object], source: str) -> RecordedOut:
    """Set persons' answers to subscription types; what is wrong with one item stops no other.

    Of several answers of one person to one type the last counts. A no takes lines that wait out of mailings (D47).
    """
    read, faults = _read(SubscriptionBulkItem, items)
    known = await queries.known_type_ids(session, ids=list({item.subscription_type_id for item in read.values()}))
    for index, item in list(read.items()):
        if item.subscription_type_id not in known:
            detail = f"There is no subscription type {item.subscription_type_id}."
            faults[index] = [InvalidField(pointer=f"#/items/{index}/subscription_type_id", detail=detail)]
            del read[index]
    persons = await _persons(session, read, faults)
    rows = [
        SubscriptionAnswer(persons[index], item.subscription_type_id, item.subscribed, source)
        for index, item in read.items()
    ]
    changed = await change_subscriptions(session, rows=rows)
    outcomes = [
        RecordedOutcome(
            index=index, person_id=persons[index],
            status=RecordedStatus.RECORDED
            if (persons[index], item.subscription_type_id) in changed
            else RecordedStatus.UNCHANGED,
        )
        for index, item in read.items()
    ]  # fmt: skip
    return _answer(outcomes, faults)


def _read(kind: type[Item], items: Sequence[object]) -> tuple[dict[int, Item], dict[int, list[InvalidField]]]:
    read: dict[int, Item] = {}
    faults: dict[int, list[InvalidField]] = {}
    for index, item in enumerate(items):
        try:
            read[index] = kind.model_validate(item)
        except ValidationError as error:
            faults[index] = faults_in(error, under=f"#/items/{index}")
            continue
        if (read[index].person_id is None) == (read[index].external_id is None):
            detail = "Name the person by person_id or by external_id, not by both."
            faults[index] = [InvalidField(pointer=f"#/items/{index}", detail=detail)]
            del read[index]
    return read, faults


async def _persons(
    session: AsyncSession, read: dict[int, Any], faults: dict[int, list[InvalidField]]
) -> dict[int, int]:
    """Return the person of each item, locked until the commit; items of persons who do not exist become faults."""
    ids = {item.person_id for item in read.values() if item.person_id is not None}
    external_ids = {item.external_id for item in read.values() if item.external_id is not None}
    by_id, by_external_id = await bulk_queries.lock_persons_named(
        session, ids=sorted(ids), external_ids=sorted(external_ids)
    )
    persons: dict[int, int] = {}
    for index, item in list(read.items()):
        if item.person_id is not None:
            name, value, person_id = "person_id", item.person_id, item.person_id if item.person_id in by_id else None
        else:
            name, value, person_id = "external_id", item.external_id, by_external_id.get(item.external_id)
        if person_id is None:
            detail = f"There is no person with this {name.replace('_', ' ')}: {value}."
            faults[index] = [InvalidField(pointer=f"#/items/{index}/{name}", detail=detail)]
            del read[index]
        else:
            persons[index] = person_id
    return persons


def _answer(outcomes: list[RecordedOutcome], faults: dict[int, list[InvalidField]]) -> RecordedOut:
    outcomes += [
        RecordedOutcome(index=index, status=RecordedStatus.FAILED, person_id=None, errors=found)
        for index, found in faults.items()
    ]
    counts = {status: sum(outcome.status is status for outcome in outcomes) for status in RecordedStatus}
    return RecordedOut(
        recorded=counts[RecordedStatus.RECORDED], unchanged=counts[RecordedStatus.UNCHANGED],
        failed=counts[RecordedStatus.FAILED], items=sorted(outcomes, key=lambda outcome: outcome.index),
    )  # fmt: skip
