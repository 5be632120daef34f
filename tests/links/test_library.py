"""`/v1/links`: the link library (D36)."""

import pytest

from app.links.schemas import MAX_TARGET
from app.platform.auth import Scope, create_api_key

PRICES = {"name": "Price list", "target": "https://a.example/p?a=1&b=%20[[ customer.number|default('x') ]]#top"}


@pytest.fixture
def create(client):
    async def create(**changes):
        answer = await client.post("/v1/links", json=PRICES | changes)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return create


async def found(client, **params):
    return [item["id"] for item in (await client.get("/v1/links", params=params)).json()["items"]]


async def test_a_link_is_created_read_changed_copied_and_deleted(client, create):
    link = await create(description="On the web")
    path = f"/v1/links/{link['id']}"
    assert (await client.get(path)).json() == link
    assert link["target"] == PRICES["target"]  # D37: byte for byte
    assert (link["reference"], link["trackable"]) == (f"[[link.library.{link['id']}]]", True)
    changed = (await client.patch(path, json={"target": "https://b.example/"})).json()
    assert (changed["target"], changed["name"], changed["version"]) == ("https://b.example/", "Price list", 2)
    action = {"kind": "response", "redirect_to": "https://c.example/"}
    added = await client.post(f"{path}/actions", json=action)
    assert added.status_code == 201, added.text
    copied = await client.post(f"{path}/copy")
    assert (copied.status_code, copied.json()["name"]) == (201, "Price list (copy)")
    assert copied.json()["target"] == "https://b.example/"
    actions = (await client.get(f"/v1/links/{copied.json()['id']}/actions")).json()["items"]
    assert [one["action"]["kind"] for one in actions] == ["response"]
    assert (await client.delete(path)).status_code == 204
    for method, end in (("get", ""), ("delete", ""), ("post", "/copy")):
        assert (await getattr(client, method)(path + end)).status_code == 404


async def test_a_change_on_an_old_version_is_refused(client, create):
    path = f"/v1/links/{(await create())['id']}"
    tag = (await client.get(path)).headers["etag"]
    assert (await client.patch(path, json={"name": "A"}, headers={"If-Match": tag})).status_code == 200
    assert (await client.patch(path, json={"name": "B"}, headers={"If-Match": tag})).status_code == 412
    assert (await client.get(path)).json()["name"] == "A"


async def test_links_are_listed_by_folder_name_and_target_in_pages(client, create):
    folder = (await client.post("/v1/folders", json={"kind": "link", "name": "2026"})).json()["id"]
    ids = [(await create(name=f"Link {number}", folder_id=folder))["id"] for number in range(3)]
    other = (await create(name="50% off_season", target="mailto:sale@a.example"))["id"]
    first = (await client.get(f"/v1/links?folder_id={folder}&limit=2")).json()
    rest = await found(client, folder_id=folder, limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in first["items"]] + rest == ids
    assert await found(client, name="lInK") == ids
    assert await found(client, name="% OFF_") == [other]
    assert await found(client, target="SALE@") == [other]
    by_name = (await client.get("/v1/links?sort=name&limit=2")).json()
    rest = await found(client, sort="name", limit=2, cursor=by_name["next_cursor"])
    assert [item["id"] for item in by_name["items"]] + rest == [other, *ids]
    assert (await client.get("/v1/links", params={"cursor": by_name["next_cursor"]})).status_code == 422
    assert await found(client, target="a.example", name="link 1") == [ids[1]]


async def test_a_link_moves_between_folders_for_links_only(client, create):
    link = await create()
    path = f"/v1/links/{link['id']}"
    folder = (await client.post("/v1/folders", json={"kind": "link", "name": "A"})).json()["id"]
    wrong = (await client.post("/v1/folders", json={"kind": "mailing", "name": "A"})).json()["id"]
    assert (await client.patch(path, json={"folder_id": folder})).json()["folder_id"] == folder
    refused = await client.patch(path, json={"folder_id": wrong})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/folder_id")
    assert (await client.delete(f"/v1/folders/{folder}")).status_code == 409
    assert (await client.delete(f"/v1/folders/{folder}?contents=move_up")).status_code == 204
    assert (await client.get(path)).json()["folder_id"] is None


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)",
        "\x01javascript:alert(1)", "java\u200bscript:alert(1)", "\ufeffdata:text/html,x", "data:text/html;base64,eA==",
        "vbscript:x", "file:///etc/passwd", "blob:https://a.example/x", "ms-msdt:/id", "about:blank",
        "view-source:https://a.example", "x-anything:y",
    ],
)  # fmt: skip
async def test_a_scheme_that_is_not_on_the_list_is_refused_however_it_is_hidden(client, target):
    answer = await client.post("/v1/links", json={"name": "X", "target": target})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:budstikke:problem:invalid-target"
    [error] = answer.json()["errors"]
    assert error["pointer"] == "#/target"
    assert "are refused" in error["detail"]
    assert "https, mailto" in error["detail"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("[[customer.firstname]]javascript:alert(1)", "begins with its scheme"),
        ("[[company.url]]", "begins with its scheme"),
        ("java[[customer.name]]script:alert(1)", "complete address"),
        ("javascript&#58;alert(1)", "complete address"),
        ("&#106;avascript:alert(1)", "complete address"),
        ("www.a.example", "complete address"),
        ("#top", "complete address"),
        ("https://", "no address"),
        ("https:///path", "no address"),
        ("https://\\evil.example/", "no address"),
        ("https://a b.example/", "written %20"),
        ("mailto:", "no address"),
        ("https://a.example/\nSet-Cookie: x", "control or invisible"),
        (" https://a.example/", "no white space"),
        ("https://a.example/\u202etxt", "control or invisible"),
        ("https://a.example/[[link.unsubscribe]]", "is a link itself"),
        ("https://a.example/[[customer.frstname]]", "did you mean customer.firstname"),
        ("https://a.example/[[customer.extra.shoe_size]]", "there is no tag customer.extra.shoe_size"),
        ("https://a.example/[[customer.name", "never closed"),
    ],
)
async def test_a_target_that_is_no_address_is_refused_with_what_would_be_right(client, target, words):
    answer = await client.post("/v1/links", json={"name": "X", "target": target})
    assert answer.status_code == 422, target
    assert words in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("target", "trackable"),
    [
        ("HTTPS://A.example", True),
        ('http://a.example:8080/[[customer.extra.x|default("y")]]', True),
        ("https://blåbær.example/ø?q=a%20b", True),
        ("https://[[company.city]].a.example/", True),
        ("mailto:kari@a.example?subject=Hi%20[[customer.name]]", False),
        ("tel:+4722225555", False),
        ("sms:+4799999999?body=JA", False),
    ],
)
async def test_only_web_targets_can_be_tracked_and_it_is_said(client, create, target, trackable):
    await client.post("/v1/extra-fields", json={"owner": "person", "name": "x", "label": "X", "kind": "text"})
    assert (await create(target=target))["trackable"] is trackable


async def test_a_target_that_is_too_long_is_refused(client):
    target = "https://a.example/".ljust(MAX_TARGET + 1, "x")
    answer = await client.post("/v1/links", json=PRICES | {"target": target})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/target")


async def test_changes_to_the_library_are_in_the_audit_log_and_need_the_scope(client, create, database):
    link = await create()
    await client.patch(f"/v1/links/{link['id']}", json={"name": "New"})
    log = (await client.get("/v1/audit-log", params={"entity": "library_link"})).json()["items"]
    assert {entry["action"] for entry in log} >= {"created", "changed"}
    async with database.begin() as session:
        reader = await create_api_key(session, name="reader", scopes=[Scope.MAILINGS_READ])
    as_reader = {"Authorization": f"Bearer {reader}"}
    assert (await client.get("/v1/links", headers=as_reader)).status_code == 200
    assert (await client.post("/v1/links", json=PRICES, headers=as_reader)).status_code == 403
