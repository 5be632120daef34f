"""The rules of the recipient list in plain Python, written from domain.md (D17-D24) and from nothing else.

Slow and simple on purpose: `test_list_model.py` holds the list statement against it, line by line.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

WAITING = ("ready", "blocked")


@dataclass(frozen=True)
class Company:
    id: int
    name: str
    email: str | None
    email_key: str | None


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    email: str | None
    email_key: str | None
    company_id: int | None
    former_employee: bool
    further: tuple[str, ...]
    """Keys of further addresses."""


@dataclass(frozen=True)
class Yes:
    """What the ledger says now of a person or company: a yes or no, and how long it holds."""

    consent_id: int
    given: bool
    valid_until: datetime | None


@dataclass(frozen=True)
class Word:
    """One line of the ledger about an address."""

    id: int
    email_key: str
    given: bool
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True)
class Pasted:
    name: str
    email: str
    email_key: str | None


@dataclass(frozen=True)
class Source:
    id: int
    kind: str
    names: int | None = None
    """The id of the selection, project, person or company; None once that is deleted."""
    addresses: tuple[Pasted, ...] = ()
    stated: bool = False


@dataclass(frozen=True)
class Options:
    subscription_type_id: int | None
    override_consent: bool
    one_per_address: bool
    include_companies: bool
    prefer_company: bool


@dataclass(frozen=True)
class World:
    persons: dict[int, Person]
    companies: dict[int, Company]
    selections: dict[int, tuple[frozenset[int], frozenset[int]]]
    """Persons and companies in each static one."""
    dynamic: dict[int, str]
    """Dynamic selections: whoever has this name is in it."""
    projects: dict[int, frozenset[int]]
    consents: dict[int, Yes]
    company_consents: dict[int, Yes]
    subscriptions: dict[tuple[int, int], tuple[bool, datetime]]
    """By person and type: whether subscribed, and since when it is so."""
    company_subscriptions: dict[tuple[int, int], tuple[bool, datetime]]
    blocked: frozenset[str]
    erased: frozenset[str]
    sources: tuple[Source, ...]
    options: Options
    ledger: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Line:
    who: tuple[str, int | str]
    """("person", id), ("company", id) or ("address", its key, or its text when it is not valid)."""
    source_id: int
    name: str
    email: str
    email_key: str | None
    known: bool = True
    status: str = "ready"
    reason: str | None = None
    consent_id: int | None = None
    subscribed_at: datetime | None = None
    place: int = field(default=0, compare=False)
    """Where in its source it stood."""


@dataclass(frozen=True)
class Change:
    added: int
    removed: int
    changed: int


# D17, D20, D22: who is to be on the list


def person_meant(world: World, email_key: str) -> Person | None:
    """D20: preferred addresses before further ones, then former employees last, then the oldest."""
    found = [(False, person) for person in world.persons.values() if person.email_key == email_key]
    found += [(True, person) for person in world.persons.values() if email_key in person.further]
    found.sort(key=lambda match: (match[0], match[1].former_employee, match[1].id))
    return found[0][1] if found else None


def has_address(world: World, company_id: int | None) -> bool:
    company = world.companies.get(company_id) if company_id is not None else None
    return company is not None and company.email_key is not None


def persons_of(world: World, company_id: int) -> Iterable[int]:
    return (person.id for person in world.persons.values() if person.company_id == company_id)


def brought_by(world: World, source: Source) -> tuple[set[int], set[int]]:
    """Return the persons and companies that a source names."""
    if source.kind == "selection" and source.names in world.dynamic:
        return {person.id for person in world.persons.values() if person.name == world.dynamic[source.names]}, set()
    if source.kind == "selection":
        persons, companies = world.selections.get(source.names, ((), ()))
        return set(persons), set(companies)
    if source.kind == "project":
        return set(world.projects.get(source.names, ())), set()
    if source.kind == "person":
        return {source.names} & set(world.persons), set()
    if source.kind == "company":
        return set(), {source.names} & set(world.companies)
    meant = (person_meant(world, pasted.email_key) for pasted in source.addresses if pasted.email_key)
    return {person.id for person in meant if person}, set()


def to_be_listed(world: World) -> list[Line]:
    """Return a line for each who is to be on the list, brought by the source that was added first."""
    include, prefer = world.options.include_companies, world.options.prefer_company
    lines: dict[tuple[str, int | str], Line] = {}

    def bring(kind: str, key: int, source: Source) -> None:
        if kind == "person" and prefer and has_address(world, world.persons[key].company_id):
            bring("company", world.persons[key].company_id, source)
            return
        found = world.persons[key] if kind == "person" else world.companies[key]
        lines.setdefault((kind, key), Line((kind, key), source.id, found.name, found.email or "", found.email_key))

    for source in sorted(world.sources, key=lambda source: source.id):
        persons, companies = brought_by(world, source)
        for company_id in companies:
            if include and has_address(world, company_id):
                bring("company", company_id, source)
            else:
                persons |= set(persons_of(world, company_id))
        for person_id in persons:
            bring("person", person_id, source)
    return [*lines.values(), *strangers(world)]


def strangers(world: World) -> list[Line]:
    """D20: addresses that mean nobody, once each; a statement of consent in any of them counts."""
    lines: dict[str, Line] = {}
    for stated in (True, False):
        for source in sorted(world.sources, key=lambda source: source.id):
            if source.stated is not stated:
                continue
            for place, pasted in enumerate(source.addresses):
                if pasted.email_key and person_meant(world, pasted.email_key):
                    continue
                key = pasted.email_key or pasted.email
                line = Line(
                    ("address", key), source.id, pasted.name, pasted.email, pasted.email_key, known=stated, place=place
                )
                lines.setdefault(key, line)
    return list(lines.values())


def still_listed(world: World, listed: list[Line]) -> list[Line]:
    """Return the lines that wait, with what is known now of whom they are: for judging without new members."""
    stated = {source.id for source in world.sources if source.stated}
    lines = []
    for line in listed:
        kind, key = line.who
        if line.status not in WAITING:
            continue
        if kind == "address":
            lines.append(replace(line, known=line.source_id in stated))
            continue
        found = (world.persons if kind == "person" else world.companies).get(key)
        if found is None:
            lines.append(replace(line, known=False))
        else:
            changed = {"name": found.name, "email": found.email or "", "email_key": found.email_key}
            lines.append(replace(line, known=True, **changed))
    return lines


# D18, D21: may they get it?


def holds(yes: Yes | Word | None, now: datetime) -> bool:
    return yes is not None and yes.given and (yes.valid_until is None or yes.valid_until > now)


def consent_of(world: World, line: Line, now: datetime) -> int | None:
    """Return the ledger line that permits it, or None."""
    kind, key = line.who
    if kind == "address":
        words = [word for word in world.ledger if word.email_key == line.email_key] if line.known else []
        newest = max(words, key=lambda word: (word.valid_from, word.id), default=None)
        return newest.id if holds(newest, now) else None
    yes = (world.consents if kind == "person" else world.company_consents).get(key)
    return yes.consent_id if holds(yes, now) else None


def subscribed_since(world: World, line: Line) -> datetime | None:
    """Return since when they subscribe to the mailing's type, or with *Any* to at least one."""
    kind, key = line.who
    if kind == "address":
        return None
    answers = world.subscriptions if kind == "person" else world.company_subscriptions
    wanted = world.options.subscription_type_id
    since = [
        changed_at
        for (who, type_id), (subscribed, changed_at) in answers.items()
        if who == key and subscribed and wanted in (None, type_id)
    ]
    return min(since, default=None)


def why_not(world: World, line: Line) -> str | None:
    """D18, D20, D21, D24: the first rule that keeps a line out."""
    kind, key = line.who
    if line.email_key is None:
        return "invalid_address"
    if line.email_key in world.blocked | world.erased:
        return "blocked_address"
    if kind == "person" and key in world.persons and world.persons[key].former_employee:
        return "former_employee"
    if not line.known:
        return "excluded"
    if world.options.override_consent:
        return None
    if line.consent_id is None:
        return "no_consent"
    if kind != "address" and line.subscribed_at is None:
        return "no_subscription"
    return None


def judge(world: World, line: Line, now: datetime) -> Line:
    found = line
    if line.known or line.who[0] == "address":
        since = subscribed_since(world, line)
        found = replace(line, consent_id=consent_of(world, line, now), subscribed_at=since)
    else:
        found = replace(line, consent_id=None, subscribed_at=None)
    return replace(found, reason=why_not(world, found))


# D22, D23: the list


def in_order(line: Line) -> tuple[int, int, int]:
    """Persons by age, then companies, then addresses as they were given."""
    kind, key = line.who
    order = ("person", "company", "address").index(kind)
    return (order, line.source_id, line.place) if kind == "address" else (order, int(key), 0)


def updated(world: World, listed: list[Line], *, membership: bool, now: datetime) -> tuple[list[Line], Change]:
    """Return the list after an update, and what the update says that it did."""
    before = {line.who: line for line in listed}
    past = {who for who, line in before.items() if line.status not in WAITING}
    candidates = to_be_listed(world) if membership else still_listed(world, listed)
    wanted = sorted((judge(world, line, now) for line in candidates if line.who not in past), key=in_order)
    if world.options.one_per_address:
        taken = {before[who].email_key for who in past}
        for place, line in enumerate(wanted):
            if line.reason is None:
                wanted[place] = replace(line, reason="duplicate" if line.email_key in taken else None)
                taken.add(line.email_key)
    wanted = [replace(line, status="blocked" if line.reason else "ready", known=True) for line in wanted]
    after = {who: before[who] for who in past} | {line.who: line for line in wanted}
    change = Change(
        added=sum(line.who not in before for line in wanted),
        removed=sum(who not in after for who in before),
        changed=sum(line.who in before and replace(before[line.who], known=True) != line for line in wanted),
    )
    return list(after.values()), change
