"""A mailing with links of the library whose actions run: the API, the recorder of clicks, and the worker's jobs."""

import asyncio
import json

import httpx2
from sqlalchemy import text

from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.tokens import Purpose, TokenKey
from tests.conftest import SECRET, settings_for
from workers.context import Context, run_job
from workers.jobs.actions import plan_actions
from workers.main import JOBS

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)


async def until(condition, within=10.0):
    """Wait until a condition of other processes or tasks holds."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - it looks at what others say
            await asyncio.sleep(0.02)


class Receiver:
    """A script: answers POSTs as scripted, then with 204; keeps what came."""

    def __init__(self):
        self.answers, self.came = [], []
        self.hangs = False

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/script"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.came.append((headers, json.loads(body), body))
        if self.hangs:
            await reader.read()  # until the caller gives up
        else:
            status, said = self.answers.pop(0) if self.answers else (204, b"")
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said)
            await writer.drain()
        writer.close()

    def kinds(self):
        return [told["type"] for _, told, _ in self.came]


class World:
    """Mailing 1, sent an hour ago, with what is made as needed."""

    def __init__(self, url, **changes):
        known = {"webhook_private_addresses": True, "action_hold_seconds": 0.0, **changes}
        self.settings = settings_for(url, **known)
        self.database = Database.connect(self.settings, name="test")
        self.context = Context(self.settings, self.database, TokenKey.from_secret(SECRET))
        self.app = create_app(self.settings, database=self.database)
        self.clicks = 0

    async def __aenter__(self):
        async with self.database.begin() as session:
            key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
        headers = {"Authorization": f"Bearer {key}"}
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers)
        self.lifespan = self.app.router.lifespan_context(self.app)
        await self.lifespan.__aenter__()
        self.reader = httpx2.AsyncClient(transport=transport, base_url="http://test")
        await self.sql("INSERT INTO mailing (id, name, from_name, from_email, subject, html)"
                       " VALUES (1, 'Høst', '', '', '', '') ON CONFLICT DO NOTHING")  # fmt: skip
        return self

    async def __aexit__(self, *_):
        await self.reader.aclose()
        await self.client.aclose()
        await self.lifespan.__aexit__(None, None, None)
        await self.database.close()

    async def sql(self, statement, **params):
        async with self.database.begin() as session:
            result = await session.exec(text(statement), params=params)
            return result.all() if result.returns_rows else []

    async def call(self, method, path, *, status=200, **request):
        answer = await self.client.request(method, f"/v1/{path}", **request)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def post(self, path, body, status=201):
        return await self.call("POST", path, status=status, json=body)

    async def person(self, name="Kari", **fields):
        return (await self.post("persons", {"name": name, "email": f"{name.lower()}@example.com", **fields}))["id"]

    async def link(self, target="https://example.com/offer", places=1):
        """A link of the library, in the mailing at so many places; returns (library link, its first tracked link)."""
        link = (await self.post("links", {"name": "Offer", "target": target}))["id"]
        rows = await self.sql(
            "INSERT INTO link (mailing_id, position, target, frozen, library_link_id)"
            " SELECT 1, coalesce((SELECT max(position) + 1 FROM link), 0) + g, :target, true, :link"
            " FROM generate_series(0, :places - 1) AS g RETURNING id", target=target, link=link, places=places,
        )  # fmt: skip
        return link, rows[0].id

    async def action(self, link, status=201, **settings):
        return await self.post(f"links/{link}/actions", settings, status=status)

    async def recipient(self, person=None, company=None, name="Kari", email="kari@example.com"):
        rows = await self.sql(
            "INSERT INTO recipient (mailing_id, person_id, company_id, name, email, email_key, status, sent_at)"
            " VALUES (1, cast(:person AS bigint), cast(:company AS bigint), :name, :email, :email, 'sent',"
            " now() - interval '1 hour') RETURNING id", person=person, company=company, name=name, email=email,
        )  # fmt: skip
        return rows[0].id

    async def visit(self, recipient, tracked, *, method="GET", user_agent=CHROME, **headers):
        """Follow a link of the message."""
        token = self.context.tokens.make(Purpose.CLICK, recipient, tracked)
        self.clicks += bool(recipient)
        sent = {"user-agent": user_agent, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.reader.request(method, f"/c/{token}", headers=sent)

    async def click(self, recipient, tracked, **how):
        """Follow a link, and wait until that is stored."""
        answer = await self.visit(recipient, tracked, **how)
        await until(self._is_stored)
        return answer

    async def _is_stored(self):
        return (await self.sql("SELECT count(*) AS stored FROM engagement"))[0].stored >= self.clicks

    async def work(self):
        """What the watch and a worker do, once."""
        async with self.database.begin() as session:
            await plan_actions(session, hold=self.settings.action_hold_seconds)
        for row in await self.sql("SELECT id FROM outbox WHERE job LIKE 'action.%' ORDER BY id"):
            await run_job(self.context, JOBS, row.id)

    async def hurry(self):
        """Let every hold and wait be over."""
        await self.sql("UPDATE action_run SET due_at = now() - interval '1 day' WHERE state IN ('held', 'waiting')")

    async def runs(self, **filters):
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        return (await self.call("GET", f"action-runs?{query}"))["items"][::-1]

    async def states(self, **filters):
        return [(run["kind"], run["state"]) for run in await self.runs(**filters)]
