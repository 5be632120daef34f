"""Whether criteria make sense: what they refer to is there, and operators and values fit the fields."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import criteria_queries as queries
from app.audience.criteria import (
    CompanyCriterion,
    CompanyExtraCriterion,
    ConsentCriterion,
    ConsentIs,
    Engaged,
    EngagementCriterion,
    InterestCriterion,
    PersonCriterion,
    PersonExtraCriterion,
    ProjectCriterion,
    SelectionCriterion,
    SubscriptionCriterion,
    every,
    read_criteria,
)
from app.audience.criteria_fields import COMPANY_KINDS, EXTRA_KINDS, PERSON_KINDS, Place, misfit
from app.audience.criteria_sql import Declared, Persons, Saved, Surroundings, compile_criteria
from app.audience.criteria_values import Comparison, Node
from app.audience.errors import InvalidSelection
from app.audience.models import SelectionKind
from app.contacts.models import ExtraOwner
from app.platform.errors import InvalidField

_CLICKS = (Engaged.CLICKED, Engaged.NOT_CLICKED)
_EVENTS = (*_CLICKS, Engaged.OPENED, Engaged.NOT_OPENED)
_NAMES = {
    "consent_purpose": "consent purpose", "interest": "interest", "link": "link", "mailing": "mailing",
    "project": "project", "selection": "selection", "subscription_type": "subscription type",
}  # fmt: skip


async def read_surroundings(session: AsyncSession, criteria: Iterable[Node]) -> Surroundings:
    """Return all selections that criteria refer to, those that these refer to, and so on, and the extra fields."""
    selections: dict[int, Saved] = {}
    extras: set[tuple[ExtraOwner, str]] = set()
    reading = list(criteria)
    while reading:
        missing = set()
        for node in (node for each in reading for _, node in every(each)):
            if isinstance(node, SelectionCriterion):
                missing.add(node.selection)
            elif named := _extra_of(node):
                extras.add(named)
        reading = []
        for row in await queries.selections_of(session, ids=missing - set(selections)):
            dynamic = row.kind is SelectionKind.DYNAMIC
            selections[row.id] = saved = Saved(row.name, read_criteria(row.criteria) if dynamic else None)
            if saved.criteria is not None:
                reading.append(saved.criteria)
    found = await queries.extra_fields_of(session, names=extras) if extras else []
    declared = {(each.owner, each.name): Declared(EXTRA_KINDS[each.kind], each.choices) for each in found}
    return Surroundings(selections, declared)


def _extra_of(node: Node) -> tuple[ExtraOwner, str] | None:
    match node:
        case PersonExtraCriterion():
            return ExtraOwner.PERSON, node.person_extra
        case CompanyExtraCriterion():
            return ExtraOwner.COMPANY, node.company_extra
    return None


async def checked(
    session: AsyncSession, criteria: Node, *, selection_id: int | None = None, below: str = "#/criteria"
) -> Persons:
    """Return whom criteria mean, after they were found to make sense.

    Raises InvalidSelection, whose errors point at nodes below `below`; CyclicSelection, and CriteriaOutOfDate when the
    selections that they refer to have become too many. `selection_id` is the one that they are to be saved in.
    """
    around = await read_surroundings(session, [criteria])
    faults = [fault async for fault in _faults(session, criteria, around)]
    if faults:
        errors = [InvalidField(pointer=pointer_to(below, place), detail=detail) for place, detail in sorted_by(faults)]
        raise InvalidSelection(f"{len(errors)} criteria make no sense.", errors=errors[:100])
    return compile_criteria(criteria, around, selection_id=selection_id)


Fault = tuple[Place, str]


def sorted_by(faults: Sequence[Fault]) -> list[Fault]:
    """Return faults in the order of their places, as text and numbers compare."""
    return sorted(faults, key=lambda fault: [(isinstance(part, str), part) for part in fault[0]])


def pointer_to(below: str, place: Place) -> str:
    """Return the JSON pointer to a place; no part of it has a character that needs escaping."""
    return "/".join([below, *map(str, place)])


async def _faults(session: AsyncSession, criteria: Node, around: Surroundings) -> Any:
    referred: dict[str, dict[Any, list[Place]]] = {}
    for place, node in every(criteria):
        for way, detail in (*_wrong_comparison(node, around), *_wrong_engagement(node), *_wrong_consent(node)):
            yield (*place, *way), detail
        for table, way, reference in _references(node):
            referred.setdefault(table, {}).setdefault(reference, []).append((*place, *way))
    for table, places in referred.items():
        known = await queries.known_ids(session, table=table, ids=places)
        for unknown in set(places) - known:
            for place in places[unknown]:
                yield place, f"There is no {_NAMES[table]} {unknown}."


def _wrong_comparison(node: Node, around: Surroundings) -> Iterator[Fault]:
    if not isinstance(node, Comparison):
        return
    named = _extra_of(node)
    if named is not None:
        declared = around.extras.get(named)
        if declared is None:
            owner, name = named
            yield (f"{owner.value}_extra",), f"No extra field {name} is declared for a {owner.value}."
            return
        wrong = misfit(declared.kind, node.operator, node.value, choices=declared.choices)
    elif isinstance(node, PersonCriterion):
        wrong = misfit(PERSON_KINDS[node.person], node.operator, node.value)
    elif isinstance(node, CompanyCriterion):
        wrong = misfit(COMPANY_KINDS[node.company], node.operator, node.value)
    else:
        wrong = None
    if wrong:
        yield wrong


def _wrong_engagement(node: Node) -> Iterator[Fault]:
    if not isinstance(node, EngagementCriterion):
        return
    for name in ("link_id", "target"):
        if getattr(node, name) is not None and node.engagement not in _CLICKS:
            yield (name,), "Links are clicked, or not: this is for `clicked` and `not_clicked`."
    if node.link_id is not None and node.target is not None:
        yield ("target",), "Send either link_id or target."
    if node.machines_too and node.engagement not in _EVENTS:
        yield ("machines_too",), "Only opens and clicks are judged; leave it out."


def _wrong_consent(node: Node) -> Iterator[Fault]:
    if not isinstance(node, ConsentCriterion):
        return
    if node.is_ is ConsentIs.EXPIRES and node.within_days is None:
        yield ("within_days",), "`expires` needs it: within how many days."
    elif node.is_ is not ConsentIs.EXPIRES and node.within_days is not None:
        yield ("within_days",), "This is for `expires`; leave it out."


def _references(node: Node) -> Iterator[tuple[str, Place, Any]]:
    match node:
        case InterestCriterion():
            for place, interest_id in enumerate(node.interest_ids):
                yield "interest", ("interest_ids", place), interest_id
        case ConsentCriterion():
            yield "consent_purpose", ("consent",), node.consent
        case SelectionCriterion():
            yield "selection", ("selection",), node.selection
        case ProjectCriterion():
            yield "project", ("project",), node.project
        case SubscriptionCriterion() | EngagementCriterion():
            if node.subscription_type_id is not None:
                yield "subscription_type", ("subscription_type_id",), node.subscription_type_id
    if isinstance(node, EngagementCriterion):
        if node.mailing_id is not None:
            yield "mailing", ("mailing_id",), node.mailing_id
        if node.link_id is not None:
            yield "link", ("link_id",), node.link_id
