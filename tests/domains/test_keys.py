"""DKIM keys through the API: made, published, activated, rotated, retired."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from app.domains.signing import load_signers
from tests.conftest import SECRET
from tests.domains.test_domains import listed


@pytest.fixture
async def path(client):
    return f"/v1/sending-domains/{(await listed(client))['id']}/dkim-keys"


async def made(client, path, algorithm="ed25519", *, active=False):
    answer = await client.post(path, json={"algorithm": algorithm})
    assert answer.status_code == 201, answer.text
    key = answer.json()
    if active:
        activated = await client.post(f"{path}/{key['id']}/activate", json={"force": True})
        assert activated.status_code == 200, activated.text
        key = activated.json()
    return key


async def states(client, path):
    return {key["id"]: key["state"] for key in (await client.get(path)).json()["items"]}


async def signing(session):
    signer = (await load_signers(session, secret=SECRET)).of("news.example.com")
    return [key.selector for key in signer.keys] if signer else []


async def test_a_new_key_comes_with_its_record_and_without_its_private_half(client, path, session):
    rsa, ed25519 = await made(client, path, "rsa"), await made(client, path)
    assert rsa["state"] == ed25519["state"] == "pending"
    assert rsa["selector"].startswith(f"b{datetime.now(UTC):%Y%m%d}-rsa-")
    record = rsa["record"]
    assert record["name"] == f"{rsa['selector']}._domainkey.news.example.com"
    assert record["text"].startswith("v=DKIM1; k=rsa; p=MII")
    assert "".join(record["strings"]) == record["text"]
    assert [len(part) for part in record["strings"]] == [255, len(record["text"]) - 255]
    assert record["zone_line"] == f'{record["name"]}. IN TXT "{record["strings"][0]}" "{record["strings"][1]}"'
    assert len(ed25519["record"]["text"]) == len("v=DKIM1; k=ed25519; p=") + 44
    assert "private" not in str(rsa)
    (log,) = await session.exec(
        text("SELECT string_agg(audit_log::text, '') AS text FROM audit_log WHERE entity = 'dkim_key'")
    )
    assert "ed25519" in log.text
    assert "private_key" not in log.text
    assert await signing(session) == []


async def test_a_key_whose_record_was_not_seen_signs_only_if_forced(client, path, session):
    key = await made(client, path)
    refused = await client.post(f"{path}/{key['id']}/activate", json={})
    assert refused.status_code == 409
    assert key["record"]["name"] in refused.json()["detail"]
    forced = await client.post(f"{path}/{key['id']}/activate", json={"force": True})
    assert forced.json()["state"] == "active"
    assert await signing(session) == [key["selector"]]


async def test_both_kinds_sign_and_a_new_key_takes_the_place_of_its_own_kind(client, path, session):
    old, rsa = await made(client, path, active=True), await made(client, path, "rsa", active=True)
    assert await signing(session) == [rsa["selector"], old["selector"]]

    new = await made(client, path, active=True)
    assert await states(client, path) == {old["id"]: "retiring", rsa["id"]: "active", new["id"]: "active"}
    assert await signing(session) == [rsa["selector"], new["selector"]]
    (listed_old, *_) = (await client.get(path)).json()["items"]
    days = datetime.fromisoformat(listed_old["retires_at"]) - datetime.now(UTC)
    assert 6.9 < days.total_seconds() / 86_400 <= 7


async def test_a_retired_key_is_forgotten(client, path, session):
    key = await made(client, path, active=True)
    retiring = await client.post(f"{path}/{key['id']}/retire", json={})
    assert retiring.json()["state"] == "retiring"
    assert await signing(session) == []
    assert (await client.post(f"{path}/{key['id']}/retire", json={})).status_code == 409
    retired = await client.post(f"{path}/{key['id']}/retire", json={"at_once": True})
    assert retired.json()["state"] == "retired"
    (row,) = await session.exec(text("SELECT private_key FROM dkim_key"))
    assert row.private_key is None
    assert (await client.post(f"{path}/{key['id']}/activate", json={"force": True})).status_code == 409


async def test_what_is_not_there_is_said(client, path):
    assert (await client.post(f"{path}/99/retire", json={})).json()["title"] == "No such DKIM key"
    assert (await client.get("/v1/sending-domains/99/dkim-keys")).json()["title"] == "No such sending domain"
    assert (await client.post(path, json={"algorithm": "dsa"})).status_code == 422
