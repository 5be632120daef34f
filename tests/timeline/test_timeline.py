"""A person's timeline (D68): what happened, newest first, page by page, from every slice that keeps it."""

import json
import random
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import text

from app.platform.auth import Scope, create_api_key
from app.timeline import queries
from app.timeline.schemas import EntryKind, VerdictFilter
from app.timeline.service import page_of_entries

START = datetime(2026, 11, 24, 8, tzinfo=UTC)


def at(minutes):
    return START + timedelta(minutes=minutes)


class World:
    """Kari with lines in mailings, and Ola with a line beside each of hers."""

    def __init__(self, client, database):
        self.client, self.database = client, database

    async def sql(self, statement, **params):
        async with self.database.begin() as session:
            result = await session.exec(text(statement), params=params)
            return result.all() if result.returns_rows else []

    async def build(self):
        self.kari, self.ola = [
            (await self.sql("INSERT INTO person (name) VALUES (:name) RETURNING id", name=name))[0].id
            for name in ("Kari", "Ola")
        ]
        self.library = (
            await self.sql(
                "INSERT INTO library_link (name, target, target_key) VALUES ('Prices', 'https://a.example/p', 'a')"
                " RETURNING id"
            )
        )[0].id
        return self

    async def line(self, name="News", *, of=None, status="sent", **moments):
        """A line of a mailing of its own; (mailing, recipient, link)."""
        mailing = (await self.sql(
            "INSERT INTO mailing (name, from_name, from_email, subject, html) VALUES (:name, '', '', '', '')"
            " RETURNING id", name=name,
        ))[0].id  # fmt: skip
        link = (await self.sql(
            "INSERT INTO link (mailing_id, position, target, library_link_id)"
            " VALUES (:mailing, 0, 'https://a.example/p', :library) RETURNING id",
            mailing=mailing, library=self.library,
        ))[0].id  # fmt: skip
        columns = "".join(f", {column}" for column in moments)
        values = "".join(f", :{column}" for column in moments)
        recipient = (await self.sql(
            f"INSERT INTO recipient (mailing_id, person_id, name, email, status{columns})"
            f" VALUES (:mailing, :person, 'K', 'k@example.com', :status{values}) RETURNING id",
            mailing=mailing, person=of or self.kari, status=status, **moments,
        ))[0].id  # fmt: skip
        return mailing, recipient, link

    async def event(self, line, kind, minutes, verdict="human"):
        mailing, recipient, link = line
        await self.sql(
            "INSERT INTO engagement (kind, mailing_id, recipient_id, link_id, occurred_at, verdict, rule_version)"
            " VALUES (:kind, :mailing, :recipient, cast(:link AS bigint), :moment, :verdict, 1)",
            kind=kind, mailing=mailing, recipient=recipient, link=link if kind == "click" else None,
            moment=at(minutes), verdict=verdict,
        )  # fmt: skip
        mark = ("" if verdict == "human" else "machine_") + ("clicked_at" if kind == "click" else "opened_at")
        await self.sql(
            f"UPDATE recipient SET {mark} = least({mark}, :moment) WHERE id = :id", moment=at(minutes), id=recipient
        )

    async def get(self, status=200, person=None, client=None, **query):
        answer = await (client or self.client).get(f"/v1/persons/{person or self.kari}/timeline", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def pages(self, **query):
        items, cursor = [], {}
        while True:
            page = await self.get(**query, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            assert len(page["items"]) == query["limit"]
            cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
async def world(client, database):
    return await World(client, database).build()


def key(entry):
    return datetime.fromisoformat(entry["moment"]), entry["kind"], entry["id"]


async def test_a_timeline_has_what_every_slice_knows_of_the_person_newest_first(world):
    """D68: mailings received, and what the person did; people's events only, unless asked."""
    first = await world.line("First", sent_at=at(0), unsubscribed_at=at(6), complained_at=at(7))
    await world.line("Second", status="bounced", bounced_at=at(8), bounce="hard", code=550, reply="5.1.1 no")
    await world.line("Third", status="unconfirmed", tried_at=at(9))
    await world.line("Fourth", status="failed", tried_at=at(10), reply="too large")
    await world.line("Waits", status="ready")
    await world.line("Ola's", of=world.ola, sent_at=at(1), opened_at=at(1), clicked_at=at(1))
    await world.event(first, "open", 1)
    await world.event(first, "click", 2)
    await world.event(first, "click", 3, "machine")
    mailing, recipient, link = first
    run = {"library": world.library, "recipient": recipient, "mailing": mailing, "link": link}
    await world.sql(
        "INSERT INTO action_run (action_id, kind, library_link_id, recipient_id, mailing_id, link_id, clicked_at,"
        " state, detail) VALUES (1, 'interests', :library, :recipient, :mailing, :link, :moment, 'done', '1 added')",
        moment=at(2), **run,
    )  # fmt: skip
    del run["link"]
    for table, columns, values in (
        ("follow_up", "type, description", "'task', 'Call'"),
        ("request", "title, priority, assignment", "'Help', 'high', 'automatic'"),
    ):  # fmt: skip
        await world.sql(
            f"INSERT INTO {table} (created_at, run_id, library_link_id, mailing_id, recipient_id, person_id, {columns})"
            f" VALUES (:moment, 1, :library, :mailing, :recipient, :person, {values})",
            moment=at(4), person=world.kari, **run,
        )  # fmt: skip
    ledger = {"purpose": "e_marketing", "action": "given", "source": "form", "valid_from": "2026-01-02T10:00:00Z"}
    assert (await world.client.post(f"/v1/persons/{world.kari}/consents", json=ledger)).status_code == 201
    kind = (await world.client.post("/v1/subscription-types", json={"name": "Coast"})).json()["id"]
    for person in (world.kari, world.ola):
        answer = {"items": [{"subscription_type_id": kind, "subscribed": True}]}
        assert (await world.client.put(f"/v1/persons/{person}/subscriptions", json=answer)).status_code == 200
    await world.sql("UPDATE subscription SET changed_at = :moment, subscribed = false", moment=at(5))

    found = (await world.get())["items"]
    assert [(entry["kind"], entry.get("mailing", {}).get("name")) for entry in found if key(entry)[0] <= at(60)] == [
        ("failed", "Fourth"), ("unconfirmed", "Third"), ("bounced", "Second"), ("complained", "First"),
        ("unsubscribed", "First"), ("subscription", None), ("request", "First"), ("follow_up", "First"),
        ("click", "First"), ("action", "First"), ("open", "First"), ("sent", "First"),
    ]  # fmt: skip
    by_kind = {entry["kind"]: entry for entry in found}
    assert [by_kind["bounced"][name] for name in ("bounce", "code", "reply")] == ["hard", 550, "5.1.1 no"]
    assert by_kind["click"]["link"] == by_kind["action"]["link"] == {"id": world.library, "name": "Prices"}
    assert (by_kind["click"]["verdict"], by_kind["click"]["target"]) == ("human", "https://a.example/p")
    assert by_kind["click"]["mailing"] == {"id": mailing, "name": "First"}
    assert (by_kind["action"]["action"], by_kind["action"]["detail"]) == ("interests", "1 added")
    assert (by_kind["follow_up"]["description"], by_kind["request"]["title"]) == ("Call", "Help")
    assert (by_kind["consent"]["action"], by_kind["consent"]["valid_from"]) == ("given", ledger["valid_from"])
    # The last answer, and the first one, of which the feed of events still knows.
    answers = [entry for entry in found if entry["kind"] == "subscription"]
    assert {(entry["subscribed"], entry["subscription_type"]) for entry in answers} == {
        (True, "Coast"),
        (False, "Coast"),
    }
    assert {entry["kind"] for entry in found} == {kind.value for kind in EntryKind}

    machines = (await world.get(kind=["click", "open"], verdict="machine"))["items"]
    assert [(entry["kind"], key(entry)[0]) for entry in machines] == [("click", at(3))]
    assert len((await world.get(kind=["click", "open"], verdict="any"))["items"]) == 3


@pytest.mark.parametrize("seed", [1, 2])
async def test_pages_of_any_size_have_each_entry_once_and_in_order_whatever_happened_at_the_same_time(world, seed):
    chance = random.Random(seed)
    expected = []
    for number in range(12):
        sent = chance.randint(0, 20)
        line = await world.line(f"M{number}", sent_at=at(sent))
        expected.append((at(sent), "sent", line[1], None))
        for _ in range(chance.choice([0, 0, 1, 3, 12])):
            kind, verdict = chance.choice(["open", "click"]), chance.choice(["human", "machine"])
            moment = sent + chance.randint(0, 3)
            await world.event(line, kind, moment, verdict)
    rows = await world.sql("SELECT occurred_at, kind, id, verdict FROM engagement")
    expected = sorted([*expected, *map(tuple, rows)], reverse=True, key=lambda entry: entry[:3])
    for _ in range(12):
        limit = chance.choice([1, 2, 3, 7, 50])
        kinds = chance.sample(["sent", "open", "click"], chance.randint(1, 3))
        verdict = chance.choice(["human", "machine", "any"])
        since, until = at(chance.randint(0, 12)), at(chance.randint(10, 25))
        found = await world.pages(
            kind=kinds, verdict=verdict, since=since.isoformat(), until=until.isoformat(), limit=limit
        )
        assert [key(entry) for entry in found] == [
            entry[:3] for entry in expected
            if entry[1] in kinds and entry[3] in (None, *(["human", "machine"] if verdict == "any" else [verdict]))
            and since <= entry[0] < until
        ]  # fmt: skip


async def test_who_has_no_timeline_and_who_may_not_see_one(world, database):
    await world.line(sent_at=at(0))
    assert (await world.get(404, person=987654321))["type"].endswith("person-not-found")
    async with database.begin() as session:
        secret = await create_api_key(session, name="contacts", scopes=[Scope.CONTACTS_READ])
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx2.AsyncClient(
        transport=world.client._transport, base_url="http://test", headers=headers
    ) as lacking:
        assert "tracking:read" in (await world.get(403, client=lacking))["detail"]
    page = await world.get(limit=1)
    ends = {"since": "0001-01-01T00:00:00+14:00"}, {"until": "9999-12-31T23:59:59-12:00"}  # no such time in UTC
    for query in (
        *ends,
        {"cursor": "x"},
        {"kind": "seen"},
        {"verdict": "robot"},
        {"since": "2026-11-24"},
        {"limit": 0},
    ):
        assert (await world.get(422, **query))["errors"], query
    assert page["next_cursor"] is None
    await world.client.post(f"/v1/persons/{world.kari}/erase", json={"reason": "objected"})
    await world.get(404)


async def test_a_page_reads_a_pages_worth_of_events_however_many_there_are(world, database):
    """Through engagement_recipient_idx: nothing is read whole, and no more is sorted than could be on the page."""
    many = await world.line("Many", sent_at=at(0), opened_at=at(0), machine_opened_at=at(0), clicked_at=at(0))
    mailing, recipient, link = many
    await world.sql(
        "INSERT INTO recipient (mailing_id, person_id, name, email, status, sent_at, opened_at)"
        " SELECT :mailing, CASE WHEN g <= 300 THEN :person ELSE cast(:other AS bigint) END, '', 'k@example.com',"
        " 'sent', :start, :start FROM generate_series(1, 3000) AS g",
        mailing=mailing, person=world.kari, other=world.ola, start=at(0),
    )  # fmt: skip
    await world.sql(
        "INSERT INTO engagement (kind, mailing_id, recipient_id, link_id, occurred_at, verdict, rule_version)"
        " SELECT CASE WHEN g % 2 = 0 THEN 'open' ELSE 'click' END, r.mailing_id, r.id,"
        " CASE WHEN g % 2 = 1 THEN cast(:link AS bigint) END, r.opened_at + g * interval '1 second', 'human', 1"
        " FROM recipient AS r, generate_series(1, CASE r.id WHEN :recipient THEN 20000 ELSE 5 END) AS g",
        recipient=recipient, link=link,
    )  # fmt: skip
    await world.sql("ANALYZE")
    params = {
        "person_id": world.kari, "at": at(300), "kind": "", "id": 0, "since": at(0), "limit": 51,
        "kinds": ["click", "open"], "verdicts": ["human"],
    }  # fmt: skip
    for mode in ("force_generic_plan", "force_custom_plan"):
        async with database.begin() as session:
            await session.exec(text(f"SET LOCAL plan_cache_mode = {mode}"))
            await session.exec(text("SET LOCAL enable_seqscan = off"))
            explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {queries.ENGAGEMENT.text}")
            explain = explain.bindparams(*queries.ENGAGEMENT._bindparams.values())
            plan = (await session.exec(explain, params=params)).scalar_one()
        nodes = list(_flatten(plan[0]["Plan"]))
        used = {node.get("Index Name") for node in nodes}
        assert {"engagement_recipient_idx", "recipient_person_idx"} <= used, json.dumps(plan)[:4000]
        read = [
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in nodes if node.get("Relation Name") == "engagement"
        ]  # fmt: skip
        assert sum(read) < 2500, read  # of 35 000: 301 newest ones, and 51 or fewer of each of 51 lines
        assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    async with database.begin() as session:
        rows = await page_of_entries(
            session, person_id=world.kari, kinds=[EntryKind.OPEN, EntryKind.CLICK], verdict=VerdictFilter.HUMAN,
            since=None, until=None, before=None, limit=50,
        )  # fmt: skip
    assert [row.moment for row in rows] == [at(0) + timedelta(seconds=20000 - n) for n in range(51)]


def _flatten(node):
    yield node
    for part in node.get("Plans", ()):
        yield from _flatten(part)
