"""Real processes (workers, API), database and Valkey, and a sink with a ledger of its own: all to be broken."""

import asyncio
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from app.embedded.ports import free_port
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.settings import Settings
from tests.conftest import ROOT, settings_for
from tests.running import clean_environment

WITHIN = 180.0  # seconds; a killed worker's jobs wait ten for another, and faults come in rows
HTML = '<p>Hei [[customer.name]]</p><a href="https://example.com/">Les mer</a> <a href="[[link.unsubscribe]]">Av</a>'
CONSENT = {"legal_basis": "consent", "source": "paper", "given_on": "2026-01-01"}


@dataclass
class Sink:
    """The scripted SMTP server as a process; started again it answers at the same port, with the same ledger."""

    ledger_file: Path
    script: str
    seed: int
    certificate: Sequence[Path] = ()
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        arguments = (self.ledger_file, self.script, self.seed, self.port, *self.certificate)
        argv = [sys.executable, "-m", "tests.chaos.sink", *map(str, arguments)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.process.stdout.close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


@dataclass
class World:
    """What runs, and what was done to it."""

    settings: Settings
    sql: asyncpg.Connection
    api: httpx2.AsyncClient
    sink: Sink
    dice: random.Random
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the workers, besides their settings."""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    leaving: list[subprocess.Popen[bytes]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    api_process: "subprocess.Popen[bytes] | None" = None

    @property
    def ledger_file(self) -> Path:
        return self.sink.ledger_file

    # Processes

    def spawn(self, *module: str) -> "subprocess.Popen[bytes]":
        values = self.settings.model_dump(mode="json", exclude_none=True)
        secrets = {
            name: getattr(self.settings, name).get_secret_value() for name in ("redis_url", "smtp_url", "secret_key")
        }
        environment = {f"BUDSTIKKE_{name.upper()}": str(value) for name, value in (values | secrets).items()}
        with (self.settings.data_dir / f"{module[-1]}.log").open("ab") as log:
            argv = [sys.executable, "-m", *module]
            known = clean_environment(**environment, **self.environment)
            return subprocess.Popen(argv, cwd=ROOT, env=known, stdout=log, stderr=log)

    def start_worker(self) -> None:
        self.workers.append(self.spawn("workers"))

    async def all_started(self) -> None:
        """Wait until every worker listens to signals."""
        log = self.settings.data_dir / "workers.log"
        async with asyncio.timeout(WITHIN):
            while log.read_bytes().count(b"worker.started") < len(self.workers) + len(self.leaving):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def start_api(self) -> None:
        self.api_process = self.spawn("app.cli", "api")

    def signal_worker(self, number: signal.Signals, *, index: int | None = None) -> subprocess.Popen[bytes]:
        """Signal one of the workers, any by default, and put another in its place."""
        self.faults[f"{number.name} of a worker"] += 1
        worker = self.workers.pop(self.dice.randrange(len(self.workers)) if index is None else index)
        worker.send_signal(number)
        self.leaving.append(worker)
        self.start_worker()
        return worker

    def kill_api(self) -> None:
        """Kill the API, and start it again."""
        assert self.api_process is not None
        self.faults["SIGKILL of the API"] += 1
        self.api_process.kill()
        self.api_process.wait(10)
        self.start_api()

    # The mailing

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the API, again while it or its database is being broken, as the same request: it has a key."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    answer = await self.api.request(method, path, json=body or {}, headers=headers)
                except httpx2.TransportError:  # it was killed; whether it had done it, nobody knows
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code != 503 and not _still_running(answer):
                    break
                await asyncio.sleep(0.2)
        assert answer.status_code < 400, answer.text
        return answer.json()

    async def start_mailing(self, addresses: Iterable[str], **setup: Any) -> int:
        """Create a mailing to the addresses over the API and send it."""
        mailing_id = await self.draft(addresses, **setup)
        await self.request("POST", f"/v1/mailings/{mailing_id}/send")
        return mailing_id

    async def draft(self, addresses: Iterable[str], **setup: Any) -> int:
        """Create a mailing to the addresses over the API, ready to be sent."""
        kind = await self.request("POST", "/v1/subscription-types", {"name": f"Nyhetsbrev {time.time_ns()}"})
        fields = {"name": "News", "from_name": "Nordlys", "from_email": "post@nordlys.example", **setup}
        mailing = await self.request("POST", "/v1/mailings", fields | {"subscription_type_id": kind["id"]})
        path = f"/v1/mailings/{mailing['id']}"
        content = {
            "subject": "Hei [[customer.name]]",
            "html": HTML,
            "text": "Hei [[customer.name]] [[link.unsubscribe]]",
        }
        await self.request("PUT", f"{path}/content", content)
        await self.request(
            "POST", f"{path}/sources", {"kind": "addresses", "addresses": list(addresses), "consent": CONSENT}
        )
        updated = "SELECT list_updated_at FROM mailing WHERE id = $1"
        await self.until(lambda: self.sql.fetchval(updated, mailing["id"]))
        return int(mailing["id"])

    async def until(self, condition: Callable[[], Any], *, within: float = WITHIN) -> None:
        """Wait for a condition of the database; when that is being broken, our own look at it is renewed."""
        async with asyncio.timeout(within):
            while True:
                try:
                    if await condition():
                        return
                except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.PostgresError):
                    await self.reconnect()
                await asyncio.sleep(0.02)

    async def reconnect(self) -> None:
        """Get our own look at the database back."""
        self.sql.terminate()
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    self.sql = await asyncpg.connect(self.settings.database_url)
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.1)
                else:
                    return

    async def ask(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Query the database, again while it is being broken."""
        rows: list[asyncpg.Record] = []

        async def answered() -> bool:
            rows[:] = await self.sql.fetch(query, *values)
            return True

        await self.until(answered)
        return rows

    async def state(self, mailing_id: int) -> str:
        return await self.sql.fetchval("SELECT state FROM mailing WHERE id = $1", mailing_id)

    async def hurry_retries(self, mailing_id: int) -> None:
        """Let retries be due now, and looked for."""
        await self.sql.execute(
            "UPDATE recipient SET due_at = now() WHERE mailing_id = $1 AND status = 'deferred'", mailing_id
        )
        await self.sql.execute("UPDATE dispatch SET look_again_at = NULL WHERE mailing_id = $1", mailing_id)

    async def finished(self, mailing_id: int) -> None:
        async def ended() -> bool:
            await self.hurry_retries(mailing_id)
            return await self.state(mailing_id) not in ("preparing", "sending")

        await self.until(ended)
        [seen] = await self.ask("SELECT state, state_reason FROM mailing WHERE id = $1", mailing_id)
        assert seen["state"] == "finished", seen["state_reason"]

    def ledger(self) -> Counter[str]:
        """How often the sink took a message to each address."""
        return Counter(line.partition("\t")[0] for line in self.ledger_file.read_text().splitlines())

    def taken(self) -> int:
        return self.ledger_file.read_bytes().count(b"\n")

    async def taken_more(self, count: int, *, mailing_id: int | None = None) -> None:
        """Wait until the sink has taken so many more, or the mailing, when one is given, has no more to send."""
        target, looked_at = self.taken() + count, time.monotonic()
        async with asyncio.timeout(WITHIN):
            while self.taken() < target:
                await asyncio.sleep(0.005)
                if mailing_id is not None and time.monotonic() - looked_at > 1.0:
                    looked_at = time.monotonic()
                    if await self.is_through(mailing_id):
                        return

    async def is_through(self, mailing_id: int) -> bool:
        """Whether nobody of a mailing waits to be tried: what is left are retries, or nothing."""
        left = "SELECT coalesce(sum(value), 0) AS left FROM recipient_tally WHERE mailing_id = $1 AND name = 'ready'"
        [seen] = await self.ask(left, mailing_id)
        return not seen["left"]

    async def account(self, mailing_id: int, *, before: Counter[str] | None = None) -> "Account":
        """Compare every recipient with the ledger; raises AssertionError where the rows do not tell the truth."""
        ledger = self.ledger()
        if before:
            ledger.subtract(before)
        rows = await self.ask("SELECT email, status FROM recipient WHERE mailing_id = $1", mailing_id)
        return Account(
            recipients=len(rows),
            statuses=Counter(row["status"] for row in rows),
            lost=[row["email"] for row in rows if row["status"] == "sent" and not ledger[row["email"]]],
            twice=[row["email"] for row in rows if ledger[row["email"]] > 1],
            untold=[
                row["email"] for row in rows
                if ledger[row["email"]] and row["status"] not in ("sent", "unconfirmed")
            ],
            tallies=dict(
                await self.ask("SELECT name, value FROM recipient_tally WHERE mailing_id = $1", mailing_id)
            ),
        )  # fmt: skip


@dataclass
class Account:
    """What became of a mailing's recipients, rows against ledger."""

    recipients: int
    statuses: Counter[str]
    lost: list[str]
    """Called sent, though the sink has never taken it."""
    twice: list[str]
    untold: list[str]
    """Taken, though the row says otherwise."""
    tallies: dict[str, int]

    def check(self) -> None:
        assert self.lost == []
        assert self.twice == []
        assert self.untold == []
        unfinished = {status for status in self.statuses if status in ("ready", "deferred", "sending", "failed")}
        assert not unfinished, self.statuses
        assert self.tallies["total"] == self.recipients == sum(self.statuses.values())
        assert {status: self.tallies[status] for status in self.statuses} == dict(self.statuses)


def _still_running(answer: httpx2.Response) -> bool:
    return answer.status_code == 409 and "Retry-After" in answer.headers


@asynccontextmanager
async def world(
    *,
    database_url: str,
    redis_url: str,
    directory: Path,
    script: str,
    seed: int = 1,
    workers: int = 2,
    smtp: str = "smtp://127.0.0.1:{port}",
    certificate: Sequence[Path] = (),
    api_process: bool = False,
    environment: Mapping[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """Start a sink that does what the script says, an API (in this process, or one of its own), and the workers."""
    ledger = directory / "ledger"
    ledger.touch()
    sink = Sink(ledger, script, seed, certificate)
    sink.start()
    url = smtp.format(port=sink.port)
    known = {"redis_url": redis_url, "smtp_url": url, "data_dir": directory, "retry_minutes": 1, "port": free_port()}
    settings = settings_for(database_url, **(known | changes))
    database = Database.connect(settings, name="chaos")
    async with database.begin() as session:
        key = await create_api_key(session, name="chaos", scopes=[Scope.ADMIN])
    headers = {"Authorization": f"Bearer {key}"}
    if api_process:
        api = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}", headers=headers, timeout=30)
    else:
        transport = httpx2.ASGITransport(create_app(settings, database=database))
        api = httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers)
    connection = await asyncpg.connect(database_url)
    found = World(settings, connection, api, sink, random.Random(seed), environment or {})
    try:
        if api_process:
            found.start_api()
        for _ in range(workers):
            found.start_worker()
        yield found
    finally:
        for process in filter(None, (*found.leaving, *found.workers, found.api_process)):
            process.kill()
            process.wait(10)
        sink.kill()
        found.sql.terminate()
        await api.aclose()
        await database.close()
