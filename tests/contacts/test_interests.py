"""`/v1/interests`, and who has them."""

import pytest


async def interest(client, name: str) -> int:
    created = await client.post("/v1/interests", json={"name": name})
    assert created.status_code == 201, created.text
    return created.json()["id"]


async def upsert(client, *items) -> list[int]:
    answer = (await client.post("/v1/persons/bulk", json={"items": list(items)})).json()
    assert not answer["failed"], answer
    return [item["id"] for item in answer["items"]]


async def names_of(client, person_id: int) -> list[str]:
    answer = await client.get(f"/v1/persons/{person_id}/interests")
    return [item["name"] for item in answer.json()["items"]]


async def test_an_interest_is_created_renamed_found_and_deleted(client):
    interest_id = await interest(client, "Product news")
    path = f"/v1/interests/{interest_id}"
    assert (await client.patch(path, json={"name": "News"})).json()["name"] == "News"
    assert (await client.get(path)).json()["name"] == "News"
    assert [item["id"] for item in (await client.get("/v1/interests?name=News")).json()["items"]] == [interest_id]
    assert (await client.get("/v1/interests?name=Product%20news")).json()["items"] == []
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_a_name_is_taken_once(client):
    await interest(client, "Product news")
    other = await interest(client, "Events")
    for answer in (
        await client.post("/v1/interests", json={"name": "Product news"}),
        await client.patch(f"/v1/interests/{other}", json={"name": "Product news"}),
    ):
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("interest-taken")


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\x00b" * 99])
async def test_a_name_that_is_none_is_refused(client, name):
    assert (await client.post("/v1/interests", json={"name": name})).status_code == 422


async def test_a_person_has_exactly_the_interests_that_were_set(client):
    [kari] = await upsert(client, {"external_id": "1", "name": "Kari"})
    news, events, jobs = [await interest(client, name) for name in ("News", "Events", "Jobs")]
    path = f"/v1/persons/{kari}/interests"
    first = await client.put(path, json={"interest_ids": [news, events, news]})
    assert [item["name"] for item in first.json()["items"]] == ["Events", "News"]
    await client.put(path, json={"interest_ids": [jobs, news]})
    assert await names_of(client, kari) == ["Jobs", "News"]
    await client.delete(f"/v1/interests/{news}")
    assert await names_of(client, kari) == ["Jobs"]
    await client.put(path, json={"interest_ids": []})
    assert await names_of(client, kari) == []


async def test_interests_and_persons_that_do_not_exist_are_named(client):
    [kari] = await upsert(client, {"external_id": "1", "name": "Kari"})
    news = await interest(client, "News")
    answer = await client.put(f"/v1/persons/{kari}/interests", json={"interest_ids": [news, 987654321]})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/interest_ids/1"]
    assert await names_of(client, kari) == []
    assert (await client.put("/v1/persons/987654321/interests", json={"interest_ids": []})).status_code == 404
    assert (await client.get("/v1/persons/987654321/interests")).status_code == 404


async def test_a_bulk_upsert_sets_interests_by_name_and_creates_those_that_are_new(client):
    await interest(client, "News")
    kari, ola, per = await upsert(
        client,
        {"external_id": "1", "name": "Kari", "interests": ["News", "Events"]},
        {"external_id": "2", "name": "Ola", "interests": ["Events"]},
        {"external_id": "3", "name": "Per"},
    )
    assert [await names_of(client, person) for person in (kari, ola, per)] == [["Events", "News"], ["Events"], []]
    assert len((await client.get("/v1/interests")).json()["items"]) == 2
    await upsert(
        client,
        {"external_id": "1", "interests": ["Jobs"]},
        {"external_id": "2", "city": "Bodø"},
        {"external_id": "1", "interests": []},
        {"external_id": "3", "interests": ["News"]},
    )
    assert [await names_of(client, person) for person in (kari, ola, per)] == [[], ["Events"], ["News"]]


async def test_deleting_a_person_takes_it_out_of_interests(client):
    [kari] = await upsert(client, {"external_id": "1", "name": "Kari", "interests": ["News"]})
    assert (await client.delete(f"/v1/persons/{kari}")).status_code == 204
    assert len((await client.get("/v1/interests")).json()["items"]) == 1
