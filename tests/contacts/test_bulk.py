"""`POST /v1/persons/bulk` and `/v1/companies/bulk`."""

import pytest

from app.platform.auth import Scope, create_api_key


async def upsert(client, *items, kind="persons") -> dict:
    answer = await client.post(f"/v1/{kind}/bulk", json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_items_create_and_change_persons_by_external_id(client):
    first = await upsert(client, {"external_id": "1", "name": "Kari", "city": "Bodø"})
    assert (first["created"], first["updated"], first["failed"]) == (1, 0, 0)
    second = await upsert(client, {"external_id": "1", "name": "Karin"}, {"external_id": "2", "name": "Ola"})
    assert [item["status"] for item in second["items"]] == ["updated", "created"]
    assert second["items"][0]["id"] == first["items"][0]["id"]
    person = (await client.get(f"/v1/persons/{first['items'][0]['id']}")).json()
    assert (person["name"], person["city"]) == ("Karin", "Bodø")


async def test_one_bad_item_does_not_lose_the_others(client):
    answer = await upsert(
        client,
        {"external_id": "1", "name": "Kari", "email": "kari@nordlys.example"},
        {"external_id": "2", "email": "no address"},
        {"name": "no external id"},
        "no object",
        {"external_id": "3", "extra": {"Bad name": 1}, "shoe": 1},
        {"external_id": "4", "company_id": 987654321},
        {"external_id": "5", "company_external_id": "unknown"},
        {"external_id": "6", "name": "Ola"},
    )
    statuses = [item["status"] for item in answer["items"]]
    assert statuses == ["created", *["failed"] * 6, "created"]
    assert [item["index"] for item in answer["items"]] == list(range(8))
    pointers = [item["errors"][0]["pointer"] for item in answer["items"] if item["errors"]]
    assert pointers[:3] == ["#/items/1/email", "#/items/2/external_id", "#/items/3"]
    assert pointers[4:] == ["#/items/5/company_id", "#/items/6/company_external_id"]
    assert len((await client.get("/v1/persons")).json()["items"]) == 2


@pytest.mark.parametrize("kind", ["persons", "companies"])
async def test_lines_of_json_are_told_where_they_go(client, kind):
    answer = await client.post(
        f"/v1/{kind}/bulk", content=b'{"external_id": "1"}\n', headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 415
    assert f"/v1/{kind}/bulk/stream" in answer.json()["detail"]


@pytest.mark.parametrize("unseen", ["\0", "\u200b", "\0 \u202e"])
async def test_what_nobody_can_see_is_no_external_id_and_no_name(client, unseen):
    failed = await upsert(client, {"external_id": unseen, "name": "Kari"})
    assert failed["items"][0]["errors"][0]["pointer"] == "#/items/0/external_id"
    for path, body, field in (
        ("persons", {"external_id": unseen, "name": "Kari"}, "external_id"),
        ("interests", {"name": unseen}, "name"),
        ("selections", {"name": unseen}, "name"),
        ("projects", {"name": unseen}, "name"),
        ("subscription-types", {"name": unseen}, "name"),
    ):
        answer = await client.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"#/{field}"), path


async def test_an_external_id_that_comes_twice_is_created_and_then_changed(client):
    answer = await upsert(client, {"external_id": "1", "name": "Kari"}, {"external_id": "1", "city": "Bodø"})
    assert [item["status"] for item in answer["items"]] == ["created", "updated"]
    [person] = (await client.get("/v1/persons")).json()["items"]
    assert (person["name"], person["city"]) == ("Kari", "Bodø")


async def test_persons_find_or_make_their_company_by_external_id_or_name(client):
    await upsert(
        client,
        {"external_id": "1", "company_external_id": "C-1", "company_name": "Nordlys"},
        {"external_id": "2", "company_name": "NORDLYS"},
        {"external_id": "3", "company_name": "Sørlys"},
        {"external_id": "4", "company_name": "sørlys"},
        {"external_id": "5", "company_external_id": "C-1"},
    )
    companies = (await client.get("/v1/companies")).json()["items"]
    assert [(company["name"], company["external_id"]) for company in companies] == [
        ("Nordlys", "C-1"),
        ("Sørlys", None),
    ]
    nordlys, sorlys = (company["id"] for company in companies)
    persons = (await client.get("/v1/persons")).json()["items"]
    assert [person["company_id"] for person in persons] == [nordlys, nordlys, sorlys, sorlys, nordlys]


async def test_companies_are_created_and_changed_in_bulk_and_a_new_one_needs_a_name(client):
    answer = await upsert(
        client, {"external_id": "1", "name": "Nordlys"}, {"external_id": "2"}, {"external_id": "1", "city": "Bodø"},
        kind="companies",
    )  # fmt: skip
    assert [item["status"] for item in answer["items"]] == ["created", "failed", "updated"]
    [company] = (await client.get("/v1/companies")).json()["items"]
    assert (company["name"], company["city"]) == ("Nordlys", "Bodø")


async def test_more_items_than_the_limit_and_none_are_refused(client):
    many = [{"external_id": str(number)} for number in range(10_001)]
    assert (await client.post("/v1/persons/bulk", json={"items": many})).status_code == 422
    assert (await client.post("/v1/persons/bulk", json={"items": []})).status_code == 422


async def test_a_key_that_may_only_read_changes_nothing(client, database):
    async with database.begin() as session:
        narrow = await create_api_key(session, name="narrow", scopes=[Scope.CONTACTS_READ])
    headers = {"Authorization": f"Bearer {narrow}"}
    items = {"items": [{"external_id": "1", "name": "Kari"}]}
    assert (await client.post("/v1/persons/bulk", json=items, headers=headers)).status_code == 403
    assert (await client.get("/v1/persons", headers=headers)).json()["items"] == []


async def test_the_contract_names_the_fields_of_an_item(client):
    document = (await client.get("/openapi.json")).json()
    items = document["components"]["schemas"]["PersonBulk"]["properties"]["items"]
    assert items["items"] == {"$ref": "#/components/schemas/PersonBulkItem"}


async def test_a_person_that_is_changed_back_in_the_same_request_stays_as_it_was(client):
    await upsert(client, {"external_id": "1", "name": "Kari", "city": "Bodø"})
    answer = await upsert(client, {"external_id": "1", "city": "Oslo"}, {"external_id": "1", "city": "Bodø"})
    assert [item["status"] for item in answer["items"]] == ["updated", "updated"]
    [person] = (await client.get("/v1/persons")).json()["items"]
    assert (person["name"], person["city"]) == ("Kari", "Bodø")
