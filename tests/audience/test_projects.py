"""`/v1/projects`: kept in step with the CRM, their members, their activities."""

import asyncio
import re

import httpx2
import pytest
from sqlalchemy import text

from app.audience import project_queries
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from tests.conftest import settings_for


@pytest.fixture
async def persons(client) -> list[int]:
    items = [{"external_id": f"CRM-{number}", "name": f"P{number}", "email": f"p{number}@example.com"}
             for number in range(4)]  # fmt: skip
    answer = await client.post("/v1/persons/bulk", json={"items": items})
    return [item["id"] for item in answer.json()["items"]]


async def project(client, **fields) -> int:
    answer = await client.post("/v1/projects", json={"name": "Office move", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def members(client, project_id: int) -> list[int]:
    answer = await client.get(f"/v1/projects/{project_id}/members")
    return [member["person_id"] for member in answer.json()["items"]]


async def test_a_project_is_created_read_changed_and_deleted(client):
    fields = {"external_id": "P-1", "number": "2026-7", "description": "Two floors"}
    path = f"/v1/projects/{await project(client, **fields)}"
    shown = (await client.get(path)).json()
    assert {name: shown[name] for name in fields} == fields
    changed = await client.patch(path, json={"description": None, "name": " Office\tmove 2 "})
    assert (changed.json()["name"], changed.json()["description"]) == ("Office move 2", None)
    assert changed.json()["number"] == "2026-7"
    assert (await client.delete(path)).status_code == 204
    for gone in ("", "/members", "/count", "/activities"):
        assert (await client.get(f"{path}{gone}")).status_code == 404
    assert (await client.patch(path, json={"name": "X"})).status_code == 404
    assert (await client.delete(path)).status_code == 404


async def test_an_external_id_belongs_to_one_project(client):
    await project(client, external_id="P-1")
    other = await project(client, external_id="P-2")
    for answer in (
        await client.post("/v1/projects", json={"name": "N", "external_id": "P-1"}),
        await client.patch(f"/v1/projects/{other}", json={"external_id": "P-1"}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:budstikke:problem:external-id-taken")


async def test_projects_are_found_by_external_id_folder_and_name(client):
    folder = (await client.post("/v1/folders", json={"kind": "project", "name": "2026"})).json()["id"]
    filed = await project(client, external_id="P-1", folder_id=folder, name="100% wool")
    other = await project(client, external_id="P-2", name="Other")

    async def found(**query):
        return [item["id"] for item in (await client.get("/v1/projects", params=query)).json()["items"]]

    assert await found() == [filed, other]
    assert await found(external_id="P-2") == [other]
    assert await found(folder_id=folder) == [filed]
    assert await found(q="oTH") == [other]
    assert await found(q="%") == []
    refused = await client.delete(f"/v1/folders/{folder}")
    assert "1 project(s)" in refused.json()["detail"]
    wrong = (await client.post("/v1/folders", json={"kind": "mailing", "name": "M"})).json()["id"]
    answer = await client.patch(f"/v1/projects/{filed}", json={"folder_id": wrong})
    assert answer.json()["errors"][0]["pointer"] == "#/folder_id"


async def test_many_projects_are_created_and_changed_each_with_its_own_outcome(client):
    old = await project(client, external_id="P-1", number="1")
    folder = (await client.post("/v1/folders", json={"kind": "project", "name": "F"})).json()["id"]
    wrong_folder = (await client.post("/v1/folders", json={"kind": "mailing", "name": "F"})).json()["id"]
    items = [
        {"external_id": "P-1", "description": "changed"},
        {"external_id": "P-2", "name": "New", "folder_id": folder},
        {"external_id": "P-3"},  # new, but without a name
        {"external_id": "P-4", "name": "N", "folder_id": wrong_folder},
        {"external_id": "P-2", "number": "2"},  # the one that item 1 makes
        {"name": "nobody knows it"},
        {"external_id": "P-5", "name": "a\x00b", "surprise": 1},
        "no project",
    ]
    answer = await client.post("/v1/projects/bulk", json={"items": items})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["created"], body["updated"], body["failed"]) == (1, 2, 5)
    assert [item["status"] for item in body["items"]] == [
        "updated", "created", "failed", "failed", "updated", "failed", "failed", "failed",
    ]  # fmt: skip
    pointers = [[error["pointer"] for error in item.get("errors") or []] for item in body["items"]]
    assert pointers[2:4] == [["#/items/2/name"], ["#/items/3/folder_id"]]
    assert pointers[5:] == [["#/items/5/external_id"], ["#/items/6/surprise"], ["#/items/7"]]
    assert body["items"][0]["id"] == old
    changed = (await client.get(f"/v1/projects/{old}")).json()
    assert (changed["name"], changed["number"], changed["description"]) == ("Office move", "1", "changed")
    made = (await client.get(f"/v1/projects/{body['items'][1]['id']}")).json()
    assert (made["name"], made["number"], made["folder_id"]) == ("New", "2", folder)


async def test_ten_thousand_projects_at_once_and_not_one_more(client):
    items = [{"external_id": f"P-{number}", "name": f"Project {number}"} for number in range(10_000)]
    answer = await client.post("/v1/projects/bulk", json={"items": items})
    assert answer.json()["created"] == 10_000
    again = await client.post("/v1/projects/bulk", json={"items": items})
    assert (again.json()["updated"], again.json()["created"]) == (10_000, 0)
    ids = [[item["id"] for item in body.json()["items"]] for body in (answer, again)]
    assert ids[0] == ids[1]
    assert (await client.post("/v1/projects/bulk", json={"items": [*items, items[0]]})).status_code == 422


async def test_adding_says_who_was_added_who_was_there_and_who_is_unknown(client, persons):
    path = f"/v1/projects/{await project(client)}/members"
    first = await client.post(path, json={"person_ids": [*persons[:2], persons[0], 987654321]})
    assert first.json() == {"added": 2, "already": 0, "unknown": [987654321], "unknown_external_ids": []}
    by_name = await client.post(path, json={"external_ids": ["CRM-1", "CRM-2", "CRM-2", "nobody"]})
    assert by_name.json() == {"added": 1, "already": 1, "unknown": [], "unknown_external_ids": ["nobody"]}
    listed = (await client.get(path)).json()["items"]
    assert [(member["person_id"], member["external_id"]) for member in listed] == [
        (persons[0], "CRM-0"), (persons[1], "CRM-1"), (persons[2], "CRM-2"),
    ]  # fmt: skip
    assert (await client.get(path.replace("members", "count"))).json() == {"persons": 3}


async def test_everyone_in_a_selection_is_added_and_taken_out(client, persons):
    selection = (await client.post("/v1/selections", json={"name": "S"})).json()["id"]
    await client.post(f"/v1/selections/{selection}/members", json={"person_ids": persons[1:3]})
    project_id = await project(client)
    path = f"/v1/projects/{project_id}/members"
    await client.post(path, json={"person_ids": persons[:2]})
    added = await client.post(path, json={"selection_id": selection})
    assert (added.json()["added"], added.json()["already"]) == (1, 1)
    assert await members(client, project_id) == persons[:3]
    removed = await client.post(f"{path}/remove", json={"selection_id": selection})
    assert (removed.json()["removed"], removed.json()["absent"]) == (2, 0)
    assert await members(client, project_id) == persons[:1]
    unknown = await client.post(path, json={"selection_id": 987654321})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "#/selection_id")


async def test_members_are_taken_out_by_id_and_by_external_id(client, persons):
    project_id = await project(client)
    path = f"/v1/projects/{project_id}/members"
    await client.post(path, json={"person_ids": persons[:3]})
    removed = await client.post(f"{path}/remove", json={"external_ids": ["CRM-0", "CRM-3", "nobody"]})
    assert removed.json() == {"removed": 1, "absent": 1, "unknown": [], "unknown_external_ids": ["nobody"]}
    removed = await client.post(f"{path}/remove", json={"person_ids": [persons[1], persons[1], 987654321]})
    assert removed.json() == {"removed": 1, "absent": 0, "unknown": [987654321], "unknown_external_ids": []}
    assert (await client.delete(f"{path}/{persons[2]}")).status_code == 204
    for nobody in (persons[2], 987654321, 0, -1):
        assert (await client.delete(f"{path}/{nobody}")).status_code == 404
    assert await members(client, project_id) == []


async def test_members_come_in_pages_and_go_with_the_person(client, persons):
    project_id = await project(client)
    path = f"/v1/projects/{project_id}/members"
    await client.post(path, json={"person_ids": persons})
    first = (await client.get(path, params={"limit": 3})).json()
    rest = (await client.get(path, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [member["person_id"] for member in first["items"] + rest["items"]] == persons
    await client.delete(f"/v1/persons/{persons[0]}")
    assert await members(client, project_id) == persons[1:]


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, "x", {"person_ids": []}, {"person_ids": [0]}, {"person_ids": [10**30]}, {"person_ids": ["x"]},
        {"person_ids": [1], "external_ids": ["x"]}, {"person_ids": [1], "selection_id": 1}, {"external_ids": [""]},
        {"external_ids": ["\x00"]}, {"external_ids": [7]}, {"selection_id": 10**30}, {"selection_id": -1},
        {"person_ids": [1] * 10_001}, {"external_ids": None},
    ],
)  # fmt: skip
async def test_members_that_make_no_sense_are_refused(client, body):
    path = f"/v1/projects/{await project(client)}/members"
    for target in (path, f"{path}/remove"):
        answer = await client.post(target, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": ""}, {"name": None}, {"name": "\x00"}, {"name": "\u202e"}, {"name": "N", "external_id": ""},
        {"name": "N", "external_id": "E" * 201}, {"name": "N", "number": 7}, {"name": "N", "folder_id": 10**30},
        {"name": "N", "folder_id": 2**63 - 1}, {"name": "N", "id": 1}, {"name": "N", "description": "d" * 4001}, [], 7,
    ],
)  # fmt: skip
async def test_a_project_that_makes_no_sense_is_refused(client, body):
    answer = await client.post("/v1/projects", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


async def test_a_persons_hidden_characters_in_a_project_go(client):
    project_id = await project(client, name="a\x00b", description="line\nbreak\u202e", number="\x00")
    shown = (await client.get(f"/v1/projects/{project_id}")).json()
    assert (shown["name"], shown["description"], shown["number"]) == ("ab", "line break", "")


async def test_a_project_that_is_deleted_meanwhile_is_not_found(fresh_database):
    """Whoever comes second finds it gone; nobody writes to what is not there."""
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="test")
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(create_app(settings, database=database), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        person = (await client.post("/v1/persons", json={"name": "Kari"})).json()["id"]
        for _ in range(10):
            path = f"/v1/projects/{await project(client)}"
            answers = await asyncio.gather(
                client.delete(path),
                client.delete(path),
                client.patch(path, json={"name": "Other"}),
                client.post(f"{path}/members", json={"person_ids": [person]}),
                client.delete(f"{path}/members/{person}"),
            )
            assert sorted(answer.status_code for answer in answers[:2]) == [204, 404]
            assert {answer.status_code for answer in answers[2:]} <= {200, 204, 404}
    await database.close()


async def test_persons_who_are_deleted_meanwhile_are_not_added(fresh_database):
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="test")
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(create_app(settings, database=database), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        selection = (await client.post("/v1/selections", json={"name": "S"})).json()["id"]
        path = f"/v1/projects/{await project(client)}/members"
        for _ in range(20):
            person = (await client.post("/v1/persons", json={"name": "Kari"})).json()["id"]
            await client.post(f"/v1/selections/{selection}/members", json={"person_ids": [person]})
            answers = await asyncio.gather(
                client.delete(f"/v1/persons/{person}"),
                client.post(path, json={"selection_id": selection}),
                client.post(path, json={"person_ids": [person]}),
            )
            assert [answer.status_code for answer in answers] == [204, 200, 200], [a.text for a in answers]
            assert (await client.get(path)).json()["items"] == []
    await database.close()


# Activities


async def mailing(client, **setup) -> int:
    body = {"name": "News", "override_consent": True, "override_reason": "a test of projects", **setup}
    answer = await client.post("/v1/mailings", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def activities(client, project_id: int, **query) -> list[dict]:
    answer = await client.get(f"/v1/projects/{project_id}/activities", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_mailings_are_among_the_activities_associated_or_as_a_source_newest_first(client, persons):
    """D19."""
    project_id = await project(client)
    await client.post(f"/v1/projects/{project_id}/members", json={"person_ids": persons[:3]})
    selection = (await client.post("/v1/selections", json={"name": "S"})).json()["id"]
    associated = await mailing(client, project_id=project_id)
    both = await mailing(client, project_id=project_id, selection_id=selection)
    as_source = await mailing(client)
    source = {"kind": "project", "project_id": project_id}
    assert (await client.post(f"/v1/mailings/{as_source}/sources", json=source)).status_code == 201
    await client.post(f"/v1/mailings/{associated}/sources", json=source)  # twice over, listed once
    await mailing(client, selection_id=selection)
    shown = await activities(client, project_id)
    assert [(item["id"], item["associated"], item["recipients"]) for item in shown] == [
        (as_source, False, 3), (both, True, 0), (associated, True, 3),
    ]  # fmt: skip
    assert {(item["state"], item["sent"], item["started_at"]) for item in shown} == {("draft", 0, None)}


async def test_activities_tell_what_became_of_the_mailing(client, database, persons):
    project_id = await project(client)
    await client.post(f"/v1/projects/{project_id}/members", json={"person_ids": persons})
    mailing_id = await mailing(client, project_id=project_id)
    async with database.begin() as session:
        await session.exec(
            text("UPDATE recipient SET status = 'sent', sent_at = now() WHERE mailing_id = :id AND person_id <> :one"),
            params={"id": mailing_id, "one": persons[0]},
        )
        await session.exec(
            text("UPDATE mailing SET state = 'finished', started_at = now(), finished_at = now() WHERE id = :id"),
            params={"id": mailing_id},
        )
    [item] = await activities(client, project_id)
    assert (item["state"], item["recipients"], item["sent"]) == ("finished", 4, 3)
    assert item["started_at"]
    assert item["finished_at"]


async def test_activities_come_in_pages_that_stay_while_mailings_are_added(client):
    project_id = await project(client)
    ids = [await mailing(client, project_id=project_id) for _ in range(5)]
    page = (await client.get(f"/v1/projects/{project_id}/activities?limit=2")).json()
    seen = [item["id"] for item in page["items"]]
    await mailing(client, project_id=project_id)
    while page["next_cursor"]:
        query = {"limit": 2, "cursor": page["next_cursor"]}
        page = (await client.get(f"/v1/projects/{project_id}/activities", params=query)).json()
        seen += [item["id"] for item in page["items"]]
    assert seen == ids[::-1]


async def test_activities_are_found_by_their_indexes(session):
    """Among 20 000 mailings, a project's few are read by key; their lists are never counted."""
    insert = "INSERT INTO project (name) SELECT 'P' || n FROM generate_series(1, 2000) AS n RETURNING id"
    first = min(row.id for row in await session.exec(text(insert)))
    await session.exec(
        text("INSERT INTO mailing (name, project_id, subject, from_name, from_email, html) "
             "SELECT 'M', :first + n % 2000, '', '', '', '' FROM generate_series(1, 20000) AS n"),
        params={"first": first},
    )  # fmt: skip
    await session.exec(
        text(
            "INSERT INTO recipient_tally SELECT m.id, n.name, 1 "
            "FROM mailing AS m, unnest(ARRAY['total', 'ready']) AS n (name)"
        )
    )
    await session.exec(
        text("INSERT INTO mailing_source (mailing_id, kind, project_id) SELECT id, 'project', project_id FROM mailing")
    )
    await session.exec(text("ANALYZE mailing, mailing_source, recipient_tally"))
    statement = project_queries._ACTIVITIES
    explain = text(f"EXPLAIN (FORMAT JSON) {statement.text}").bindparams(*statement._bindparams.values())
    params = {"project_id": first, "before": 2**63 - 1, "limit": 51}
    plan = str((await session.exec(explain, params=params)).scalar_one())
    assert {"mailing_project_id_idx", "mailing_source_project_id_idx", "recipient_tally_pkey"} <= set(
        re.findall(r"'Index Name': '(\w+)'", plan)
    )
    assert "Seq Scan" not in plan


async def test_activities_need_the_scope_to_read_contacts(client, database):
    project_id = await project(client)
    async with database.begin() as session:
        key = await create_api_key(session, name="tracking", scopes=[Scope.TRACKING_READ])
    answer = await client.get(f"/v1/projects/{project_id}/activities", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
