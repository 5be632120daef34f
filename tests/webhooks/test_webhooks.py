"""Webhooks (D77, api.md rule 10), against a real HTTP server with scripted answers."""

import asyncio
import base64
import hmac
import json
import socket
from datetime import UTC, datetime
from hashlib import sha256

import httpx2
import pytest
from sqlalchemy import text

from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.tokens import TokenKey
from app.webhooks import posting
from app.webhooks.posting import is_public, post
from app.webhooks.signing import secret_of, sign
from app.webhooks.webhooks import WAITS
from tests.conftest import SECRET, settings_for
from workers.context import Context, JobRun
from workers.jobs.webhooks import deliver, plan_deliveries


class Receiver:
    """Answers POSTs with the scripted statuses, then with 204; keeps what came."""

    def __init__(self):
        self.statuses, self.came = [], []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/hook?x=1"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.came.append((first, headers, body))
        status = self.statuses.pop(0) if self.statuses else 204
        where = "Location: http://127.0.0.1:1/elsewhere\r\n" if status == 302 else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{where}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


class Office:
    """An API with workers, whose webhooks may lead to this machine."""

    def __init__(self, url, **changes):
        known = {"webhook_private_addresses": True, **changes}
        self.settings = settings_for(url, **known)
        self.database = Database.connect(self.settings, name="test")
        self.context = Context(self.settings, self.database, TokenKey.from_secret(SECRET))

    async def __aenter__(self):
        async with self.database.begin() as session:
            key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
        transport = httpx2.ASGITransport(create_app(self.settings, database=self.database))
        headers = {"Authorization": f"Bearer {key}"}
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers)
        return self

    async def __aexit__(self, *_):
        await self.client.aclose()
        await self.database.close()

    async def call(self, method, path, *, status, **request):
        answer = await self.client.request(method, f"/v1/{path}", **request)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def hook(self, url, **fields):
        return await self.call("POST", "webhooks", status=201, json={"url": url, **fields})

    async def person(self, name):
        return await self.call("POST", "persons", status=201, json={"name": name})

    async def work(self):
        """What the watch and the worker do, until nothing is due."""
        async with self.database.begin() as session:
            await plan_deliveries(session)
        async with self.database.begin() as session:
            jobs = list(await session.exec(text("DELETE FROM outbox WHERE job = 'webhook.deliver' RETURNING id, args")))
        for job in jobs:
            await deliver(self.context, JobRun(job.id, job.args, 1))

    async def hurry(self):
        """Let every wait be over."""
        async with self.database.begin() as session:
            await session.exec(text("UPDATE webhook_delivery SET due_at = now() WHERE state = 'waiting'"))

    async def log(self, hook):
        return (await self.call("GET", f"webhooks/{hook['id']}/deliveries", status=200))["items"]


@pytest.fixture
async def office(fresh_database):
    async with Office(fresh_database) as office:
        yield office


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


def test_a_signature_is_that_of_the_specification():
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )  # fmt: skip
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_event_is_posted_signed_and_equals_the_feeds(office, receiver):
    """D77: outgoing webhooks and the pull feed tell of the same events."""
    hook = await office.hook(receiver.url)
    kari = await office.person("Kari")
    await office.work()
    [(first, headers, body)] = receiver.came
    assert first == "POST /hook?x=1 HTTP/1.1"
    assert headers["host"] == receiver.url.split("/")[2]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    [event] = (await office.call("GET", "events", status=200))["items"]
    posted = json.loads(body)
    assert headers["webhook-id"] == f"evt_{event['id']}"
    assert (posted["id"], posted["type"], posted["data"]) == (event["id"], event["type"], event["data"])
    assert posted["data"]["person_id"] == kari["id"]
    [delivery] = await office.log(hook)
    assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("delivered", 204, 1)


async def test_only_types_asked_for_and_only_from_then_on(office, receiver):
    kari = await office.person("Before")
    await office.hook(receiver.url, types=["person.deleted"])
    await office.person("After")
    await office.call("DELETE", f"persons/{kari['id']}", status=204)
    await office.work()
    await office.work()
    assert [json.loads(body)["type"] for _, _, body in receiver.came] == ["person.deleted"]


async def test_what_fails_is_tried_again_over_days_under_the_same_id_and_then_given_up(office, receiver):
    """D77: retries, log and replay."""
    receiver.statuses = [500, 302, *[503] * len(WAITS)]
    hook = await office.hook(receiver.url)
    await office.person("Kari")
    waits = []
    for _ in range(len(WAITS) + 1):
        await office.work()
        [delivery] = await office.log(hook)
        waits.append(round(
            (datetime.fromisoformat(delivery["due_at"]) - datetime.fromisoformat(delivery["tried_at"])).total_seconds()
        ))  # fmt: skip
        await office.work()  # it is not due yet
        await office.hurry()
    assert waits == [*WAITS, 0]
    assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("failed", 503, len(WAITS) + 1)
    assert len(receiver.came) == len(WAITS) + 1
    assert len({headers["webhook-id"] for _, headers, _ in receiver.came}) == 1
    receiver.statuses = []
    await office.call("POST", f"webhooks/{hook['id']}/deliveries/{delivery['id']}/replay", status=202)
    await office.work()
    assert receiver.came[-1][1]["webhook-id"] == receiver.came[0][1]["webhook-id"]
    assert (await office.log(hook))[0]["state"] == "delivered"


async def test_410_disables_a_webhook_and_enabling_leaves_out_what_happened_meanwhile(office, receiver):
    """D77."""
    receiver.statuses = [410]
    hook = await office.hook(receiver.url)
    await office.person("Kari")
    await office.work()
    shown = await office.call("GET", f"webhooks/{hook['id']}", status=200)
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "It answered 410 Gone.")
    await office.person("Meanwhile")
    await office.work()
    refused = await office.call("POST", f"webhooks/{hook['id']}/test", status=409)
    assert refused["type"] == "urn:budstikke:problem:webhook-disabled"
    await office.call("PATCH", f"webhooks/{hook['id']}", status=200, json={"enabled": True})
    await office.person("Again")
    await office.work()
    assert len(receiver.came) == 2


async def test_a_test_event_is_delivered_and_logged(office, receiver):
    hook = await office.hook(receiver.url)
    await office.call("POST", f"webhooks/{hook['id']}/test", status=202)
    await office.work()
    assert json.loads(receiver.came[0][2])["type"] == "webhook.test"
    [delivery] = await office.log(hook)
    assert (delivery["event_id"], delivery["state"]) == (None, "delivered")


async def test_a_dead_workers_delivery_is_made_by_another(office, receiver):
    hook = await office.hook(receiver.url)
    await office.person("Kari")
    async with office.database.begin() as session:
        await plan_deliveries(session)
    async with office.database.begin() as session:  # claimed, and nobody comes back
        await session.exec(text("UPDATE webhook_delivery SET attempts = 1, due_at = now() + interval '60 seconds'"))
    await office.work()
    assert not receiver.came
    await office.hurry()
    await office.work()
    assert len(receiver.came) == 1
    assert (await office.log(hook))[0]["attempts"] == 2


async def test_nobody_answering_is_an_error_that_is_told(office):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    hook = await office.hook(f"http://127.0.0.1:{port}/")
    await office.call("POST", f"webhooks/{hook['id']}/test", status=202)
    await office.work()
    [delivery] = await office.log(hook)
    assert (delivery["state"], delivery["status"]) == ("waiting", None)
    assert "Connect" in delivery["error"]


async def test_the_secret_is_shown_once_and_kept_nowhere(office, receiver):
    body = {"url": receiver.url}
    headers = {"Idempotency-Key": "hook"}
    first = await office.call("POST", "webhooks", status=201, json=body, headers=headers)
    again = await office.call("POST", "webhooks", status=201, json=body, headers=headers)
    assert again == {**first, "secret": None}
    assert "secret" not in await office.call("GET", f"webhooks/{first['id']}", status=200)
    raw = base64.b64decode(first["secret"].removeprefix("whsec_"))
    async with office.database.begin() as session:
        for table in ("webhook", "audit_log", "idempotent_answer"):
            rows = (await session.exec(text(f"SELECT t::text AS line FROM {table} AS t"))).all()
            assert rows
            assert not [row for row in rows if raw.hex() in row.line or first["secret"] in row.line]


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example.com/", "ftp://crm.example.com/", "https:///", "https://10.0.0.1/", "https://127.0.0.1:8000/",
        "https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://localhost/",
        "https://intranet/", "https://user:pass@crm.example.com/", "https://crm.example.com/#x", "nonsense",
    ],
)  # fmt: skip
async def test_urls_that_lead_inside_are_refused(client, url):
    answer = await client.post("/v1/webhooks", json={"url": url})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "#/url"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:4700::1", True), ("10.1.2.3", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("224.0.0.1", False), ("fe80::1%eth0", False), ("::ffff:127.0.0.1", False), ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False), ("fd00::1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address, public):
    assert is_public(address) == public


async def test_a_name_that_leads_inside_is_not_called(receiver):
    port = int(receiver.url.split(":")[2].split("/")[0])
    answer = await post(f"http://localhost:{port}/", body=b"{}", headers={}, allow_private=False)
    assert (answer.status, answer.error) == (None, "localhost leads to an address that is not public.")
    assert not receiver.came


async def test_the_connection_goes_to_the_address_that_was_checked(receiver, monkeypatch):
    """A name is looked up once: what it would answer the second time (DNS rebinding) does not matter."""
    asked = []

    async def look_up(host, port, *, allow_private):
        asked.append(host)
        return "127.0.0.1"

    monkeypatch.setattr(posting, "_address_of", look_up)
    port = int(receiver.url.split(":")[2].split("/")[0])
    answer = await post(f"http://rebinding.invalid:{port}/a", body=b"{}", headers={}, allow_private=False)
    assert answer.status == 204
    assert asked == ["rebinding.invalid"]
    assert receiver.came[0][1]["host"] == f"rebinding.invalid:{port}"


async def test_webhooks_are_for_admins(client, session):
    key = await create_api_key(session, name="narrow", scopes=[Scope.CONTACTS_WRITE])
    answer = await client.get("/v1/webhooks", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403


def test_another_service_secret_makes_other_webhook_secrets():
    one, two = (secret_of(key, webhook_id=1, salt=b"s" * 16) for key in (b"a" * 32, b"b" * 32))
    assert one != two
