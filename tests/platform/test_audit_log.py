"""The audit log (D76): every write with who, what, before and after."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.platform.actor import Actor, acts
from app.platform.auth import Scope, create_api_key
from workers.context import actor_of


async def log_of(client, **filters):
    answer = await client.get("/v1/audit-log", params=filters)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def person(client, **fields):
    answer = await client.post("/v1/persons", json={"name": "Kari Nordmann", "email": "Kari@Example.com", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_change_is_logged_with_who_what_before_and_after(client):
    """D76."""
    kari = await person(client, city="Oslo", title="Dr")
    changed = await client.patch(
        f"/v1/persons/{kari}", json={"city": "Bergen", "title": None, "name": "Kari Nordmann"},
        headers={"X-Request-Id": "crm-81"},
    )  # fmt: skip
    assert changed.status_code == 200
    change, creation = await log_of(client, entity="person", entity_id=kari)
    assert (change["action"], change["request_id"], change["actor_name"]) == ("changed", "crm-81", "tests")
    assert change["actor"].startswith("api-key:")
    assert change["before"] == {"city": "Oslo", "title": "Dr"}
    assert change["after"] == {"city": "Bergen", "title": None}
    assert change["person_id"] == kari
    assert creation["action"] == "created"
    assert creation["before"] is None
    assert creation["after"]["email"] == "Kari@example.com"


async def test_a_change_that_changes_nothing_is_not_logged(client):
    kari = await person(client)
    assert (await client.patch(f"/v1/persons/{kari}", json={"name": "Kari Nordmann"})).status_code == 200
    assert len(await log_of(client, entity="person", entity_id=kari)) == 1


async def test_what_a_deletion_takes_along_is_logged_too(client):
    kari = await person(client)
    kind = (await client.post("/v1/subscription-types", json={"name": "News"})).json()["id"]
    answers = {"items": [{"subscription_type_id": kind, "subscribed": True}], "source": "form"}
    assert (await client.put(f"/v1/persons/{kari}/subscriptions", json=answers)).status_code == 200
    answers["items"][0]["subscribed"] = False
    assert (await client.put(f"/v1/persons/{kari}/subscriptions", json=answers)).status_code == 200
    [change] = await log_of(client, entity="subscription", person_id=kari, action="changed")
    assert change["before"] == {"subscription_type_id": kind, "subscribed": True}
    assert change["after"] == {"subscription_type_id": kind, "subscribed": False}
    assert (await client.delete(f"/v1/persons/{kari}")).status_code == 204
    gone = await log_of(client, person_id=kari, action="deleted")
    assert {entry["entity"] for entry in gone} == {"person", "subscription"}
    assert next(entry for entry in gone if entry["entity"] == "person")["before"]["name"] == "Kari Nordmann"


async def test_a_refused_request_leaves_no_entry(client):
    await person(client, external_id="crm-1")
    before = await log_of(client)
    refused = await client.post("/v1/persons", json={"name": "Kari", "external_id": "crm-1"})
    assert refused.status_code == 409
    assert await log_of(client) == before


async def test_secrets_and_their_hashes_are_not_in_the_log(client):
    made = (await client.post("/v1/api-keys", json={"name": "CRM", "scopes": ["contacts:read"]})).json()
    await client.get("/v1/persons", headers={"Authorization": f"Bearer {made['key']}"})
    assert (await client.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    revoked, created = await log_of(client, entity="api_key", entity_id=made["id"])
    assert created["after"]["scopes"] == ["contacts:read"]
    assert not {"hash", "last_used_at"} & (created["after"].keys() | revoked["after"].keys())
    assert set(revoked["after"]) == {"revoked_at"}


async def test_content_is_logged_by_length_and_checksum(client):
    made = (await client.post("/v1/templates", json={"name": "T", "html": "<p>" + "x" * 5000 + "</p>"})).json()
    [entry] = await log_of(client, entity="template", entity_id=made["id"])
    assert entry["after"]["html"]["characters"] == 5007
    assert entry["after"]["name"] == "T"


@pytest.mark.parametrize(("size", "entries"), [(500, 500), (501, 1)])
async def test_many_rows_at_once_are_summed_up(client, size, entries):
    items = [{"external_id": f"crm-{n}", "name": f"Person {n}"} for n in range(size)]
    answer = await client.post("/v1/persons/bulk", json={"items": items}, headers={"X-Request-Id": "sync-1"})
    assert answer.status_code == 200, answer.text
    found = []
    cursor = {}
    while True:
        params = {"request_id": "sync-1", "entity": "person", "limit": 200, **cursor}
        page = (await client.get("/v1/audit-log", params=params)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(found) == entries
    assert sum(entry["rows"] for entry in found) == size
    assert len({entry["id"] for entry in found}) == entries
    assert all((entry["after"] is None) == (entries == 1) for entry in found)


async def test_an_import_has_one_entry_per_table_and_kind_over_all_its_batches(client, database):
    job = actor_of("import.run", {"import_id": 17})
    for batch in range(3):
        with acts(job):
            async with database.begin() as session:
                names = [f"Person {batch}-{n}" for n in range(4)]
                await session.exec(
                    text("INSERT INTO person (name) SELECT * FROM unnest(cast(:names AS text[]))"),
                    params={"names": names},
                )
    [entry] = await log_of(client, actor="job:import.run")
    assert (entry["entity"], entry["rows"], entry["actor_name"]) == ("person", 12, "import_id 17")


async def test_whoever_acts_in_a_task_is_named_in_all_its_transactions(client, database):
    async def write(name):
        with acts(Actor(f"job:{name}")):
            await asyncio.sleep(0)
            async with database.begin() as session:
                await session.exec(text("INSERT INTO interest (name) VALUES (:name)"), params={"name": name})

    await asyncio.create_task(write("a"))
    await asyncio.create_task(write("b"))
    entries = await log_of(client, entity="interest")
    assert [(entry["actor"], entry["after"]["name"]) for entry in entries] == [("job:b", "b"), ("job:a", "a")]


async def test_a_remembered_key_is_named_as_well(client):
    for name in ("One", "Two"):  # the key of the second request is not looked up again
        assert (await client.post("/v1/interests", json={"name": name})).status_code == 201
    entries = await log_of(client, entity="interest")
    assert [entry["actor_name"] for entry in entries] == ["tests", "tests"]
    assert entries[0]["request_id"] != entries[1]["request_id"]


async def test_the_log_is_filtered_by_time_and_read_by_admins_only(client, session):
    kari = await person(client)
    now = datetime.now(UTC)
    assert await log_of(client, entity_id=kari, since=(now - timedelta(hours=1)).isoformat())
    assert not await log_of(client, entity_id=kari, until=(now - timedelta(hours=1)).isoformat())
    assert (await client.get("/v1/audit-log", params={"since": "yesterday"})).status_code == 422
    narrow = await create_api_key(session, name="narrow", scopes=[Scope.CONTACTS_WRITE])
    answer = await client.get("/v1/audit-log", headers={"Authorization": f"Bearer {narrow}"})
    assert answer.status_code == 403
