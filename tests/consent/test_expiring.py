"""The re-permission list: whose consent runs out."""

import json

from sqlalchemy import text

from app.consent import expiring_queries, expiry
from app.platform.db import run
from tests.consent.people import days

PATH = "/v1/consents/expiring"


async def names(client, **asked) -> str:
    answer = await client.get(PATH, params=asked)
    assert answer.status_code == 200, answer.text
    return "".join(item["name"] for item in answer.json()["items"])


async def fill(people, session) -> None:
    """A ran out 20 days ago and B 3 days ago, C to E run out in 5, 20 and 300 days, F never; G and H said no."""
    for name, until in zip("ABCDEFGH", (-20, -3, 5, 20, 300, None, 5, -3), strict=True):
        person = await people.person(f"{name}@x.example".lower(), name=name)
        times = {"valid_until": days(until).isoformat()} if until is not None else {}
        await people.consents(person, valid_from=days(-40).isoformat(), **times)
        if name == "H":
            await expiry.expire(session)
        if name in "GH":
            await people.consents(person, action="withdrawn")
        if name == "A":
            await people.consents(person, purpose="track_opens", valid_from=days(-9).isoformat())
            await expiry.expire(session)


async def test_whose_consent_runs_out_within_days_or_has_run_out(client, people, session):
    await fill(people, session)
    for asked, found in (
        ({}, "CD"),
        ({"within_days": 10}, "C"),
        ({"within_days": 365}, "CDE"),
        ({"within_days": 0}, ""),
        ({"within_days": 0, "expired_days": 7}, "B"),
        ({"expired_days": 30}, "ABCD"),
        ({"purpose": "track_opens", "within_days": 36600}, ""),
    ):
        assert await names(client, **asked) == found, asked
        await expiry.expire(session)  # what the ledger says already is all the same
        assert await names(client, **asked) == found, asked
    [item] = (await client.get(PATH, params={"within_days": 0, "expired_days": 7})).json()["items"]
    assert (item["expired"], item["email"]) == (True, "b@x.example")


async def test_pages_and_their_count(client, people, session):
    await fill(people, session)
    found, cursor = "", None
    while True:
        asked = {"expired_days": 30, "limit": 1, "include": "total"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(PATH, params=asked)).json()
        assert page["total"] == 4
        found += page["items"][0]["name"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == "ABCD"
    assert (await client.get(PATH)).json().get("total") is None


async def test_what_makes_no_sense_is_refused(client):
    assert (await client.get(PATH, params={"purpose": "phone_calls"})).status_code == 404
    for wrong in ({"within_days": -1}, {"cursor": "x"}, {"include": "all"}, {"cursor": "eyJrZXkiOiBbMSwgMl19"}):
        assert (await client.get(PATH, params=wrong)).status_code == 422, wrong


_MANY = (
    "INSERT INTO person (name) SELECT 'P' FROM generate_series(1, 30000)",
    """INSERT INTO consent (person_id, purpose, action, source, valid_until)
       SELECT id, 'e_marketing', 'given', 'x', now() + make_interval(mins => (id % 500000)::int) FROM person""",
    """INSERT INTO consent_state (person_id, purpose, given, consent_id, valid_until)
       SELECT person_id, purpose, true, id, valid_until FROM consent""",
    "ANALYZE person",
    "ANALYZE consent_state",
)


async def test_a_page_is_read_from_the_index_wherever_it_is(session):
    for statement in _MANY:
        await run(session, text(statement))
    query = expiring_queries._EXPIRING
    explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.text}").bindparams(*query._bindparams.values())
    for after in ((None, None), (days(5), 12345)):
        plan = await run(
            session, explained, purpose="e_marketing", since=days(0), until=days(300), after_until=after[0],
            after_person=after[1], limit=51,
        )  # fmt: skip
        nodes = list(_flat(plan.scalar_one()[0]["Plan"]))
        assert {"consent_state_valid_until_idx", "consent_state_expired_idx"} <= {
            node.get("Index Name") for node in nodes
        }, json.dumps(nodes)
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}
        assert max(node["Actual Rows"] for node in nodes) <= 60


def _flat(node):
    yield node
    for part in node.get("Plans", ()):
        yield from _flat(part)
