"""`/v1/folders`."""

import asyncio

import httpx2
import pytest

from app.folders.service import MAX_DEPTH
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from tests.conftest import settings_for


class Desk:
    """Creates folders over HTTP."""

    def __init__(self, client):
        self.client = client

    async def folder(self, name, parent=None, kind="mailing", status=201):
        answer = await self.client.post("/v1/folders", json={"kind": kind, "name": name, "parent_id": parent})
        assert answer.status_code == status, answer.text
        return answer.json()["id"] if status == 201 else answer.json()

    async def move(self, folder, parent):
        return await self.client.patch(f"/v1/folders/{folder}", json={"parent_id": parent})

    async def chain(self, length, kind="mailing"):
        ids = []
        for level in range(length):
            ids.append(await self.folder(f"L{level}", ids[-1] if ids else None, kind))
        return ids


@pytest.fixture
def desk(client):
    return Desk(client)


async def test_a_folder_is_created_read_renamed_and_deleted(client, desk):
    folder = await desk.folder("  2026 ")
    assert (await client.get(f"/v1/folders/{folder}")).json()["name"] == "2026"
    renamed = await client.patch(f"/v1/folders/{folder}", json={"name": "Autumn"})
    assert (renamed.status_code, renamed.json()["name"], renamed.json()["parent_id"]) == (200, "Autumn", None)
    assert (await client.delete(f"/v1/folders/{folder}")).status_code == 204
    for method in ("get", "delete"):
        assert (await getattr(client, method)(f"/v1/folders/{folder}")).status_code == 404
    assert (await client.patch(f"/v1/folders/{folder}", json={"name": "X"})).status_code == 404


async def test_each_kind_has_a_tree_of_its_own(client, desk):
    top = await desk.folder("A")
    await desk.folder("inner b", top)
    await desk.folder("Inner A", top)
    await desk.folder("A", kind="template")
    tree = (await client.get("/v1/folders/tree?kind=mailing")).json()
    assert [(node["name"], [inner["name"] for inner in node["folders"]]) for node in tree["folders"]] == [
        ("A", ["Inner A", "inner b"])
    ]
    names = [node["name"] for node in (await client.get("/v1/folders/tree?kind=template")).json()["folders"]]
    assert names == ["A"]
    wrong = await client.post("/v1/folders", json={"kind": "template", "name": "B", "parent_id": top})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "#/parent_id"
    assert "is for mailings" in wrong.json()["errors"][0]["detail"]


async def test_folders_are_listed_by_kind_and_place_in_pages(client, desk):
    top = await desk.folder("A")
    inner = [await desk.folder(name, top) for name in "xyz"]
    other = await desk.folder("A", kind="project")
    first = (await client.get(f"/v1/folders?parent_id={top}&limit=2")).json()
    cursor = {"parent_id": top, "limit": 2, "cursor": first["next_cursor"]}
    rest = (await client.get("/v1/folders", params=cursor)).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == inner
    assert [item["id"] for item in (await client.get("/v1/folders?top=true")).json()["items"]] == [top, other]
    assert [item["id"] for item in (await client.get("/v1/folders?kind=project")).json()["items"]] == [other]
    assert (await client.get(f"/v1/folders?top=true&parent_id={top}")).status_code == 422


async def test_folders_beside_each_other_have_different_names_whatever_their_case(client, desk):
    top = await desk.folder("News")
    taken = await desk.folder("NEWS", status=409)
    assert taken["type"].endswith("folder-name-taken")
    inner = await desk.folder("News", top)
    assert (await desk.move(inner, None)).status_code == 409
    assert (await client.patch(f"/v1/folders/{inner}", json={"name": "Other", "parent_id": None})).status_code == 200


async def test_a_folder_cannot_move_into_itself_or_what_lies_in_it(desk):
    outer, middle, inner = await desk.chain(3)
    for place in (outer, middle, inner):
        refused = await desk.move(outer, place)
        assert (refused.status_code, refused.json()["title"]) == (409, "The folder cannot go there")
    assert (await desk.move(inner, outer)).json()["parent_id"] == outer


async def test_folders_go_so_deep_and_no_deeper(desk):
    chain = await desk.chain(MAX_DEPTH)
    assert (await desk.folder("too deep", chain[-1], status=409))["type"].endswith("folder-move-refused")
    pair = [await desk.folder("outer")]
    pair.append(await desk.folder("inner", pair[0]))
    assert (await desk.move(pair[0], chain[-2])).status_code == 409
    assert (await desk.move(pair[0], chain[-3])).status_code == 200


async def test_two_moves_at_once_make_no_cycle(fresh_database):
    """Each is fine by itself: A into B, and B into A."""
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="test")
    app = create_app(settings, database=database)
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        desk = Desk(client)
        for turn in range(10):
            one, two = await desk.folder(f"A{turn}"), await desk.folder(f"B{turn}")
            moved = await asyncio.gather(desk.move(one, two), desk.move(two, one))
            assert sorted(answer.status_code for answer in moved) == [200, 409]
            deleted = await asyncio.gather(*(client.delete(f"/v1/folders/{one}") for _ in range(3)))
            assert sorted(answer.status_code for answer in deleted) in ([204, 404, 404], [409, 409, 409])
    await database.close()


async def test_a_folder_with_something_in_it_is_not_deleted_and_says_what(client, desk):
    folder = await desk.folder("2026")
    await desk.folder("Inner", folder)
    for name in ("One", "Two"):
        await client.post("/v1/mailings", json={"name": name, "folder_id": folder})
    refused = await client.delete(f"/v1/folders/{folder}")
    assert refused.status_code == 409
    assert "1 folder(s) and 2 mailing(s)" in refused.json()["detail"]


async def test_what_is_in_a_folder_can_move_to_where_it_was(client, desk):
    outer = await desk.folder("Outer")
    folder = await desk.folder("Same", outer)
    inner = await desk.folder("Same", folder)  # has the name of the one that goes
    mailing = (await client.post("/v1/mailings", json={"name": "M", "folder_id": folder})).json()
    assert (await client.delete(f"/v1/folders/{folder}?contents=move_up")).status_code == 204
    assert (await client.get(f"/v1/folders/{inner}")).json()["parent_id"] == outer
    moved = (await client.get(f"/v1/mailings/{mailing['id']}")).json()
    assert moved["folder_id"] == outer
    assert moved["version"] == mailing["version"] + 1  # its ETag is another one


async def test_a_folder_that_would_move_up_beside_its_namesake_stays(client, desk):
    folder = await desk.folder("Folder")
    await desk.folder("Twin")
    await desk.folder("twin", folder)
    refused = await client.delete(f"/v1/folders/{folder}?contents=move_up")
    assert (refused.status_code, refused.json()["title"]) == (409, "A folder beside it has this name")
    assert (await client.get(f"/v1/folders/{folder}")).json()["name"] == "Folder"


@pytest.mark.parametrize(("thing", "kind"), [("mailings", "mailing"), ("templates", "template")])
async def test_things_are_in_folders_of_their_kind_and_found_there(client, desk, thing, kind):
    right, wrong = await desk.folder("A", kind=kind), await desk.folder("A", kind="link")
    created = await client.post(f"/v1/{thing}", json={"name": "N", "folder_id": right})
    assert (created.status_code, created.json()["folder_id"]) == (201, right)
    await client.post(f"/v1/{thing}", json={"name": "elsewhere"})
    found = (await client.get(f"/v1/{thing}?folder_id={right}")).json()["items"]
    assert [item["id"] for item in found] == [created.json()["id"]]
    path = f"/v1/{thing}/{created.json()['id']}"
    for folder_id, says in (
        (wrong, f"is for links; one for {kind}s would be right"),
        (987654321, "There is no folder"),
    ):
        for answer in (
            await client.post(f"/v1/{thing}", json={"name": "N", "folder_id": folder_id}),
            await client.patch(path, json={"folder_id": folder_id}),
        ):
            assert answer.status_code == 422
            [error] = answer.json()["errors"]
            assert error["pointer"] == "#/folder_id"
            assert says in error["detail"]
    assert (await client.patch(path, json={"folder_id": None})).json()["folder_id"] is None


async def test_a_key_sees_folders_of_what_it_may_see(client, database, desk):
    await desk.folder("M")
    project_folder = await desk.folder("P", kind="project")
    async with database.begin() as session:
        key = await create_api_key(session, name="crm", scopes=[Scope.CONTACTS_WRITE])
    contacts = {"headers": {"Authorization": f"Bearer {key}"}}
    listed = (await client.get("/v1/folders", **contacts)).json()["items"]
    assert [item["id"] for item in listed] == [project_folder]
    assert (await client.get("/v1/folders?kind=mailing", **contacts)).status_code == 403
    assert (await client.get("/v1/folders/tree?kind=template", **contacts)).status_code == 403
    body = {"kind": "mailing", "name": "N"}
    assert (await client.post("/v1/folders", json=body, **contacts)).status_code == 403
    assert (await client.post("/v1/folders", json=body | {"kind": "selection"}, **contacts)).status_code == 201


HUGE = 10**30


@pytest.mark.parametrize(
    "body",
    [
        {}, {"kind": "mailing"}, {"kind": "mailing", "name": ""}, {"kind": "mailing", "name": " \t "},
        {"kind": "mailing", "name": "a\x00b"}, {"kind": "mailing", "name": "a\nb"}, {"kind": "x", "name": "N"},
        {"kind": "mailing", "name": "N" * 201}, {"kind": "mailing", "name": ["N"]}, {"kind": None, "name": "N"},
        {"kind": "mailing", "name": "N", "parent_id": HUGE}, {"kind": "mailing", "name": "N", "parent_id": -1},
        {"kind": "mailing", "name": "N", "parent_id": "x"}, {"kind": "mailing", "name": "N", "parent_id": 2**63 - 1},
        {"kind": "mailing", "name": "N", "unknown": 1}, [], "folder", None,
    ],
)  # fmt: skip
async def test_a_folder_that_makes_no_sense_is_refused(client, body):
    answer = await client.post("/v1/folders", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"]


@pytest.mark.parametrize("query", ["parent_id=0", f"parent_id={HUGE}", "kind=nonsense", "top=maybe", "cursor=x", "x=1"])
async def test_a_question_that_makes_no_sense_is_refused(client, query):
    assert (await client.get(f"/v1/folders?{query}")).status_code == 422


@pytest.mark.parametrize("folder_id", [0, -1, 2**63 - 1])
async def test_a_folder_that_cannot_exist_is_not_found(client, folder_id):
    assert (await client.get(f"/v1/folders/{folder_id}")).status_code == 404
    assert (await client.patch(f"/v1/folders/{folder_id}", json={"kind": "link"})).status_code == 422


@pytest.mark.parametrize("folder_id", [HUGE, -HUGE, 2**63, "x", "1.5", "%00"])
async def test_an_id_that_is_no_id_is_refused(client, folder_id):
    for method in ("get", "delete"):
        answer = await getattr(client, method)(f"/v1/folders/{folder_id}")
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == "path:folder_id"
