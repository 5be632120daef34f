"""`/v1/sending-accounts`: kept, checked, shown without secrets, and tried."""

import json

from sqlalchemy import text

from app.delivery import account_queries
from app.platform.auth import Scope, create_api_key
from tests.delivery.smtp_server import SmtpServer

ACCOUNT = {"name": "Relay", "host": "smtp.example.com", "username": "news", "password": "hem/me?lig"}


async def add(client, **changes):
    answer = await client.post("/v1/sending-accounts", json={**ACCOUNT, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def add_for(client, server, **changes):
    """An account that leads to a scripted server."""
    known = {"host": server.host, "port": server.port, "security": "none", "username": None, "password": None}
    return await add(client, **{**known, **changes})


async def try_out(client, account):
    answer = await client.post(f"/v1/sending-accounts/{account['id']}/test")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_account_is_added_read_changed_and_deleted(client):
    account = await add(client, host="SMTP.Blåbær.example.", from_domains=["Nordlys.example", "nordlys.example"])
    assert (account["host"], account["port"], account["security"]) == ("smtp.xn--blbr-roah.example", 587, "starttls")
    assert account["from_domains"] == ["nordlys.example"]
    assert account["health"]["state"] == "healthy"
    path = f"/v1/sending-accounts/{account['id']}"
    changed = await client.patch(path, json={"security": "tls", "port": None, "weight": 3})
    assert (changed.json()["port"], changed.json()["weight"], changed.json()["username"]) == (465, 3, "news")
    assert (await client.get(path)).json() == changed.json()
    listed = await client.get("/v1/sending-accounts?limit=1")
    assert listed.json() == {"items": [changed.json()], "next_cursor": None}
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_accounts_are_listed_page_by_page(client):
    ids = [(await add(client, name=f"Relay {number}"))["id"] for number in range(3)]
    first = (await client.get("/v1/sending-accounts?limit=2")).json()
    second = (await client.get("/v1/sending-accounts", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids
    assert second["next_cursor"] is None


async def test_password_is_in_no_answer_and_no_audit_entry_and_sealed_in_its_row(client, session):
    account = await add(client)
    changed = await client.patch(f"/v1/sending-accounts/{account['id']}", json={"password": "en annen hem/me?lig"})
    log = (await client.get("/v1/audit-log?entity=sending_account")).json()
    assert len(log["items"]) == 2
    assert account["has_password"]
    assert "me?lig" not in json.dumps([account, changed.json(), log])
    rows = (await session.exec(text("SELECT password_sealed FROM sending_account"))).all()
    assert all(b"me?lig" not in row.password_sealed for row in rows)


WRONG = {
    "no host": ({"host": "not a host"}, "#/host"),
    "host with a port": ({"host": "smtp.example.com:25"}, "#/host"),
    "port": ({"port": 70000}, "#/port"),
    "domain in the list": ({"from_domains": ["example.com", "a b"]}, "#/from_domains/1"),
    "password alone": ({"username": None}, "#/username"),
    "user alone": ({"password": None}, "#/password"),
    "mechanism without a user": ({"username": None, "password": None, "auth": "xoauth2"}, "#/username"),
    "half a ramp": ({"warm_up_first_day": 100, "warm_up_growth": 1.5}, "#/warm_up_from"),
    "ramp that sinks": ({"warm_up_growth": 0.5}, "#/warm_up_growth"),
    "limit of nothing": ({"max_per_hour": 0}, "#/max_per_hour"),
    "line end in the user": ({"username": "a\r\nb"}, "#/username"),
    "unknown field": ({"hots": "x"}, "#/hots"),
}  # fmt: skip


async def test_wrong_input_is_named_with_its_place(client):
    for event, (changes, pointer) in WRONG.items():
        answer = await client.post("/v1/sending-accounts", json={**ACCOUNT, **changes})
        assert answer.status_code == 422, event
        assert pointer in [error["pointer"] for error in answer.json()["errors"]], event
        assert "me?lig" not in answer.text, event


async def test_patch_is_checked_as_a_whole(client):
    account = await add(client)
    answer = await client.patch(f"/v1/sending-accounts/{account['id']}", json={"username": None})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/username")


async def test_name_is_taken_once(client):
    await add(client)
    answer = await client.post("/v1/sending-accounts", json=ACCOUNT)
    assert (answer.status_code, answer.json()["title"]) == (409, "The name is taken")


async def test_only_an_admin_changes_accounts_and_whoever_reads_mailings_sees_them(client, database):
    account = await add(client)
    async with database.begin() as session:
        key = await create_api_key(session, name="crm", scopes=[Scope.MAILINGS_WRITE])
    crm = {"Authorization": f"Bearer {key}"}
    path = f"/v1/sending-accounts/{account['id']}"
    assert (await client.get(path, headers=crm)).status_code == 200
    for method, where in (("PATCH", path), ("DELETE", path), ("POST", f"{path}/test")):
        assert (await client.request(method, where, headers=crm, json={})).status_code == 403


async def test_mailing_names_an_account_that_exists_and_keeps_it_from_being_deleted(client):
    account = await add(client)
    missing = await client.post("/v1/mailings", json={"name": "News", "sending_account_id": account["id"] + 1})
    assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (422, "#/sending_account_id")
    mailing = (await client.post("/v1/mailings", json={"name": "News", "sending_account_id": account["id"]})).json()
    assert mailing["sending_account_id"] == account["id"]
    refused = await client.delete(f"/v1/sending-accounts/{account['id']}")
    assert (refused.status_code, refused.json()["title"]) == (409, "The sending account is in use")
    assert f"Mailing {mailing['id']} " in refused.json()["detail"]
    await client.post(f"/v1/mailings/{mailing['id']}/cancel")
    assert (await client.delete(f"/v1/sending-accounts/{account['id']}")).status_code == 204
    assert (await client.get(f"/v1/mailings/{mailing['id']}")).json()["sending_account_id"] is None


async def test_trying_an_account_tells_what_the_server_offers(client):
    async with SmtpServer(users={"news": "hem/me?lig"}) as server:
        account = await add_for(client, server, username="news", password="hem/me?lig")
        seen = await try_out(client, account)
    assert seen["ok"]
    assert (seen["words"], seen["address"], seen["is_private"]) == ("250 scripted", "127.0.0.1", True)
    assert (seen["logged_in_by"], seen["pipelining"], seen["max_size"]) == ("plain", "full", 52428800)
    assert "8BITMIME" in seen["capabilities"]
    assert seen["remarks"] == ["User name and password travel unencrypted."]
    assert server.commands[-1] == "QUIT"
    assert server.messages == 0


async def test_trying_an_account_tells_why_it_does_not_work_and_no_secret(client):
    script = "auth *: 535 5.7.8 Not good: AUTH PLAIN AG5ld3MAaGVtL21lP2xpZw== is hem/me?lig"
    async with SmtpServer(script, users={"news": "another"}) as server:
        account = await add_for(client, server, username="news", password="hem/me?lig")
        seen = await try_out(client, account)
    assert (seen["ok"], seen["stage"], seen["code"]) == (False, "auth", 535)
    assert seen["words"] == "5.7.8 Not good: AUTH PLAIN … is …"


async def test_trying_an_account_that_leads_nowhere_says_so(client):
    for changes, words, is_private in (
        ({"host": "127.0.0.1", "port": 1}, "Connect call failed", True),
        ({"host": "nowhere.invalid"}, "no address is known for nowhere.invalid", False),
    ):
        account = await add(client, name=changes["host"], username=None, password=None, **changes)
        seen = await try_out(client, account)
        assert (seen["ok"], seen["stage"], seen["code"], seen["is_private"]) == (False, "connect", None, is_private)
        assert words in seen["words"]


async def test_trying_an_account_under_a_key_is_done_once(client):
    async with SmtpServer() as server:
        account = await add_for(client, server)
        path, key = f"/v1/sending-accounts/{account['id']}/test", {"Idempotency-Key": "once"}
        first, second = [await client.post(path, headers=key) for _ in range(2)]
        assert (first.json()["ok"], server.connections) == (True, 1)
        assert (second.json(), second.headers["Idempotency-Replayed"]) == (first.json(), "true")


async def test_account_that_failed_shows_it_until_it_is_changed_or_passes_a_test(client, session):
    async with SmtpServer() as server:
        account = await add_for(client, server)
        path = f"/v1/sending-accounts/{account['id']}"
        failure = {"account_id": account["id"], "failures": 3, "is_fault": True, "wait": 60.0, "words": "535 no"}
        await account_queries.note_failure(session, **failure)
        health = (await client.get(path)).json()["health"]
        assert (health["state"], health["failures"], health["needs_you"]) == ("failing", 3, True)
        assert health["words"] == "535 no"
        assert health["failing_since"] < health["retry_at"]
        assert (await client.patch(path, json={"weight": 2})).json()["health"]["state"] == "failing"
        assert (await client.patch(path, json={"local_hostname": "me.example"})).json()["health"]["state"] == "healthy"
        await account_queries.note_failure(session, **failure)
        assert (await try_out(client, account))["ok"]
        assert (await client.get(path)).json()["health"]["state"] == "healthy"
