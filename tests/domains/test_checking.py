"""A check from its request to its verdict: the job, the feed, the keys it sets to work (D6)."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.domains.service import approved_domains
from app.platform.outbox import OutboxJob
from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from tests.domains.dns_server import Fault, running_dns
from tests.domains.test_domains import listed
from tests.domains.test_keys import made, signing, states
from workers.context import Context, run_job
from workers.main import JOBS
from workers.watch import check_domains

NAME = "news.example.com"


@pytest.fixture
async def dns():
    async with running_dns() as server:
        server.put(NAME, "TXT", "v=spf1 ip4:192.0.2.7 ~all")
        server.put(NAME, "MX", "10 mx.example.com.")
        server.put("mx.example.com", "A", "192.0.2.1")
        server.put(f"_dmarc.{NAME}", "TXT", "v=DMARC1; p=none; rua=mailto:d@example.com")
        yield server


@pytest.fixture
def context(postgres_url, database, dns) -> Context:
    settings = settings_for(postgres_url, dns_servers=dns.setting, dns_timeout=0.3, sending_addresses="192.0.2.7")
    return Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET))


async def run_all(context) -> int:
    async with context.database.begin() as session:
        ids = (await session.exec(select(OutboxJob.id).order_by(OutboxJob.id))).all()
    await asyncio.gather(*(run_job(context, JOBS, job_id) for job_id in ids))
    async with context.database.begin() as session:
        assert (await session.exec(select(OutboxJob.last_error))).all() == []
    return len(ids)


async def check(client, context, domain):
    asked = await client.post(f"/v1/sending-domains/{domain['id']}/check")
    assert asked.status_code == 202, asked.text
    await run_all(context)
    operation = (await client.get(asked.headers["Location"])).json()
    assert operation["state"] == "succeeded"
    return operation["result"]


async def read(client, domain):
    return (await client.get(f"/v1/sending-domains/{domain['id']}")).json()


async def events(session):
    rows = await session.exec(text("SELECT data FROM event WHERE type = 'sending_domain.changed' ORDER BY id"))
    return [(row.data["verdict"], row.data["approved"]) for row in rows]


async def test_a_published_key_signs_and_its_domain_is_approved_by_the_next_check(client, context, dns, session):
    domain = await listed(client)
    path = f"/v1/sending-domains/{domain['id']}/dkim-keys"
    key = await made(client, path, "rsa")
    assert await check(client, context, domain) == {"verdict": "failing", "approved": False}
    (missing,) = [found for found in (await read(client, domain))["findings"] if found["severity"] == "error"]
    assert missing["code"] == "dkim_missing"
    assert missing["right"] == {"name": key["record"]["name"], "type": "TXT", "value": key["record"]["text"]}
    assert await signing(session) == []

    dns.put(key["record"]["name"], "TXT", key["record"]["text"])
    assert await check(client, context, domain) == {"verdict": "passing", "approved": True}
    assert await signing(session) == [key["selector"]]
    assert await approved_domains(session) == {NAME}
    assert await events(session) == [("failing", False), ("passing", True)]

    successor = await made(client, path, "rsa")
    dns.put(successor["record"]["name"], "TXT", successor["record"]["text"])
    assert await check(client, context, domain) == {"verdict": "passing", "approved": True}
    assert await states(client, path) == {key["id"]: "retiring", successor["id"]: "active"}
    assert await signing(session) == [successor["selector"]]
    assert len(await events(session)) == 2


async def test_dns_that_is_away_takes_no_approval_away(client, context, dns, session):
    domain = await listed(client)
    key = await made(client, f"/v1/sending-domains/{domain['id']}/dkim-keys")
    dns.put(key["record"]["name"], "TXT", key["record"]["text"])
    dns.faults[NAME, "TXT"] = Fault.SERVFAIL
    assert (await check(client, context, domain))["verdict"] == "unchecked"
    dns.faults.clear()
    assert (await check(client, context, domain))["verdict"] == "passing"
    dns.faults[NAME, "TXT"] = Fault.SERVFAIL
    assert await check(client, context, domain) == {"verdict": "passing", "approved": True}
    due = datetime.fromisoformat((await read(client, domain))["check_due_at"]) - datetime.now(UTC)
    assert 13 < due.total_seconds() / 60 <= 15


async def test_the_watch_checks_what_is_due_once(client, context, session):
    domain = await listed(client)
    for _ in range(3):
        await check_domains(context)
    assert await run_all(context) == 1
    assert (await read(client, domain))["verdict"] == "failing"
    await check_domains(context)
    assert await run_all(context) == 0


async def test_the_watch_retires_keys_whose_days_are_over(client, context, session):
    domain = await listed(client)
    path = f"/v1/sending-domains/{domain['id']}/dkim-keys"
    key = await made(client, path, active=True)
    await client.post(f"{path}/{key['id']}/retire", json={})
    await session.exec(text("UPDATE dkim_key SET retires_at = now() - interval '1 s'"))
    await check_domains(context)
    assert await states(client, path) == {key["id"]: "retired"}


async def test_a_domain_is_checked_with_the_keys_of_the_one_it_lies_in(client, context, dns):
    parent = await listed(client, "example.com")
    key = await made(client, f"/v1/sending-domains/{parent['id']}/dkim-keys", "rsa", active=True)
    dns.put(key["record"]["name"], "TXT", key["record"]["text"])
    domain = await listed(client)
    assert (await check(client, context, domain))["verdict"] == "passing"


async def test_a_domain_that_is_deleted_meanwhile_ends_its_check(client, context):
    domain = await listed(client)
    asked = await client.post(f"/v1/sending-domains/{domain['id']}/check")
    await client.delete(f"/v1/sending-domains/{domain['id']}")
    await run_all(context)
    assert (await client.get(asked.headers["Location"])).json()["state"] == "failed"
