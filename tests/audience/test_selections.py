"""`/v1/selections`."""

import pytest


@pytest.fixture
async def persons(client) -> list[int]:
    items = [
        {"external_id": str(number), "name": f"P{number}", "category": "A" if number < 2 else "B"}
        for number in range(4)
    ]
    answer = await client.post("/v1/persons/bulk", json={"items": items})
    return [item["id"] for item in answer.json()["items"]]


@pytest.fixture
async def path(client) -> str:
    created = await client.post("/v1/selections", json={"name": "Customers"})
    assert created.status_code == 201
    return f"/v1/selections/{created.json()['id']}"


NOTHING = {
    "added": 0, "already": 0, "unknown": [], "companies_added": 0, "companies_already": 0, "unknown_companies": [],
    "unknown_external_ids": [], "unknown_emails": [],
}  # fmt: skip


async def members(client, path: str) -> list[int]:
    return [member["person_id"] for member in (await client.get(f"{path}/members")).json()["items"]]


async def test_a_selection_is_created_read_changed_and_deleted(client, path):
    assert (await client.patch(path, json={"description": "Old ones"})).json()["name"] == "Customers"
    assert (await client.get(path)).json()["description"] == "Old ones"
    assert len((await client.get("/v1/selections")).json()["items"]) == 1
    assert (await client.delete(path)).status_code == 204
    for gone in (path, f"{path}/members", f"{path}/count"):
        assert (await client.get(gone)).status_code == 404


async def test_adding_persons_says_who_was_added_who_was_there_and_who_is_unknown(client, path, persons):
    first = await client.post(f"{path}/members", json={"person_ids": persons[:2]})
    assert first.json() == {**NOTHING, "added": 2}
    again = await client.post(f"{path}/members", json={"person_ids": [*persons[1:3], persons[2], 987654321]})
    assert again.json() == {**NOTHING, "added": 1, "already": 1, "unknown": [987654321]}
    assert await members(client, path) == persons[:3]
    assert (await client.get(f"{path}/count")).json() == {"persons": 3, "companies": 0}


async def test_a_member_is_taken_out_once(client, path, persons):
    await client.post(f"{path}/members", json={"person_ids": persons})
    assert (await client.delete(f"{path}/members/{persons[0]}")).status_code == 204
    assert (await client.delete(f"{path}/members/{persons[0]}")).status_code == 404
    assert await members(client, path) == persons[1:]


async def test_those_who_consent_and_subscribe_are_added_by_criteria(client, path, persons):
    news = (await client.post("/v1/subscription-types", json={"name": "News"})).json()["id"]
    for person_id in persons[:3]:
        line = {"purpose": "e_marketing", "action": "given", "source": "shop"}
        await client.post(f"/v1/persons/{person_id}/consents", json=line)
    line = {"purpose": "e_marketing", "action": "withdrawn", "source": "shop"}
    await client.post(f"/v1/persons/{persons[2]}/consents", json=line)
    for person_id in persons[1:]:
        answer = {"items": [{"subscription_type_id": news, "subscribed": True}]}
        await client.put(f"/v1/persons/{person_id}/subscriptions", json=answer)
    consents = {"consent": "e_marketing", "is": "given"}
    criteria = {"criteria": {"and": [consents, {"subscription": "subscribed", "subscription_type_id": news}]}}
    assert (await client.post(f"{path}/members", json=criteria)).json() == {**NOTHING, "added": 1}
    assert await members(client, path) == [persons[1]]
    by_category = {"criteria": {"and": [{"person": "category", "operator": "eq", "value": "A"}, consents]}}
    assert (await client.post(f"{path}/members", json=by_category)).json() == {**NOTHING, "added": 1, "already": 1}


@pytest.mark.parametrize(
    "body",
    [{}, {"criteria": {}}, {"person_ids": []}, {"person_ids": [1], "criteria": {"selection": 1}}, {"person_ids": [0]}],
)
async def test_a_request_that_names_nobody_or_everybody_is_refused(client, path, body):
    assert (await client.post(f"{path}/members", json=body)).status_code == 422


async def test_members_come_in_pages(client, path, persons):
    await client.post(f"{path}/members", json={"person_ids": persons})
    first = (await client.get(f"{path}/members?limit=3")).json()
    rest = (await client.get(f"{path}/members", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [member["person_id"] for member in first["items"] + rest["items"]] == persons


async def test_companies_are_members_too(client, path, persons):
    items = [{"external_id": str(number), "name": f"C{number}"} for number in range(3)]
    answer = await client.post("/v1/companies/bulk", json={"items": items})
    companies = [item["id"] for item in answer.json()["items"]]
    added = await client.post(f"{path}/members", json={"company_ids": [*companies, 987654321], "person_ids": persons})
    assert added.json() == {**NOTHING, "added": 4, "companies_added": 3, "unknown_companies": [987654321]}
    assert (await client.get(f"{path}/count")).json() == {"persons": 4, "companies": 3}
    assert (await client.delete(f"{path}/companies/{companies[1]}")).status_code == 204
    assert (await client.delete(f"{path}/companies/{companies[1]}")).status_code == 404
    first = (await client.get(f"{path}/companies?limit=1")).json()
    rest = (await client.get(f"{path}/companies", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [item["company_id"] for item in first["items"] + rest["items"]] == [companies[0], companies[2]]
    assert rest["next_cursor"] is None
