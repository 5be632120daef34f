"""Real worker processes, a real database, a real Valkey, and a sink with a ledger of its own: all to be broken."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

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
class World:
    """What runs, and what was done to it."""

    settings: Settings
    sql: asyncpg.Connection
    api: httpx2.AsyncClient
    ledger_file: Path
    dice: random.Random
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    leaving: list[subprocess.Popen[bytes]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    # Workers

    def start_worker(self) -> None:
        values = self.settings.model_dump(mode="json", exclude_none=True)
        secrets = {
            name: getattr(self.settings, name).get_secret_value() for name in ("redis_url", "smtp_url", "secret_key")
        }
        environment = {f"BUDSTIKKE_{name.upper()}": str(value) for name, value in (values | secrets).items()}
        with (self.settings.data_dir / "workers.log").open("ab") as log:
            argv = [sys.executable, "-m", "workers"]
            self.workers.append(
                subprocess.Popen(argv, cwd=ROOT, env=clean_environment(**environment), stdout=log, stderr=log)
            )

    def signal_worker(self, number: signal.Signals, *, index: int | None = None) -> subprocess.Popen[bytes]:
        """Signal one of the workers, any by default, and put another in its place."""
        self.faults[number.name] += 1
        worker = self.workers.pop(self.dice.randrange(len(self.workers)) if index is None else index)
        worker.send_signal(number)
        self.leaving.append(worker)
        self.start_worker()
        return worker

    # The mailing

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the API, again while its database is being broken."""
        async with asyncio.timeout(WITHIN):
            while (answer := await self.api.request(method, path, json=body or {})).status_code == 503:  # noqa: ASYNC110
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
        """Wait for a condition of the database."""
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110 - the database knows nothing of events
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
        assert await self.state(mailing_id) == "finished"

    def ledger(self) -> Counter[str]:
        """How often the sink took a message to each address."""
        return Counter(line.partition("\t")[0] for line in self.ledger_file.read_text().splitlines())

    def taken(self) -> int:
        return self.ledger_file.read_bytes().count(b"\n")

    async def taken_more(self, count: int) -> None:
        """Wait until the sink has taken so many more."""
        target = self.taken() + count
        async with asyncio.timeout(WITHIN):
            while self.taken() < target:  # noqa: ASYNC110 - it is a file of another process
                await asyncio.sleep(0.005)

    async def account(self, mailing_id: int, *, before: Counter[str] | None = None) -> "Account":
        """Compare every recipient with the ledger; raises AssertionError where the rows do not tell the truth."""
        ledger = self.ledger()
        if before:
            ledger.subtract(before)
        rows = await self.sql.fetch("SELECT email, status FROM recipient WHERE mailing_id = $1", mailing_id)
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
                await self.sql.fetch("SELECT name, value FROM recipient_tally WHERE mailing_id = $1", mailing_id)
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


@asynccontextmanager
async def world(
    *, database_url: str, redis_url: str, directory: Path, script: str, seed: int = 1, workers: int = 2, **changes: Any
) -> AsyncIterator[World]:
    """Start a sink that does what the script says, an API in this process, and the workers."""
    ledger = directory / "ledger"
    ledger.touch()
    argv = [sys.executable, "-m", "tests.chaos.sink", str(ledger), script, str(seed)]
    sink = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: ASYNC220 - nothing runs here yet
    assert sink.stdout is not None
    port = int(sink.stdout.readline())
    known = {"redis_url": redis_url, "smtp_url": f"smtp://127.0.0.1:{port}", "data_dir": directory, "retry_minutes": 1}
    settings = settings_for(database_url, **(known | changes))
    database = Database.connect(settings, name="chaos")
    async with database.begin() as session:
        key = await create_api_key(session, name="chaos", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(create_app(settings, database=database))
    api = httpx2.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {key}"})
    found = World(settings, await asyncpg.connect(database_url), api, ledger, random.Random(seed))
    try:
        for _ in range(workers):
            found.start_worker()
        yield found
    finally:
        for process in (*found.leaving, *found.workers, sink):
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        sink.stdout.close()
        await found.sql.close()
        await api.aclose()
        await database.close()
