"""Random worlds and random criteria over them, and how a world gets into the database."""

import json
from datetime import UTC, datetime, time, timedelta

from hypothesis import strategies as st
from sqlalchemy import text

from tests.audience.criteria_model import World

PERSONS, COMPANIES, INTERESTS, TYPES, PROJECTS, MAILINGS = 5, 2, 3, 2, 2, 3
STATIC, DYNAMIC = (1, 2), (3, 4)
PURPOSES = ("e_marketing", "track_opens")
TODAY = datetime.combine(datetime.now(UTC).date(), time(), UTC)

WORDS = ["Oslo", "OSLO", "os", "lo", "Bergen", "b", "Ås", "åS", "%", "_slo", "O'Slo", "\\", "o s", "gold"]
words = st.sampled_from(WORDS)
held = st.one_of(st.none(), st.just(""), words)
days = st.integers(-3, 3)
moments = st.builds(
    lambda day, parts: TODAY + timedelta(days=day, **parts),
    days,
    st.sampled_from([{}, {"microseconds": 1}, {"hours": 12}, {"hours": 24, "microseconds": -1}]),
)
numbers = st.sampled_from([0, 1, -1, 42, 42.5, 1e15, 0.1])
extras = st.fixed_dictionaries(
    {},
    optional={
        "note": st.one_of(held, st.just(7)),
        "size": st.one_of(numbers, st.none(), st.just("42"), st.just(True)),
        "vip": st.one_of(st.booleans(), st.none(), st.just("true")),
        "renewal": st.one_of(days.map(lambda day: (TODAY + timedelta(days=day)).date().isoformat()), st.none()),
        "tier": st.sampled_from(["gold", "Silver", None]),
    },
)


def ids(most):
    return st.integers(1, most)


def pairs(first, second):
    return st.sets(st.tuples(ids(first), ids(second)), max_size=6)


@st.composite
def worlds(draw):
    world = World()
    for number in range(1, COMPANIES + 1):
        fields = {name: draw(held) for name in ("country", "category")}
        company = {"id": number, "name": draw(words), "extra": draw(extras), "created_at": draw(moments), **fields}
        world.companies.append(company)
    for number in range(1, draw(ids(PERSONS)) + 1):
        world.persons.append(
            {
                "id": number, "name": draw(st.one_of(words, st.just(""))), "city": draw(held), "category": draw(held),
                "company_id": draw(st.one_of(st.none(), ids(COMPANIES))), "created_at": draw(moments),
                "email_key": draw(st.one_of(st.none(), words)), "former_employee": draw(st.booleans()),
                "extra": draw(extras),
            }
        )  # fmt: skip
    persons = len(world.persons)
    world.interests = draw(pairs(INTERESTS, persons))
    words_given = st.tuples(
        st.sampled_from(["given", "given", "withdrawn", "expired"]),
        st.one_of(st.none(), st.integers(-5, 5).map(lambda day: datetime.now(UTC) + timedelta(days=day, hours=1))),
    )
    world.consents = draw(st.dictionaries(st.tuples(ids(persons), st.sampled_from(PURPOSES)), words_given, max_size=6))
    world.subscriptions = draw(st.dictionaries(st.tuples(ids(persons), ids(TYPES)), st.booleans(), max_size=6))
    world.members = draw(pairs(len(STATIC), persons))
    world.projects = draw(pairs(PROJECTS, persons))
    world.mailings = {number: draw(st.one_of(st.none(), ids(TYPES))) for number in range(1, MAILINGS + 1)}
    targets = st.sampled_from(["https://example.com/a", "https://example.com/b"])
    world.links = {number: (1 + number // 2, draw(targets)) for number in range(1, 2 * MAILINGS)}
    for number in range(1, draw(st.integers(0, 6)) + 1):
        world.lines.append(draw(lines(world, number, persons)))
    for number in DYNAMIC:
        world.dynamic[number] = draw(criteria(selections=[*STATIC, *(each for each in DYNAMIC if each < number)]))
    return world


@st.composite
def lines(draw, world, number, persons):
    mailing_id = draw(ids(MAILINGS))
    own = [link for link, (mailing, _) in world.links.items() if mailing == mailing_id]
    events = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["open", "click"]))
        link_id = draw(st.sampled_from(own)) if kind == "click" else None
        verdict = draw(st.sampled_from(["human", "machine"]))
        events.append({"kind": kind, "verdict": verdict, "link_id": link_id, "at": draw(moments)})
    return {
        "id": number, "mailing_id": mailing_id, "person_id": draw(st.one_of(st.none(), ids(persons), ids(persons))),
        "sent_at": draw(st.one_of(st.none(), moments)), "bounced_at": draw(st.one_of(st.none(), st.none(), moments)),
        "events": events,
    }  # fmt: skip


# criteria

_RELATIVE = st.one_of(
    st.integers(0, 3).map(lambda n: {"days_ago": n}), st.integers(0, 3).map(lambda n: {"days_from_now": n})
)
_DAYS = st.one_of(_RELATIVE, days.map(lambda day: (TODAY + timedelta(days=day)).date().isoformat()))
_TIMES = st.one_of(_DAYS, moments.map(lambda at: at.isoformat()))
_SCALARS = {
    "text": words, "choice": st.sampled_from(["gold", "silver", "GOLD"]), "number": numbers, "boolean": st.booleans(),
    "flag": st.booleans(), "date": _DAYS, "time": _TIMES, "key": ids(PERSONS),
}  # fmt: skip
_LISTED = {"text", "choice", "number", "key"}
_OPERATORS = {
    "text": ["contains", "starts_with", "ends_with"], "number": ["gt", "gte", "lt", "lte"],
    "date": ["gt", "gte", "lt", "lte"], "time": ["gt", "gte", "lt", "lte"],
}  # fmt: skip


@st.composite
def comparisons(draw):
    where, name, kind = draw(
        st.sampled_from(
            [
                ("person", "city", "text"), ("person", "category", "text"), ("person", "company_id", "key"),
                ("person", "id", "key"), ("person", "former_employee", "flag"), ("person", "email_valid", "flag"),
                ("person", "created_at", "time"), ("company", "country", "text"), ("company", "category", "text"),
                ("company", "id", "key"), ("company", "created_at", "time"),
                *((where, *extra) for where in ("person_extra", "company_extra") for extra in (
                    ("note", "text"), ("size", "number"), ("vip", "boolean"), ("renewal", "date"), ("tier", "choice"),
                )),
            ]
        )
    )  # fmt: skip
    ways = ["eq", "ne", *_OPERATORS.get(kind, [])]
    ways += ["in", "not_in"] if kind in _LISTED else []
    ways += ["is_empty", "is_not_empty"] if kind not in ("flag", "time") else []
    operator = draw(st.sampled_from(ways))
    node = {where: name, "operator": operator}
    if operator in ("in", "not_in"):
        node["value"] = draw(st.lists(_SCALARS[kind], min_size=1, max_size=3))
    elif "empty" not in operator:
        node["value"] = draw(_SCALARS[kind])
    return node


@st.composite
def engagements(draw):
    kind = draw(st.sampled_from(["received", "opened", "clicked", "not_opened", "not_clicked", "bounced"]))
    node = {"engagement": kind}
    if draw(st.booleans()):
        node["mailing_id"] = draw(ids(MAILINGS))
    if draw(st.integers(0, 3)) == 0:
        node["subscription_type_id"] = draw(ids(TYPES))
    if kind.endswith("clicked") and draw(st.booleans()):
        node |= draw(
            st.one_of(
                ids(2 * MAILINGS - 1).map(lambda link: {"link_id": link}),
                st.just({"target": "https://example.com/a"}),
            )
        )
    for name in ("since", "before"):
        if draw(st.integers(0, 2)) == 0:
            node[name] = draw(_TIMES)
    if kind not in ("received", "bounced") and draw(st.integers(0, 3)) == 0:
        node["machines_too"] = True
    return node


def sets(selections):
    consent = st.sampled_from(PURPOSES)
    return st.one_of(
        st.builds(
            lambda quantity, which: {"interests": quantity, "interest_ids": which},
            st.sampled_from(["any", "all", "none"]),
            st.lists(ids(INTERESTS), min_size=1, max_size=3),
        ),
        st.builds(
            lambda purpose, state: {"consent": purpose, "is": state},
            consent,
            st.sampled_from(["given", "withdrawn", "expired", "never_asked"]),
        ),
        st.builds(lambda purpose, n: {"consent": purpose, "is": "expires", "within_days": n}, consent, ids(6)),
        st.builds(
            lambda state, kind: {"subscription": state} | ({"subscription_type_id": kind} if kind else {}),
            st.sampled_from(["subscribed", "not_subscribed", "never_asked"]),
            st.one_of(st.none(), ids(TYPES)),
        ),
        st.sampled_from(list(selections)).map(lambda number: {"selection": number}),
        ids(PROJECTS).map(lambda number: {"project": number}),
        engagements(),
        engagements(),
    )


def criteria(selections=(*STATIC, *DYNAMIC)):
    leaf = st.one_of(comparisons(), sets(selections), sets(selections))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=8,
    )


# into the database

_KINDS = (("note", "text"), ("size", "number"), ("vip", "boolean"), ("renewal", "date"), ("tier", "choice"))


def rows_of(world: World) -> dict[str, list[dict]]:
    """Return the rows of a world by table; foreign keys go to tables before."""
    extra_fields = [
        {
            "owner": owner,
            "name": name,
            "label": name,
            "kind": kind,
            "choices": ["gold", "silver"] if kind == "choice" else [],
        }
        for owner in ("person", "company")
        for name, kind in _KINDS
    ]
    ledger = list(enumerate(world.consents.items(), start=1))
    selections = [{"id": number, "name": "s", "kind": "static"} for number in STATIC]
    selections += [
        {"id": number, "name": "d", "kind": "dynamic", "criteria": told} for number, told in world.dynamic.items()
    ]
    return {
        "extra_field": extra_fields,
        "company": world.companies,
        "person": world.persons,
        "interest": [{"id": number, "name": f"i{number}"} for number in range(1, INTERESTS + 1)],
        "person_interest": [{"interest_id": interest, "person_id": person} for interest, person in world.interests],
        "consent": [
            {"id": number, "person_id": person, "purpose": purpose, "action": action, "source": "test"}
            for number, ((person, purpose), (action, _)) in ledger
        ],
        "consent_state": [
            {
                "person_id": person, "purpose": purpose, "given": action == "given", "consent_id": number,
                "valid_until": until,
            }
            for number, ((person, purpose), (action, until)) in ledger
        ],
        "subscription_type": [{"id": number, "name": f"t{number}"} for number in range(1, TYPES + 1)],
        "subscription": [
            {"person_id": person, "subscription_type_id": kind, "subscribed": yes, "source": "test"}
            for (person, kind), yes in world.subscriptions.items()
        ],
        "selection": selections,
        "selection_member": [{"selection_id": number, "person_id": person} for number, person in world.members],
        "project": [{"id": number, "name": "p"} for number in range(1, PROJECTS + 1)],
        "project_member": [{"project_id": number, "person_id": person} for number, person in world.projects],
        "mailing": [
            {
                "id": number, "name": "m", "subject": "", "from_name": "", "from_email": "", "html": "",
                "subscription_type_id": kind,
            }
            for number, kind in world.mailings.items()
        ],
        "link": [
            {"id": link, "mailing_id": mailing, "position": link, "target": target, "frozen": True}
            for link, (mailing, target) in world.links.items()
        ],
        "recipient": [
            {
                "id": line["id"], "mailing_id": line["mailing_id"], "person_id": line["person_id"], "name": "",
                "email": "", "sent_at": line["sent_at"], "bounced_at": line["bounced_at"],
                "status": "sent", **marks(line),
            }
            for line in world.lines
        ],
        "engagement": [
            {
                "kind": event["kind"], "mailing_id": line["mailing_id"], "recipient_id": line["id"],
                "link_id": event["link_id"], "occurred_at": event["at"], "verdict": event["verdict"], "rule_version": 1,
            }
            for line in world.lines
            for event in line["events"]
        ],
    }  # fmt: skip


def marks(line) -> dict:
    """The marks that the recorder keeps on a line: the first event of each kind and verdict."""
    found = {}
    for verdict, prefix in (("human", ""), ("machine", "machine_")):
        for kind, name in (("open", "opened_at"), ("click", "clicked_at")):
            times = [event["at"] for event in line["events"] if (event["kind"], event["verdict"]) == (kind, verdict)]
            found[prefix + name] = min(times, default=None)
    return found


async def store(session, world: World) -> None:
    for table, rows in rows_of(world).items():
        if rows:
            columns = ", ".join(f'"{name}"' for name in rows[-1])
            statement = text(
                f"INSERT INTO {table} ({columns}) SELECT {columns} "
                f"FROM jsonb_populate_recordset(cast(NULL AS {table}), cast(:rows AS jsonb))"
            )
            await session.exec(statement, params={"rows": json.dumps(rows, default=datetime.isoformat)})
