"""Small worlds for the list's rules, and how they are written into the database: one statement for all of a world."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from sqlalchemy import text

from tests.recipients.model import Company, Options, Pasted, Person, Source, Word, World, Yes

NOW = datetime.now(UTC)
DAYS = [NOW - timedelta(days=days) for days in (400, 30, 2)]
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=30)
KEYS = ("a@x.example", "b@x.example", "c@x.example", "d@y.example")
STRANGERS = ("e@z.example", "f@z.example")
TYPES = (1, 2)
MAILING = 1

# Each is drawn from a list in which what lets later rules be reached is there several times.
times = st.sampled_from(DAYS)
keys = st.sampled_from(KEYS)
addressees = st.sampled_from([*KEYS, *STRANGERS * 3])
maybe = st.sampled_from([True, False])
seldom = st.sampled_from([True, False, False])
rarely = st.sampled_from([True, *[False] * 7])
valid = [(key, key) for key in KEYS] * 2 + [(key.upper(), key) for key in KEYS[:2]]
emails = st.sampled_from([*valid, ("no address", None), (None, None)])
pasted = st.builds(
    lambda name, found: Pasted(name, *found),
    st.sampled_from(["", "Line"]),
    st.sampled_from([*valid[:6], *[(key, key) for key in STRANGERS] * 2, ("nonsense", None)]),
)  # fmt: skip
numbers = {
    name: st.sampled_from(range(1, most + 1))
    for name, most in {"person": 5, "company": 3, "selection": 3, "project": 2}.items()
}
employers = st.sampled_from([None, None, 1, 1, 2, 3])
further = st.sampled_from([(), (), (), *((key,) for key in KEYS)])
# (given, valid until), or never asked.
words = st.sampled_from(
    [(True, None), (True, None), (True, None), (True, FUTURE), (True, PAST), (False, None), None]
)  # fmt: skip
told_words = st.sampled_from([(True, None), (True, PAST), (False, None)])
yes_or_no = st.sampled_from([True, True, True, False, None])
members = st.sampled_from([[], [1], [1, 2, 3], [2, 4], [1, 2, 3, 4, 5], [3, 5], [4]])
firms = st.sampled_from([[], [], [], [1], [2, 3], [1, 2]])
source_kinds = st.sampled_from(
    ["selection", "selection", "selection", "project", "person", "company", "addresses", "addresses", "import"]
)  # fmt: skip
option_sets = st.builds(
    lambda type_id, override, one, companies: Options(type_id, override, one, *companies),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([True, False, False, False]),
    maybe,
    st.sampled_from([(False, False), (True, False), (True, True)]),
)  # fmt: skip


@st.composite
def persons(draw, person_id):
    email, key = draw(emails)
    return Person(
        id=person_id,
        name=draw(st.sampled_from(["Kari", "Ola"])),
        email=email,
        email_key=key,
        company_id=draw(employers),
        former_employee=draw(rarely),
        further=tuple(other for other in draw(further) if other != key),
    )


@st.composite
def companies(draw, company_id):
    email, key = draw(emails)
    return Company(company_id, f"Company {company_id}", email, key)


@st.composite
def sources(draw, source_id):
    kind = draw(source_kinds)
    if kind in ("addresses", "import"):
        found = tuple(draw(st.lists(pasted, min_size=1, max_size=3)))
        return Source(source_id, kind, addresses=found, stated=draw(maybe))
    return Source(source_id, kind, names=None if draw(rarely) else draw(numbers[kind]))


@st.composite
def worlds(draw, base: World | None = None, first_consent: int = 1):
    """Return a world; with `base`, one in which some things have changed. The ledger only ever grows."""

    def part(name: str, fresh: Callable[[], Any]) -> Any:
        return getattr(base, name) if base is not None and draw(maybe) else fresh()

    def some(of: Callable[[int], Any], most: int) -> dict[int, Any]:
        return {key: draw(of(key)) for key in range(1, most + 1) if not draw(rarely)}

    def consents(most: int) -> dict[int, Yes]:
        said = {key: draw(words) for key in range(1, most + 1)}
        return {key: Yes(0, *word) for key, word in said.items() if word is not None}

    def answers(most: int) -> dict[tuple[int, int], tuple[bool, datetime]]:
        said = {(key, type_id): draw(yes_or_no) for key in range(1, most + 1) for type_id in TYPES}
        return {who: (yes, draw(times)) for who, yes in said.items() if yes is not None}

    def ledger() -> tuple[Word, ...]:
        told = draw(st.lists(st.tuples(addressees, told_words, times), max_size=4))
        return tuple(Word(0, key, given, since, until) for key, (given, until), since in told)

    found = part("companies", lambda: some(companies, 3))
    found_persons = part("persons", lambda: some(persons, 5))
    return numbered(
        World(
            persons={
                key: person if person.company_id in found else replace(person, company_id=None)
                for key, person in found_persons.items()
            },
            companies=found,
            selections=part("selections", lambda: {key: (draw(members), draw(firms)) for key in (1, 2)}),
            dynamic=part("dynamic", lambda: {3: draw(st.sampled_from(["Kari", "Ola"]))}),
            projects=part("projects", lambda: {key: draw(members) for key in (1, 2)}),
            consents=part("consents", lambda: consents(5)),
            company_consents=part("company_consents", lambda: consents(3)),
            subscriptions=part("subscriptions", lambda: answers(5)),
            company_subscriptions=part("company_subscriptions", lambda: answers(3)),
            blocked=part("blocked", lambda: frozenset(draw(further))),
            erased=part("erased", lambda: frozenset(draw(further) if draw(rarely) else ())),
            sources=part("sources", lambda: tuple(draw(sources(key)) for key in range(1, 5) if not draw(seldom))),
            options=part("options", lambda: draw(option_sets)),
            ledger=(base.ledger if base else ()) + ledger(),
        ),
        first_consent=first_consent,
    )


def numbered(world: World, *, first_consent: int) -> World:
    """Return a world that hangs together: members exist, and new ledger lines have numbers of their own."""
    number = iter(range(first_consent, first_consent + 1000))

    def known(states: dict[int, Yes], owners: dict[int, Any]) -> dict[int, Yes]:
        return {
            key: yes if yes.consent_id else replace(yes, consent_id=next(number))
            for key, yes in states.items()
            if key in owners
        }

    def answered(found: dict, owners: dict[int, Any]) -> dict:
        return {(key, type_id): answer for (key, type_id), answer in found.items() if key in owners}

    existing = {
        "person": world.persons, "company": world.companies, "selection": world.selections | world.dynamic,
        "project": world.projects,
    }  # fmt: skip
    return replace(
        world,
        selections={
            key: (world.persons.keys() & found, world.companies.keys() & owners)
            for key, (found, owners) in world.selections.items()
        },
        projects={key: world.persons.keys() & found for key, found in world.projects.items()},
        consents=known(world.consents, world.persons),
        company_consents=known(world.company_consents, world.companies),
        subscriptions=answered(world.subscriptions, world.persons),
        company_subscriptions=answered(world.company_subscriptions, world.companies),
        ledger=tuple(word if word.id else replace(word, id=next(number)) for word in world.ledger),
        sources=tuple(
            replace(source, names=None) if source.names not in existing.get(source.kind, ()) else source
            for source in world.sources
        ),
    )


# Writing

_COLUMNS = {
    "subscription_type": "id bigint, name text",
    "company": "id bigint, name text, email text, email_key text",
    "person": "id bigint, name text, email text, email_key text, company_id bigint, former_employee boolean",
    "person_email": "person_id bigint, email text, email_key text",
    "selection": "id bigint, name text, kind text, criteria jsonb",
    "selection_member": "selection_id bigint, person_id bigint",
    "selection_company": "selection_id bigint, company_id bigint",
    "project": "id bigint, name text",
    "project_member": "project_id bigint, person_id bigint",
    "consent": "id bigint, person_id bigint, company_id bigint, email_key text, purpose text, action text, source text,"
    " valid_from timestamptz, valid_until timestamptz",
    "consent_state": "person_id bigint, purpose text, given boolean, consent_id bigint, valid_until timestamptz",
    "company_consent_state": "company_id bigint, purpose text, given boolean, consent_id bigint,"
    " valid_until timestamptz",
    "subscription": "person_id bigint, subscription_type_id bigint, subscribed boolean, source text,"
    " changed_at timestamptz",
    "company_subscription": "company_id bigint, subscription_type_id bigint, subscribed boolean, source text,"
    " changed_at timestamptz",
    "blocked_address": "email text, email_key text, reason text, origin text",
    "mailing_source": "id bigint, mailing_id bigint, kind text, label text, selection_id bigint, project_id bigint,"
    " person_id bigint, company_id bigint, consent_basis text",
    "source_address": "source_id bigint, position integer, name text, email text, email_key text",
}


def _insert(table: str, columns: str) -> str:
    names = ", ".join(column.strip().split(" ")[0] for column in columns.split(","))
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_to_recordset(doc -> '{table}') AS r ({columns})"
        + (" WHERE NOT EXISTS (SELECT FROM consent AS c WHERE c.id = r.id)" if table == "consent" else "")
    )


WRITER = f"""
CREATE FUNCTION pg_temp.write_world(doc jsonb) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM source_address;
    DELETE FROM mailing_source;
    DELETE FROM selection;
    DELETE FROM project;
    DELETE FROM subscription_type WHERE id NOT IN (SELECT subscription_type_id FROM mailing
                                                   WHERE subscription_type_id IS NOT NULL);
    DELETE FROM person;
    DELETE FROM company;
    DELETE FROM subscription_type;
    DELETE FROM blocked_address;
    DELETE FROM erased_address;
    INSERT INTO mailing (id, name, subject, from_name, from_email, html)
    VALUES ({MAILING}, 'model', '', '', '', '') ON CONFLICT DO NOTHING;
    {"; ".join(_insert(table, columns) for table, columns in _COLUMNS.items())};
    INSERT INTO erased_address (hash)
    SELECT erased_hash(key) FROM jsonb_array_elements_text(doc -> 'erased_address') AS key;
END $body$
"""

WRITE = text("SELECT pg_temp.write_world(cast(:doc AS jsonb))").bindparams(sa.bindparam("doc", type_=sa.Text))


def document(world: World) -> str:
    """Return the rows of a world, by table."""
    consents = [
        {"id": yes.consent_id, owner: key, "given": yes.given, "valid_until": yes.valid_until}
        for owner, states in (("person_id", world.consents), ("company_id", world.company_consents))
        for key, yes in states.items()
    ]
    words = [asdict(word) for word in world.ledger]
    rows: dict[str, list[Any]] = {
        "subscription_type": [{"id": key, "name": f"Type {key}"} for key in TYPES],
        "company": [asdict(company) for company in world.companies.values()],
        "person": [asdict(person) for person in world.persons.values()],
        "person_email": [
            {"person_id": person.id, "email": key, "email_key": key}
            for person in world.persons.values()
            for key in person.further
        ],
        "selection": [
            *({"id": key, "name": f"Selection {key}", "kind": "static"} for key in world.selections),
            *(
                {"id": key, "name": name, "kind": "dynamic",
                 "criteria": {"person": "name", "operator": "eq", "value": name}}
                for key, name in world.dynamic.items()
            ),
        ],
        "selection_member": [
            {"selection_id": key, "person_id": person}
            for key, (found, _) in world.selections.items()
            for person in found
        ],
        "selection_company": [
            {"selection_id": key, "company_id": firm} for key, (_, found) in world.selections.items() for firm in found
        ],
        "project": [{"id": key, "name": f"Project {key}"} for key in world.projects],
        "project_member": [
            {"project_id": key, "person_id": person} for key, found in world.projects.items() for person in found
        ],
        "consent": [
            {
                "purpose": "e_marketing", "source": "model", "valid_from": DAYS[0],
                **row, "action": "given" if row["given"] else "withdrawn",
            }
            for row in consents + words
        ],
        "consent_state": [{**_state(yes), "person_id": key} for key, yes in world.consents.items()],
        "company_consent_state": [{**_state(yes), "company_id": key} for key, yes in world.company_consents.items()],
        "subscription": _answers("person_id", world.subscriptions),
        "company_subscription": _answers("company_id", world.company_subscriptions),
        "blocked_address": [
            {"email": key, "email_key": key, "reason": "manual", "origin": "model"} for key in world.blocked
        ],
        "erased_address": sorted(world.erased),
        "mailing_source": [
            {
                "id": source.id, "mailing_id": MAILING, "kind": source.kind, "label": "",
                f"{source.kind}_id": source.names, "consent_basis": "consent" if source.stated else None,
            }
            for source in world.sources
        ],
        "source_address": [
            {"source_id": source.id, "position": place, **asdict(line)}
            for source in world.sources
            for place, line in enumerate(source.addresses)
        ],
    }  # fmt: skip
    return json.dumps(rows, default=str)


def _state(yes: Yes) -> dict[str, Any]:
    return {"purpose": "e_marketing", **asdict(yes)}


def _answers(owner: str, found: dict[tuple[int, int], tuple[bool, datetime]]) -> list[dict[str, Any]]:
    return [
        {owner: key, "subscription_type_id": type_id, "subscribed": yes, "source": "model", "changed_at": since}
        for (key, type_id), (yes, since) in found.items()
    ]
