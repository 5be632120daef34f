"""Dynamic selections over HTTP: saved, tried, combined, and refused when they make no sense."""

import asyncio
import json

import httpx2
import pytest
from sqlalchemy import text

from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from tests.conftest import settings_for

OSLO = {"person": "city", "operator": "eq", "value": "oslo"}
EVERYBODY = {"not": {"person": "city", "operator": "eq", "value": "nowhere"}}


class Desk:
    """What a CRM's user does over HTTP."""

    def __init__(self, client):
        self.client = client

    async def post(self, path, body, status=201):
        answer = await self.client.post(f"/v1/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def select(self, name="S", **said):
        return (await self.post("selections", {"name": name, **said}))["id"]

    async def refused(self, criteria, status=422):
        """The problem of criteria that are refused: to save and to try alike."""
        problem = await self.post("selections", {"name": "S", "criteria": criteria}, status)
        tried = await self.post("selections/preview", {"criteria": criteria}, status)
        assert (tried["detail"], tried.get("errors")) == (problem["detail"], problem.get("errors"))
        return problem

    async def pointers(self, criteria):
        return [error["pointer"] for error in (await self.refused(criteria))["errors"]]

    async def members(self, selection_id, **params):
        answer = await self.client.get(f"/v1/selections/{selection_id}/members", params=params)
        assert answer.status_code == 200, answer.text
        return [member["person_id"] for member in answer.json()["items"]]

    async def count(self, selection_id):
        return (await self.client.get(f"/v1/selections/{selection_id}/count")).json()


@pytest.fixture
async def desk(client):
    return Desk(client)


@pytest.fixture
async def persons(client):
    """Five persons; the first three live in Oslo."""
    items = [
        {"external_id": f"C-{number}", "name": f"P{number}", "email": f"p{number}@example.com",
         "city": "Oslo" if number < 3 else "Bergen"}
        for number in range(5)
    ]  # fmt: skip
    answer = await client.post("/v1/persons/bulk", json={"items": items})
    return [item["id"] for item in answer.json()["items"]]


async def test_a_dynamic_selection_follows_the_persons(desk, persons):
    made = await desk.post("selections", {"name": "Oslo", "criteria": OSLO})
    assert (made["kind"], made["criteria"]) == ("dynamic", OSLO)
    assert await desk.members(made["id"]) == persons[:3]
    await desk.client.patch(f"/v1/persons/{persons[4]}", json={"city": "OSLO"})
    assert await desk.members(made["id"]) == [*persons[:3], persons[4]]
    assert await desk.count(made["id"]) == {"persons": 4, "companies": 0}
    changed = await desk.client.patch(f"/v1/selections/{made['id']}", json={"criteria": {"not": OSLO}})
    assert changed.json()["name"] == "Oslo"
    assert await desk.members(made["id"]) == [persons[3]]
    kinds = (await desk.client.get("/v1/selections?kind=static")).json()
    assert kinds["items"] == []


async def test_members_of_a_dynamic_selection_come_in_pages(desk, persons):
    path = f"/v1/selections/{await desk.select(criteria=EVERYBODY)}/members"
    first = (await desk.client.get(f"{path}?limit=2")).json()
    second = (await desk.client.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    last = (await desk.client.get(path, params={"limit": 2, "cursor": second["next_cursor"]})).json()
    shown = [member["person_id"] for page in (first, second, last) for member in page["items"]]
    assert (shown, last["next_cursor"]) == (persons, None)


async def test_a_preview_counts_and_shows_the_first_and_saves_nothing(desk, persons):
    found = await desk.post("selections/preview", {"criteria": OSLO}, 200)
    assert found["persons"] == 3
    assert [member["external_id"] for member in found["sample"]] == ["C-0", "C-1", "C-2"]
    assert (await desk.client.get("/v1/selections")).json()["items"] == []


@pytest.mark.parametrize(
    ("operation", "expected"), [("union", [0, 1, 2, 3]), ("intersection", [1, 2]), ("except", [0])]
)
async def test_selections_are_combined_into_a_dynamic_one_and_into_members(desk, persons, operation, expected):
    dynamic, static, target = await desk.select(criteria=OSLO), await desk.select(), await desk.select()
    await desk.post(f"selections/{static}/members", {"person_ids": persons[1:4]}, 200)
    combination = {"operation": operation, "selection_ids": [dynamic, static]}
    wanted = [persons[place] for place in expected]
    assert await desk.members(await desk.select(combination=combination)) == wanted
    added = await desk.post(f"selections/{target}/members", {"combination": combination}, 200)
    assert added["added"] == len(wanted)
    assert await desk.members(target) == wanted
    # Deleting what criteria rest on would make them mean something else.
    refused = await desk.client.delete(f"/v1/selections/{static}")
    assert (refused.status_code, "(S)" in refused.json()["detail"]) == (409, True)
    assert (await desk.client.delete(f"/v1/selections/{target}")).status_code == 204


async def test_combining_keeps_companies(desk, persons):
    company = (await desk.post("companies", {"name": "Fjord"}))["id"]
    one, other, target = [await desk.select() for _ in range(3)]
    for selection in (one, other):
        await desk.post(f"selections/{selection}/members", {"company_ids": [company]}, 200)
    both = {"combination": {"operation": "intersection", "selection_ids": [one, other]}}
    assert (await desk.post(f"selections/{target}/members", both, 200))["companies_added"] == 1
    gone = await desk.post(f"selections/{target}/members/remove", {"selection_id": one}, 200)
    assert (gone["companies_removed"], await desk.count(target)) == (1, {"persons": 0, "companies": 0})


async def test_members_are_named_by_external_id_and_address(desk, persons):
    selection = await desk.select()
    twin = (await desk.post("persons", {"name": "Twin", "email": "p0@example.com", "former_employee": True}))["id"]
    told = {"external_ids": ["C-1", "C-9"], "emails": ["P0@Example.com", "p9@example.com", "no address"]}
    added = await desk.post(f"selections/{selection}/members", told, 200)
    assert (added["added"], added["unknown_external_ids"]) == (2, ["C-9"])
    assert added["unknown_emails"] == ["p9@example.com", "no address"]
    assert await desk.members(selection) == persons[:2]  # the address means who has not left
    await desk.post(f"selections/{selection}/members", {"person_ids": [twin, *persons]}, 200)
    gone = await desk.post(f"selections/{selection}/members/remove", told | {"person_ids": [987654321]}, 200)
    assert (gone["removed"], gone["absent"], gone["unknown"]) == (3, 0, [987654321])  # everyone who has the address
    assert await desk.members(selection) == persons[2:]
    gone = await desk.post(f"selections/{selection}/members/remove", {"criteria": OSLO}, 200)
    assert (gone["removed"], gone["absent"]) == (1, 2)


async def test_a_dynamic_selection_has_no_members_of_its_own_and_a_static_one_no_criteria(desk, persons):
    dynamic, static = await desk.select(criteria=OSLO), await desk.select()
    for path in ("members", "members/remove"):
        await desk.post(f"selections/{dynamic}/{path}", {"person_ids": persons}, 409)
    assert (await desk.client.delete(f"/v1/selections/{dynamic}/members/{persons[0]}")).status_code == 409
    assert (await desk.client.patch(f"/v1/selections/{static}", json={"criteria": OSLO})).status_code == 409
    assert (await desk.client.patch(f"/v1/selections/{dynamic}", json={"criteria": None})).status_code == 422


async def test_a_circle_of_selections_is_refused_and_named(desk):
    first = await desk.select("One", criteria=OSLO)
    second = await desk.select("Two", criteria={"selection": first})
    third = await desk.select("Three", criteria={"and": [OSLO, {"not": {"selection": second}}]})
    closing = await desk.client.patch(f"/v1/selections/{first}", json={"criteria": {"or": [{"selection": third}]}})
    assert closing.status_code == 409
    assert f"{first} (One) → {third} (Three) → {second} (Two) → {first} (One)" in closing.json()["detail"]
    own = await desk.client.patch(f"/v1/selections/{first}", json={"criteria": {"selection": first}})
    assert own.status_code == 409
    assert (await desk.client.delete(f"/v1/selections/{third}")).status_code == 204


async def test_a_circle_that_was_saved_all_the_same_ends_in_a_problem(desk, session):
    first = await desk.select("One", criteria=OSLO)
    second = await desk.select("Two", criteria={"selection": first})
    await session.exec(
        text("UPDATE selection SET criteria = cast(:told AS jsonb) WHERE id = :id"),
        params={"told": json.dumps({"selection": second}), "id": first},
    )
    for path in ("count", "members"):
        answer = await desk.client.get(f"/v1/selections/{second}/{path}")
        assert (answer.status_code, "circle" in answer.json()["detail"]) == (409, True)


async def test_two_that_close_a_circle_at_once_do_not_both_succeed(fresh_database):
    """Each sees the selections as they were before the other one; the later one must wait and look again."""
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="test")
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(create_app(settings, database=database), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        desk = Desk(client)
        one, two = await desk.select("One", criteria=OSLO), await desk.select("Two", criteria=OSLO)
        answers = await asyncio.gather(
            client.patch(f"/v1/selections/{one}", json={"criteria": {"selection": two}}),
            client.patch(f"/v1/selections/{two}", json={"criteria": {"selection": one}}),
        )
    await database.close()
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_selections_that_double_each_time_are_bounded(desk):
    below = await desk.select(criteria=OSLO)
    for _ in range(7):
        below = await desk.select(criteria={"and": [{"selection": below}, {"not": {"selection": below}}]})
    problem = await desk.refused({"or": [{"selection": below}, {"and": [{"selection": below}, OSLO]}]}, 409)
    assert "1000 criteria" in problem["detail"]


async def test_what_criteria_refer_to_must_exist(desk):
    unknown = 987654321
    criteria = {
        "and": [
            {"interests": "all", "interest_ids": [unknown]},
            {"or": [{"selection": unknown}, {"not": {"project": unknown}}]},
            {"consent": "unheard_of", "is": "given"},
            {"subscription": "subscribed", "subscription_type_id": unknown},
            {"engagement": "clicked", "mailing_id": unknown, "link_id": unknown},
            {"person_extra": "shoe", "operator": "eq", "value": 42},
        ]
    }
    assert await desk.pointers(criteria) == [
        "#/criteria/and/0/interest_ids/0", "#/criteria/and/1/or/0/selection", "#/criteria/and/1/or/1/not/project",
        "#/criteria/and/2/consent", "#/criteria/and/3/subscription_type_id", "#/criteria/and/4/link_id",
        "#/criteria/and/4/mailing_id", "#/criteria/and/5/person_extra",
    ]  # fmt: skip
    unknown_combined = {"name": "S", "combination": {"operation": "except", "selection_ids": [unknown, unknown]}}
    problem = await desk.post("selections", unknown_combined, 422)
    assert [error["pointer"] for error in problem["errors"]] == [
        "#/combination/selection_ids/0", "#/combination/selection_ids/1",
    ]  # fmt: skip
    target = await desk.select()
    problem = await desk.post(f"selections/{target}/members", {"selection_id": unknown}, 422)
    assert problem["errors"][0]["pointer"] == "#/selection_id"


SENSELESS = [
    ({"person": "city", "operator": "gt", "value": "Oslo"}, "#/criteria/operator"),
    ({"person": "city", "operator": "eq", "value": 3}, "#/criteria/value"),
    ({"person": "city", "operator": "eq"}, "#/criteria/value"),
    ({"person": "city", "operator": "is_empty", "value": "x"}, "#/criteria/value"),
    ({"person": "city", "operator": "in", "value": "Oslo"}, "#/criteria/value"),
    ({"person": "city", "operator": "in", "value": ["Oslo", 3]}, "#/criteria/value/1"),
    ({"person": "city", "operator": "in", "value": ["x"] * 1001}, "#/criteria/value"),
    ({"person": "city", "operator": "contains", "value": "a\0b"}, "#/criteria/value"),
    ({"person": "city", "operator": "contains", "value": "x" * 501}, "#/criteria/value"),
    ({"person": "city", "operator": "contains", "value": ""}, "#/criteria/value"),
    ({"person": "former_employee", "operator": "eq", "value": "yes"}, "#/criteria/value"),
    ({"person": "created_at", "operator": "gt", "value": "2026-02-30"}, "#/criteria/value"),
    ({"person": "created_at", "operator": "gt", "value": "9999-12-31"}, "#/criteria/value"),
    ({"person": "created_at", "operator": "gt", "value": "2026-02-03T10:00:00"}, "#/criteria/value"),
    ({"person": "created_at", "operator": "gt", "value": {"days_ago": 10**9}}, "#/criteria/value/days_ago"),
    ({"person": "created_at", "operator": "gt", "value": {"days": 1}}, "#/criteria/value"),
    ({"person": "id", "operator": "eq", "value": -1}, "#/criteria/value"),
    ({"person": "id", "operator": "eq", "value": 10**30}, "#/criteria/value"),
    ({"person": "shoe_size", "operator": "eq", "value": 1}, "#/criteria/person"),
    ({"person": "city", "operator": "like", "value": "%"}, "#/criteria/operator"),
    ({"person": "city", "operator": "eq", "value": "x", "case": True}, "#/criteria/case"),
    ({"person": "city", "company": "city", "operator": "eq", "value": "x"}, "#/criteria"),
    ({"consent": "e_marketing", "is": "expires"}, "#/criteria/within_days"),
    ({"consent": "e_marketing", "is": "given", "within_days": 3}, "#/criteria/within_days"),
    ({"interests": "any", "interest_ids": []}, "#/criteria/interest_ids"),
    ({"engagement": "opened", "target": "https://example.com"}, "#/criteria/target"),
    ({"engagement": "received", "machines_too": True}, "#/criteria/machines_too"),
    ({"engagement": "opened", "since": "soon"}, "#/criteria/since"),
    ({"selection": True}, "#/criteria/selection"),
    ({"and": []}, "#/criteria/and"),
    ({"and": {"selection": 1}}, "#/criteria/and"),
    ({"or": [{"not": None}]}, "#/criteria/or/0/not"),
    ({"and": [{"person": "city", "operator": "is_empty"}] * 201}, "#/criteria/and"),
    ({}, "#/criteria"),
    ([], "#/criteria"),
]  # fmt: skip


@pytest.mark.parametrize(("criteria", "pointer"), SENSELESS, ids=lambda value: str(value)[:60])
async def test_criteria_that_make_no_sense_are_pointed_at(desk, criteria, pointer):
    [found] = await desk.pointers(criteria)
    assert found == pointer or (pointer == "#/criteria/and" and found.startswith("#/criteria/and"))


async def test_a_lone_surrogate_is_no_text(desk):
    body = '{"criteria": {"person": "city", "operator": "eq", "value": "\\ud800"}}'
    headers = {"content-type": "application/json"}
    answer = await desk.client.post("/v1/selections/preview", content=body, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/criteria/value")


@pytest.mark.parametrize("depth", [21, 200, 1_000, 100_000])
async def test_criteria_nested_too_deep_are_a_clear_problem(desk, depth):
    body = '{"criteria": ' + '{"not": ' * depth + '{"selection": 1}' + "}" * depth + "}"
    headers = {"content-type": "application/json"}
    answer = await desk.client.post("/v1/selections/preview", content=body, headers=headers)
    assert answer.status_code == 422
    assert "deep" in answer.text


async def test_criteria_twenty_deep_are_taken(desk, persons):
    criteria = OSLO
    for _ in range(19):
        criteria = {"not": criteria}
    assert (await desk.post("selections/preview", {"criteria": criteria}, 200))["persons"] == 2


async def test_extra_fields_are_compared_as_they_are_declared(desk, session, persons):
    await session.exec(
        text(
            "INSERT INTO extra_field (owner, name, label, kind, choices) VALUES ('person', 'size', 'Size', 'number', "
            "'{}'), ('person', 'tier', 'Tier', 'choice', '{gold,silver}')"
        )
    )
    await desk.client.patch(f"/v1/persons/{persons[0]}", json={"extra": {"size": 42.5, "tier": "gold"}})
    above = {"person_extra": "size", "operator": "gte", "value": 42}
    assert (await desk.post("selections/preview", {"criteria": above}, 200))["persons"] == 1
    assert await desk.pointers({**above, "value": "42"}) == ["#/criteria/value"]
    assert await desk.pointers({**above, "operator": "contains"}) == ["#/criteria/operator"]
    bronze = {"or": [{"person_extra": "tier", "operator": "in", "value": ["gold", "bronze"]}]}
    assert await desk.pointers(bronze) == ["#/criteria/or/0/value/1"]
    saved = await desk.select(criteria=above)
    await session.exec(text("DELETE FROM extra_field"))
    answer = await desk.client.get(f"/v1/selections/{saved}/count")
    assert (answer.status_code, "size" in answer.json()["detail"]) == (409, True)


async def test_a_selection_lies_in_a_folder_of_its_kind(desk):
    right = await desk.post("folders", {"kind": "selection", "name": "Campaigns"})
    wrong = await desk.post("folders", {"kind": "mailing", "name": "Campaigns"})
    selection = await desk.select(folder_id=right["id"])
    await desk.select()
    listed = (await desk.client.get("/v1/selections", params={"folder_id": right["id"]})).json()["items"]
    assert [each["id"] for each in listed] == [selection]
    for folder_id in (wrong["id"], 987654321):
        problem = await desk.post("selections", {"name": "S", "folder_id": folder_id}, 422)
        assert problem["errors"][0]["pointer"] == "#/folder_id"
        moved = await desk.client.patch(f"/v1/selections/{selection}", json={"folder_id": folder_id})
        assert moved.status_code == 422


async def test_a_selection_shows_the_mailings_it_is_associated_with_and_a_source_of(desk):  # D19
    selection = await desk.select()
    setup = {"name": "News", "subject": "News"}
    mailings = [(await desk.post("mailings", setup))["id"] for _ in range(2)]
    mailings.append((await desk.post("mailings", {**setup, "selection_id": selection}))["id"])
    await desk.post(f"mailings/{mailings[0]}/sources", {"kind": "selection", "selection_id": selection})
    path = f"/v1/selections/{selection}/mailings"
    first = (await desk.client.get(f"{path}?limit=1")).json()
    rest = (await desk.client.get(path, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    shown = [(each["id"], each["associated"], each["source"]) for each in first["items"] + rest["items"]]
    assert shown == [(mailings[0], False, True), (mailings[2], True, True)]
    assert (await desk.client.get("/v1/selections/987654321/mailings")).status_code == 404


async def test_a_dynamic_selection_is_a_source_of_a_mailing(desk, persons):
    selection = await desk.select(criteria=OSLO)
    mailing = (await desk.post("mailings", {"name": "News", "subject": "News"}))["id"]
    await desk.post(f"mailings/{mailing}/sources", {"kind": "selection", "selection_id": selection})
    listed = (await desk.client.get(f"/v1/mailings/{mailing}/recipients")).json()["items"]
    assert sorted(line["person_id"] for line in listed) == persons[:3]
