"""`/v1/templates`: the conventions of the API, on its smallest slice."""

from app.platform.auth import Scope, create_api_key

NEWS = {"name": "News", "subject": 'Hi [[customer.firstname|default("you")]]', "html": "<p>Hi</p>"}


async def test_a_template_is_created_read_changed_and_deleted(client):
    created = await client.post("/v1/templates", json=NEWS)
    assert created.status_code == 201
    path = f"/v1/templates/{created.json()['id']}"
    changed = await client.patch(path, json={"subject": "New"})
    assert changed.json()["subject"] == "New"
    assert changed.json()["html"] == NEWS["html"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_an_unknown_merge_tag_is_refused_with_line_and_column(client):
    answer = await client.post("/v1/templates", json=NEWS | {"html": "<p>\n  [[customer.frstname]]</p>"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    assert error["pointer"] == "#/html"
    assert error["detail"].startswith("Line 2, column 3:")


async def test_a_change_on_an_old_version_is_refused(client):
    created = await client.post("/v1/templates", json=NEWS)
    path = f"/v1/templates/{created.json()['id']}"
    tag = created.headers["etag"]
    assert (await client.patch(path, json={"name": "A"}, headers={"If-Match": tag})).status_code == 200
    late = await client.patch(path, json={"name": "B"}, headers={"If-Match": tag})
    assert late.status_code == 412
    assert (await client.get(path)).json()["name"] == "A"


async def test_unknown_query_parameters_are_refused(client):
    answer = await client.get("/v1/templates?limt=5")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "query:limt"


async def test_pages_follow_each_other_without_gap_or_repeat(client):
    for number in range(5):
        await client.post("/v1/templates", json=NEWS | {"name": str(number)})
    names, cursor = [], None
    while True:
        page = (await client.get("/v1/templates", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        names += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["0", "1", "2", "3", "4"]


async def test_a_made_up_cursor_is_refused(client):
    answer = await client.get("/v1/templates?cursor=nonsense")
    assert answer.status_code == 422


async def test_a_repeated_post_with_its_idempotency_key_answers_the_same_and_adds_nothing(client):
    headers = {"Idempotency-Key": "4711"}
    first = await client.post("/v1/templates", json=NEWS, headers=headers)
    again = await client.post("/v1/templates", json=NEWS, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await client.get("/v1/templates")).json()["items"]) == 1


async def test_an_idempotency_key_with_another_body_is_refused(client):
    headers = {"Idempotency-Key": "4711"}
    await client.post("/v1/templates", json=NEWS, headers=headers)
    other = await client.post("/v1/templates", json=NEWS | {"name": "Other"}, headers=headers)
    assert other.status_code == 422


async def test_no_key_and_a_key_without_the_scope_are_refused(client, app, database):
    async with database.begin() as session:
        narrow = await create_api_key(session, name="narrow", scopes=[Scope.CONTACTS_READ])
    refused = await client.get("/v1/templates", headers={"Authorization": f"Bearer {narrow}"})
    assert refused.status_code == 403
    assert "mailings:read" in refused.json()["detail"]
    unknown = await client.get("/v1/templates", headers={"Authorization": "Bearer bsk_nobody"})
    assert unknown.status_code == 401


async def test_broken_json_and_wrong_methods_are_problems(client):
    broken = await client.post("/v1/templates", content="{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 422
    assert broken.headers["content-type"] == "application/problem+json"
    wrong = await client.put("/v1/templates", json={})
    assert wrong.status_code == 405
    missing = await client.get("/v1/nothing")
    assert missing.status_code == 404
    assert missing.json()["request_id"] == missing.headers["x-request-id"]
