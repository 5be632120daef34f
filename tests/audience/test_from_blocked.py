"""D60: persons with blocked addresses, into new and existing selections and projects."""

import pytest

from app.contacts.models import PersonEmail
from tests.consent.people import People

PATH = "/v1/blocked-addresses"


@pytest.fixture
async def people(client, database) -> People:
    return People(client, database)


@pytest.fixture
async def blocked_id(client, people) -> int:
    """Of an address that two persons have, one of them as a further one."""
    await people.person("old@x.example", name="Kari")
    ola = await people.person("ola@x.example", name="Ola")
    await people.person("eva@x.example", name="Eva")
    await people.add(PersonEmail(person_id=ola.id, email="old@x.example", email_key="old@x.example"))
    return (await client.post(PATH, json={"email": "old@x.example"})).json()["id"]


async def members(client, kind, target_id) -> list[str]:
    answer = await client.get(f"/v1/{kind}/{target_id}/members")
    assert answer.status_code == 200, answer.text
    return sorted(item["name"] for item in answer.json()["items"])


@pytest.mark.parametrize(("kind", "verb", "field"), [
    ("selections", "add-to-selection", "selection_id"), ("projects", "add-to-project", "project_id"),
])  # fmt: skip
async def test_everyone_with_the_address_is_added_to_a_new_one_and_once_only(client, blocked_id, kind, verb, field):
    """D60."""
    new = await client.post(f"{PATH}/{verb}", json={"ids": [blocked_id], "name": "To be called"})
    assert new.status_code == 200, new.text
    assert (new.json()["added"], new.json()["already"]) == (2, 0)
    assert await members(client, kind, new.json()["id"]) == ["Kari", "Ola"]
    again = await client.post(f"{PATH}/{verb}", json={"ids": [blocked_id], field: new.json()["id"]})
    assert again.json() == {"id": new.json()["id"], "added": 0, "already": 2}


@pytest.mark.parametrize(("verb", "field"), [("add-to-selection", "selection_id"), ("add-to-project", "project_id")])
async def test_what_makes_no_sense_changes_nothing(client, people, blocked_id, verb, field):
    for body, status in (
        ({"ids": [blocked_id, 987654321], "name": "N"}, 404),
        ({"ids": [blocked_id], field: 987654321}, 404),
        ({"ids": [blocked_id]}, 422),
        ({"ids": [blocked_id], "name": "N", field: 1}, 422),
        ({"ids": [], "name": "N"}, 422),
    ):
        answer = await client.post(f"{PATH}/{verb}", json=body)
        assert answer.status_code == status, (body, answer.text)
    assert await people.rows("SELECT id FROM selection UNION ALL SELECT id FROM project") == []


async def test_a_dynamic_selection_takes_nobody(client, blocked_id):
    first = (await client.post("/v1/selections", json={"name": "S"})).json()["id"]
    other = (await client.post("/v1/selections", json={"name": "T"})).json()["id"]
    combination = {"operation": "union", "selection_ids": [first, other]}
    made = await client.post("/v1/selections", json={"name": "D", "combination": combination})
    assert made.status_code == 201, made.text
    answer = await client.post(
        f"{PATH}/add-to-selection", json={"ids": [blocked_id], "selection_id": made.json()["id"]}
    )
    assert answer.status_code == 409
