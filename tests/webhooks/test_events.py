"""The event feed (D77): every change has its event, and a reader misses none."""

import asyncio
import random

from sqlalchemy import text

from app.platform.actor import acts
from app.platform.db import Database
from app.webhooks.service import read_feed
from tests.conftest import settings_for
from workers.context import actor_of


async def feed(client, **query):
    answer = await client.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def told(client, after):
    """What the feed says since, without ids of the feed and times."""
    found = await feed(client, after=after, limit=200)
    return [(event["type"], event["data"]) for event in found["items"]]


async def post(client, path, body, status=201):
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_persons_life_is_told(client):
    start = (await feed(client))["last_id"]
    kari = (await post(client, "persons", {"name": "Kari", "email": "kari@example.com", "external_id": "crm-1"}))["id"]
    assert (await client.patch(f"/v1/persons/{kari}", json={"city": "Oslo", "title": "Dr"})).status_code == 200
    assert (await client.patch(f"/v1/persons/{kari}", json={"city": "Oslo"})).status_code == 200  # no change, no event
    assert (await client.delete(f"/v1/persons/{kari}")).status_code == 204
    who = {"person_id": kari, "external_id": "crm-1"}
    assert await told(client, start) == [
        ("person.created", who),
        ("person.updated", {**who, "fields": ["city", "title"]}),
        ("person.deleted", who),
    ]


async def test_consents_and_subscriptions_are_told(client):
    kari = (await post(client, "persons", {"name": "Kari", "email": "kari@example.com"}))["id"]
    kind = (await post(client, "subscription-types", {"name": "News"}))["id"]
    start = (await feed(client))["last_id"]
    lines = [
        await post(client, f"persons/{kari}/consents", {"purpose": "e_marketing", "action": action, "source": "form"})
        for action in ("given", "withdrawn")
    ]
    for subscribed in (True, True, False):
        answers = {"items": [{"subscription_type_id": kind, "subscribed": subscribed}]}
        assert (await client.put(f"/v1/persons/{kari}/subscriptions", json=answers)).status_code == 200
    consent = {"person_id": kari, "purpose": "e_marketing"}
    subscription = {"person_id": kari, "subscription_type_id": kind}
    assert await told(client, start) == [
        ("consent.given", {**consent, "consent_id": lines[0]["id"]}),
        ("consent.withdrawn", {**consent, "consent_id": lines[1]["id"]}),
        ("subscription.changed", {**subscription, "subscribed": True}),
        ("subscription.changed", {**subscription, "subscribed": False}),
    ]


async def test_blocking_an_address_names_whose_it_is_and_not_the_address(client):
    kari = (await post(client, "persons", {"name": "Kari", "email": "kari@example.com"}))["id"]
    start = (await feed(client))["last_id"]
    blocked = await post(client, "blocked-addresses", {"email": "Kari@example.com", "origin": "asked by phone"})
    assert (await client.delete(f"/v1/blocked-addresses/{blocked['id']}")).status_code == 204
    events = await told(client, start)
    data = {"blocked_address_id": blocked["id"], "reason": "manual", "mailing_id": None, "person_ids": [kari]}
    assert events == [("address.blocked", data), ("address.unblocked", data)]


async def test_interests_are_fields_of_the_person_unless_the_interest_itself_goes(client):
    kari = (await post(client, "persons", {"name": "Kari"}))["id"]
    cats = (await post(client, "interests", {"name": "Cats"}))["id"]
    start = (await feed(client))["last_id"]
    wanted = {"interest_ids": [cats]}
    answer = await client.put(f"/v1/persons/{kari}/interests", json=wanted)
    assert answer.status_code < 300, answer.text
    assert (await client.delete(f"/v1/interests/{cats}")).status_code == 204
    assert await told(client, start) == [
        ("person.updated", {"person_id": kari, "external_id": None, "fields": ["interests"]})
    ]


async def test_an_import_has_one_event_and_none_for_its_rows(client, database, session):
    start = (await feed(client))["last_id"]

    with acts(actor_of("import.run", {"import_id": 17})):
        async with database.begin() as batch:
            await batch.exec(text("INSERT INTO person (name) VALUES ('Kari'), ('Ola')"))
            await batch.exec(text("INSERT INTO operation (id, kind) VALUES (9001, 'import')"))
            await batch.exec(
                text("INSERT INTO import (id, file_name, operation_id, created) VALUES (17, 'a.csv', 9001, 2)")
            )
            await batch.exec(text("UPDATE operation SET done = 2 WHERE id = 9001"))
            await batch.exec(text("UPDATE operation SET state = 'succeeded', finished_at = now() WHERE id = 9001"))
    assert await told(client, start) == [
        (
            "import.finished",
            {
                "import_id": 17, "operation_id": 9001, "state": "succeeded", "created": 2, "updated": 0, "rejected": 0
            },
        )
    ]  # fmt: skip


async def test_the_feed_is_filtered_by_type_and_goes_on_behind_what_was_filtered(client):
    """D77: the pull feed."""
    start = (await feed(client))["last_id"]
    for name in ("Kari", "Ola", "Per"):
        await post(client, "persons", {"name": name})
    first = await feed(client, after=start, limit=2)
    assert first["more"]
    rest = await feed(client, after=first["last_id"], limit=2)
    assert [len(first["items"]), len(rest["items"]), rest["more"]] == [2, 1, False]
    none = await feed(client, after=start, type=["person.deleted", "person.erased"])
    assert none == {"items": [], "last_id": rest["last_id"], "more": False}
    assert (await client.get("/v1/events", params={"type": "person.born"})).status_code == 422


async def _read(database, after):
    async with database.begin() as session:
        found = await read_feed(session, after=after, types=[], limit=200)
    return [event.data["external_id"] for event in found.events], found.last_id


async def _add(session, name):
    await session.exec(text("INSERT INTO person (name, external_id) VALUES (:name, :name)"), params={"name": name})


async def test_what_commits_later_comes_later_though_it_was_written_earlier(fresh_database):
    """Ids are drawn when written and seen when committed: a reader that goes by ids would miss the first."""
    database = Database.connect(settings_for(fresh_database), name="test")
    async with database.begin() as slow:
        await _add(slow, "written first")
        async with database.begin() as quick:
            await _add(quick, "committed first")
        seen, last = await _read(database, 0)
        assert seen == ["committed first"]
    assert await _read(database, last) == (["written first"], last + 1)
    await database.close()


async def test_of_two_who_number_at_once_neither_skips_nor_repeats(fresh_database):
    database = Database.connect(settings_for(fresh_database), name="test")
    async with database.begin() as session:
        await _add(session, "one")
    async with database.begin() as first:
        await read_feed(first, after=0, types=[], limit=200)  # numbers, and is not committed yet
        async with database.begin() as session:
            await _add(session, "two")
        second = asyncio.create_task(_read(database, 0))
        await asyncio.wait([second], timeout=0.1)
        assert not second.done()
    assert await second == (["one", "two"], 2)
    await database.close()


async def test_a_reader_beside_many_writers_sees_each_event_once_and_in_order(fresh_database):
    database = Database.connect(settings_for(fresh_database), name="test")
    rng = random.Random(7)
    names = [f"{writer}-{n}" for writer in range(6) for n in range(25)]

    async def write(writer):
        for n in range(25):
            async with database.begin() as session:
                await _add(session, f"{writer}-{n}")
                await asyncio.sleep(rng.random() / 200)  # transactions overlap
                if n % 5 == 0:
                    await _add(session, f"{writer}-{n}-again")

    writers = asyncio.gather(*(write(writer) for writer in range(6)))
    seen, after = [], 0
    while not writers.done():
        got, after = await _read(database, after)
        seen += got
    got, _ = await _read(database, after)
    seen += got
    assert sorted(seen) == sorted(names + [f"{w}-{n}-again" for w in range(6) for n in range(0, 25, 5)])
    for writer in range(6):  # each writer's own order is kept
        mine = [name for name in seen if name.startswith(f"{writer}-") and not name.endswith("again")]
        assert mine == [f"{writer}-{n}" for n in range(25)]
    await database.close()
