"""Actions of library links: added, checked, ordered (D38)."""

import pytest

from app.actions.kinds import KINDS
from app.actions.service import MAX_ACTIONS

OWNER = {"email": "Ola@Supplier.example", "name": "Ola Selger"}


@pytest.fixture
async def link(client):
    answer = await client.post("/v1/links", json={"name": "Offer", "target": "https://example.com/"})
    return f"/v1/links/{answer.json()['id']}/actions"


async def made(client, path, body):
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_link_takes_all_seven_kinds_in_an_order_that_can_be_changed(client, link):
    """D38: any number of actions per link."""
    interest = (await made(client, "/v1/interests", {"name": "Boats"}))["id"]
    selection = (await made(client, "/v1/selections", {"name": "Callers"}))["id"]
    script = (await made(client, "/v1/scripts", {"name": "S", "url": "https://crm.example.com/x"}))["id"]
    await made(client, "/v1/extra-fields", {"owner": "person", "name": "shoe", "label": "Shoe", "kind": "number"})
    wanted = [
        {"kind": "response", "redirect_to": "https://example.com/?n=[[customer.firstname]]"},
        {"kind": "set_field", "field": "shoe", "value": 38},
        {"kind": "interests", "add": [interest]},
        {"kind": "membership", "change": "add", "selection_id": selection},
        {"kind": "follow_up", "type": "appointment", "description": "Meet", "owner": OWNER, "duration_minutes": 30},
        {"kind": "request", "title": "Demonstration", "priority": "high"},
        {"kind": "script", "script_id": script, "may_redirect": True},
    ]
    assert [each["kind"] for each in wanted] == list(KINDS)
    ids = [(await made(client, link, body))["id"] for body in wanted]
    first = (await client.get(f"{link}?limit=4")).json()
    rest = (await client.get(f"{link}?limit=4&cursor={first['next_cursor']}")).json()
    shown = [*first["items"], *rest["items"]]
    assert [(item["id"], item["position"]) for item in shown] == list(zip(ids, range(1, 8), strict=True))
    for item, body in zip(shown, wanted, strict=True):
        assert {name: item["action"][name] for name in body if name != "owner"}.items() <= body.items()
    assert shown[4]["action"]["owner"]["email"] == "Ola@supplier.example"
    answer = await client.post(f"{link}/reorder", json={"action_ids": ids[::-1]})
    assert [item["id"] for item in answer.json()["items"]] == ids[::-1]
    answer = await client.post(f"{link}/reorder", json={"action_ids": ids[1:]})
    assert answer.json()["errors"][0]["pointer"] == "#/action_ids"
    answer = await client.put(f"{link}/{ids[1]}", json={"kind": "set_field", "field": "shoe", "value": None})
    assert answer.json()["action"]["value"] is None
    assert (await client.delete(f"{link}/{ids[0]}")).status_code == 204
    assert (await client.get(f"{link}/{ids[0]}")).status_code == 404


WRONG = [
    ({"kind": "nonsense"}, "#/"),
    ({}, "#/"),
    ([], "#/"),
    ({"kind": "response"}, "#/"),
    ({"kind": "response", "redirect_to": "javascript:alert(1)"}, "#/redirect_to"),
    ({"kind": "response", "redirect_to": "data:text/html,x"}, "#/redirect_to"),
    ({"kind": "response", "redirect_to": "mailto:a@example.com"}, "#/redirect_to"),
    ({"kind": "response", "redirect_to": "https://example.com/[[customer.nonsense]]"}, "#/redirect_to"),
    ({"kind": "response", "redirect_to": "https://e.example/", "pages": []}, "#/pages"),
    ({"kind": "response", "pages": [{"language": "fi", "title": "T", "text": "x"}]}, "#/pages/0/language"),
    ({"kind": "response", "pages": [{"language": "en", "title": "T", "text": " "}]}, "#/pages/0/text"),
    ({"kind": "set_field", "field": "nonsense", "value": 1}, "#/field"),
    ({"kind": "set_field", "field": "shoe", "value": "38"}, "#/value"),
    ({"kind": "set_field", "field": "shoe"}, "#/value"),
    ({"kind": "set_field", "field": "e_marketing; DROP", "value": 1}, "#/field"),
    ({"kind": "interests"}, "#/"),
    ({"kind": "interests", "add": [1, 2**40]}, "#/add/1"),
    ({"kind": "interests", "add": [0]}, "#/add/0"),
    ({"kind": "membership", "change": "add"}, "#/"),
    ({"kind": "membership", "change": "add", "selection_id": 2**40}, "#/selection_id"),
    ({"kind": "membership", "change": "add", "project_id": 2**40}, "#/project_id"),
    ({"kind": "follow_up", "description": "x"}, "#/owner"),
    ({"kind": "follow_up", "description": "x", "owner": {"email": "nonsense"}}, "#/owner/email"),
    ({"kind": "follow_up", "description": "x", "owner": OWNER, "project_id": 2**40}, "#/project_id"),
    ({"kind": "request", "title": "x", "assignment": "owner"}, "#/"),
    ({"kind": "request", "title": "x", "owner": OWNER}, "#/"),
    ({"kind": "script", "script_id": 2**40}, "#/script_id"),
    ({"kind": "script", "script_id": 1, "url": "https://e.example/"}, "#/url"),
]


async def test_settings_that_cannot_be_are_refused_with_a_pointer(client, link):
    await made(client, "/v1/extra-fields", {"owner": "person", "name": "shoe", "label": "Shoe", "kind": "number"})
    for body, pointer in WRONG:
        answer = await client.post(link, json=body)
        assert answer.status_code == 422, (body, answer.text)
        pointers = [error["pointer"] for error in answer.json()["errors"]]
        assert pointer in pointers or (pointer == "#/add/1" and pointers == ["#/add/0", "#/add/1"]), (body, pointers)
    assert (await client.get(link)).json()["items"] == []


async def test_a_dynamic_selection_takes_no_members(client, link):
    criteria = {"person": "city", "operator": "eq", "value": "Oslo"}
    selection = (await made(client, "/v1/selections", {"name": "Oslo", "criteria": criteria}))["id"]
    answer = await client.post(link, json={"kind": "membership", "change": "add", "selection_id": selection})
    assert "dynamic" in answer.json()["errors"][0]["detail"]


async def test_a_link_answers_in_one_way(client, link):
    page = {"kind": "response", "pages": [{"language": "en", "title": "Thanks", "text": "We call you."}]}
    first = await made(client, link, page)
    assert (await client.post(link, json=page)).status_code == 409
    assert (await client.put(f"{link}/{first['id']}", json=page)).status_code == 200
    other = await client.put(f"{link}/{first['id']}", json={"kind": "request", "title": "x"})
    assert other.json()["errors"][0]["pointer"] == "#/kind"
    script = (await made(client, "/v1/scripts", {"name": "S", "url": "https://crm.example.com/x"}))["id"]
    asks = {"kind": "script", "script_id": script, "may_redirect": True}
    await made(client, link, asks)
    assert (await client.post(link, json=asks)).json()["type"] == "urn:budstikke:problem:second-answer"
    await made(client, link, {**asks, "may_redirect": False})


async def test_a_link_has_so_many_actions_and_a_link_that_is_not_there_none(client, link):
    for number in range(MAX_ACTIONS):
        await made(client, link, {"kind": "request", "title": f"Request {number}"})
    assert (await client.post(link, json={"kind": "request", "title": "One more"})).status_code == 409
    assert (await client.get("/v1/links/999999/actions")).status_code == 404
    assert (await client.post("/v1/links/999999/actions", json=WRONG[0][0])).status_code == 422
    answer = await client.post("/v1/links/999999/actions", json={"kind": "request", "title": "x"})
    assert answer.status_code == 404


async def test_a_scripts_secret_is_shown_once_and_it_stays_while_it_is_called(client, link):
    script = await made(client, "/v1/scripts", {"name": "S", "url": "https://crm.example.com/x"})
    path = f"/v1/scripts/{script['id']}"
    assert script["secret"].startswith("whsec_")
    assert "secret" not in (await client.get(path)).json()
    assert (await client.post(f"{path}/renew-secret")).json()["secret"] != script["secret"]
    for url in ("http://crm.example.com/", "https://10.0.0.1/", "https://localhost/", "javascript:x"):
        answer = await client.patch(path, json={"url": url})
        assert answer.json()["errors"][0]["pointer"] == "#/url", url
    assert (await client.patch(path, json={"timeout_ms": 200})).json()["timeout_ms"] == 200
    action = await made(client, link, {"kind": "script", "script_id": script["id"]})
    refused = await client.delete(path)
    assert refused.status_code == 409
    assert "Offer" in refused.json()["detail"]
    await client.delete(f"{link}/{action['id']}")
    assert (await client.delete(path)).status_code == 204
