"""`/v1/api-keys` (D76, api.md rule 8)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.platform import auth
from app.platform.api_keys import LastAdminKey, revoke_key
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from tests.conftest import settings_for

NEW = {"name": "CRM", "scopes": ["contacts:read"]}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def test_a_key_is_shown_once_and_works_with_its_scopes(client):
    """D76: API keys with scopes."""
    made = await client.post("/v1/api-keys", json=NEW)
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert (await client.get("/v1/persons", headers=bearer(key))).status_code == 200
    refused = await client.post("/v1/persons", json={"name": "Kari"}, headers=bearer(key))
    assert refused.status_code == 403
    assert (await client.get("/v1/api-keys", headers=bearer(key))).status_code == 403
    listed = await client.get("/v1/api-keys")
    [row] = [row for row in listed.json()["items"] if row["name"] == "CRM"]
    assert row["state"] == "live"
    assert row["last_used_at"]
    assert "key" not in row
    assert key not in listed.text


async def test_a_replayed_answer_does_not_show_the_key_again_nor_is_it_kept(client, session):
    headers = {"Idempotency-Key": "one key please"}
    first = await client.post("/v1/api-keys", json=NEW, headers=headers)
    again = await client.post("/v1/api-keys", json=NEW, headers=headers)
    assert first.json()["key"].startswith("bsk_")
    assert again.json() == {**first.json(), "key": None}
    bodies = (await session.exec(text("SELECT body FROM idempotent_answer"))).all()
    assert not [row for row in bodies if first.json()["key"].encode() in row.body]


async def test_a_revoked_key_works_no_more(client):
    made = (await client.post("/v1/api-keys", json=NEW)).json()
    assert (await client.get("/v1/persons", headers=bearer(made["key"]))).status_code == 200
    for _ in range(2):  # repeats change nothing
        assert (await client.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    assert (await client.get("/v1/persons", headers=bearer(made["key"]))).status_code == 401
    row = (await client.get(f"/v1/api-keys/{made['id']}")).json()
    assert row["state"] == "revoked"
    assert (await client.delete("/v1/api-keys/987654")).status_code == 404


async def test_an_expired_key_works_no_more_and_says_so(client, session, monkeypatch):
    """D76: and with expiry."""
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = (await client.post("/v1/api-keys", json={**NEW, "expires_at": soon})).json()
    monkeypatch.setattr(auth, "REMEMBER_SECONDS", 0.0)
    assert (await client.get("/v1/persons", headers=bearer(made["key"]))).status_code == 200
    await session.exec(text("UPDATE api_key SET expires_at = now() - interval '1 second' WHERE id = :id"), params=made)
    assert (await client.get("/v1/persons", headers=bearer(made["key"]))).status_code == 401
    assert (await client.get(f"/v1/api-keys/{made['id']}")).json()["state"] == "expired"


async def test_the_last_live_admin_key_cannot_be_revoked(client, session):
    await session.exec(text("UPDATE api_key SET revoked_at = now() WHERE name <> 'tests'"))
    [mine] = [row for row in (await client.get("/v1/api-keys")).json()["items"] if row["state"] == "live"]
    refused = await client.delete(f"/v1/api-keys/{mine['id']}")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:budstikke:problem:last-admin-key"
    other = (await client.post("/v1/api-keys", json={"name": "other", "scopes": ["admin"]})).json()
    assert (await client.delete(f"/v1/api-keys/{mine['id']}", headers=bearer(other["key"]))).status_code == 204
    assert (await client.delete(f"/v1/api-keys/{other['id']}", headers=bearer(other["key"]))).status_code == 409


async def test_of_two_last_admin_keys_revoked_at_once_one_stays(fresh_database):
    database = Database.connect(settings_for(fresh_database), name="test")
    async with database.begin() as session:
        for name in ("one", "two"):
            await create_api_key(session, name=name, scopes=[Scope.ADMIN])
        one, two = [row.id for row in await session.exec(text("SELECT id FROM api_key ORDER BY id"))]

    async def revoke_other():
        async with database.begin() as other:
            await revoke_key(other, api_key_id=two)

    async with database.begin() as session:
        await revoke_key(session, api_key_id=one)
        waiting = asyncio.create_task(revoke_other())
        await asyncio.wait([waiting], timeout=0.1)
    with pytest.raises(LastAdminKey):
        await waiting
    await database.close()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**NEW, "scopes": ["contacts:everything"]}, "#/scopes/0"),
        ({**NEW, "scopes": []}, "#/scopes"),
        ({**NEW, "name": "  "}, "#/name"),
        ({**NEW, "expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at"),
        ({**NEW, "expires_at": "2099-01-01T00:00:00"}, "#/expires_at"),
        ({**NEW, "key": "bsk_mine"}, "#/key"),
    ],
)
async def test_what_is_wrong_with_a_new_key_is_pointed_at(client, body, pointer):
    answer = await client.post("/v1/api-keys", json=body)
    assert answer.status_code == 422
    assert [error["pointer"].split("/function")[0] for error in answer.json()["errors"]] == [pointer]
