"""P6: clicks that are durable before they are answered, against a bare uvicorn that answers the same 302.

Durable is on this machine's disk. What it costs until PostgreSQL has them is measured too: the CPU is that of everybody
until the last one is stored.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg

from app.embedded.ports import free_port
from app.embedded.process import Child
from app.platform.tokens import Purpose, TokenKey
from tests.bench.errors import BenchError
from tests.bench.house import House, ready_at
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target
from tests.bench.processes import cpu_seconds, peak_rss_mb, running
from tests.bench.tools import Clicker, wrk

LINKS = 20
STORED_WITHIN = 60.0  # seconds that PostgreSQL may take to have them all, on a machine without a core to spare


@dataclass(frozen=True, slots=True)
class Load:
    """How hard and how long is clicked. Each run has recipients of its own: a first click costs more than a second."""

    connections: int
    seconds: float
    recipients: int
    runs: int = 3
    opens: bool = False
    """The pixel is loaded, instead of a link clicked."""


LOADS = {
    "small": Load(connections=64, seconds=3, recipients=30_000),
    "full": Load(connections=64, seconds=10, recipients=100_000),
}


class LostClicksError(BenchError):
    """Fewer events were stored than clicks answered, more than were sent, or clicks were not answered with 302."""


class UnlikeAnswersError(BenchError):
    """The baseline does not answer as we do, so comparing with it means nothing."""


_ADD_MAILING = """
    INSERT INTO mailing (name, state, subject, from_name, from_email, html)
    VALUES ('Høstnytt', 'finished', '', '', '', '') RETURNING id
"""

_ADD_LINKS = """
    INSERT INTO link (mailing_id, position, target)
    SELECT $1, n - 1, target FROM unnest($2::text[]) WITH ORDINALITY AS t (target, n) RETURNING id
"""

_ADD_RECIPIENTS = """
    INSERT INTO recipient (mailing_id, seq, name, email, email_key, status, sent_at)
    SELECT $1, n, 'Åse Ødegård', 'aase.' || n || '@example.com', 'aase.' || n || '@example.com', 'sent',
           now() - interval '1 hour'
    FROM generate_series(1, $2::int) AS n
    RETURNING id
"""


async def measure(house: House, size: str, *, connections: int = 64, opens: bool = False) -> Measured:
    """Measure with wrk."""
    return await measure_with(house, wrk, replace(LOADS[size], connections=connections, opens=opens))


async def measure_with(house: House, clicker: Clicker, load: Load) -> Measured:
    """Measure both sides in turn, with the same load."""
    measured: list[Run] = []
    bare_port, api_port = free_port(), house.settings.port
    async with house.connection() as connection:
        files = [await add_clicks(house, connection, load, run=run) for run in range(load.runs)]
        await connection.execute("VACUUM ANALYZE")
        servers = (_bare_server(house, bare_port), ready_at(api_port, house.python("api", "app.cli", "api")))
        with running(*servers, directory=house.directory) as [bare, api]:
            before = await _stored(connection)
            await _check_alike(files[0], bare_port, api_port)
            await _stored_at_least(connection, before + 1)
            for paths in files:
                measured.append(await _run_baseline(clicker, load, paths=paths, port=bare_port, bare=bare.pid))
                measured.append(await _run_ours(house, connection, clicker, load, paths=paths, api=api.pid))
    settings = {
        "connections": load.connections, "seconds": load.seconds, "recipients": load.recipients, "links": LINKS,
    }  # fmt: skip
    return Measured(measured, settings)


def _bare_server(house: House, port: int) -> Child:
    options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
    quiet = ["--no-access-log", "--log-level", "warning", "--no-server-header"]
    return ready_at(port, house.python("bare", "uvicorn", "tests.bench.bare_redirect:application", *options, *quiet))


async def add_clicks(house: House, connection: "asyncpg.Connection[Any]", load: Load, *, run: int = 0) -> Path:
    """Add a mailing that was sent an hour ago; return the file of its paths, one recipient after another.

    Neighbouring recipients click different links, so that no recipient's clicks look like a burst.
    """
    mailing_id = await connection.fetchval(_ADD_MAILING)
    targets = [f"https://www.example.com/offers/{number}?from=news" for number in range(LINKS)]
    links = await connection.fetch(_ADD_LINKS, mailing_id, targets)
    rows = await connection.fetch(_ADD_RECIPIENTS, mailing_id, load.recipients)
    make = TokenKey.from_secret(house.settings.secret_key.get_secret_value()).make
    if load.opens:
        paths = (f"/o/{make(Purpose.OPEN, row['id'])}.gif\n" for row in rows)
    else:
        paths = (f"/c/{make(Purpose.CLICK, row['id'], links[index % LINKS]['id'])}\n" for index, row in enumerate(rows))
    file = house.directory / f"clicks-{run}.txt"
    file.write_text("".join(paths), encoding="ascii")
    return file


async def _check_alike(paths: Path, *ports: int) -> None:
    """Compare the headers of both sides' answers; writing other headers would be another baseline."""
    with paths.open(encoding="ascii") as lines:
        path = next(lines).strip()
    bare, ours = [await _headers(port, path) for port in ports]
    if bare != ours:
        raise UnlikeAnswersError(f"The bare server answers {bare}, ours {ours}; bring bare_redirect.py in line")


async def _headers(port: int, path: str) -> list[str]:
    """Return the lines of an answer's head, without the values of those that name a place or a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: click\r\nUser-Agent: Firefox\r\n\r\n".encode("ascii"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    return sorted(line.partition(":")[0] if line.startswith(("location:", "date:")) else line for line in head)


async def _run_baseline(clicker: Clicker, load: Load, *, paths: Path, port: int, bare: int) -> Run:
    before = cpu_seconds(bare)
    clicked = await clicker(port, paths=paths, connections=load.connections, seconds=load.seconds)
    each = {"bare": (cpu_seconds(bare) - before) / clicked.answered * 1e6}
    further = {"p50_ms": clicked.p50_ms, "p99_ms": clicked.p99_ms}
    return Run(BASELINE, clicked.answered / clicked.seconds, clicked.seconds, each, further=further)


async def _run_ours(
    house: House, connection: "asyncpg.Connection[Any]", clicker: Clicker, load: Load, *, paths: Path, api: int
) -> Run:
    groups = {"api": api, "postgres": house.postgres_pid}
    stored_before = await _stored(connection)
    before = {name: cpu_seconds(pid) for name, pid in groups.items()}
    clicked = await clicker(house.settings.port, paths=paths, connections=load.connections, seconds=load.seconds)
    ended = time.monotonic()
    stored = await _stored_at_least(connection, stored_before + clicked.answered) - stored_before
    waited = time.monotonic() - ended
    each = {name: (cpu_seconds(pid) - before[name]) / clicked.answered * 1e6 for name, pid in groups.items()}
    # A load generator that stops leaves one click on each connection stored, or not, without waiting for its answer.
    if clicked.failed or not clicked.answered <= stored <= clicked.answered + load.connections:
        raise LostClicksError(f"{clicked.answered} clicks answered, {clicked.failed} of them badly, {stored} stored")
    further = {
        "p50_ms": clicked.p50_ms,
        "p99_ms": clicked.p99_ms,
        "answered": clicked.answered,
        "stored": stored,
        "stored_s_later": waited,
    }
    return Run(
        OURS, clicked.answered / clicked.seconds, clicked.seconds, each, peak_rss_mb=peak_rss_mb([api]), further=further
    )


async def _stored(connection: "asyncpg.Connection[Any]") -> int:
    return int(await connection.fetchval("SELECT count(*) FROM engagement"))


async def _stored_at_least(connection: "asyncpg.Connection[Any]", wanted: int) -> int:
    """Return the number of stored events, as soon as there are so many, or after STORED_WITHIN seconds."""
    deadline = time.monotonic() + STORED_WITHIN
    while True:
        stored = await _stored(connection)
        if stored >= wanted or time.monotonic() > deadline:
            return stored
        await asyncio.sleep(0.05)


TARGET = Target("P6", "durable click, 64 open", "req/s", 0.6, measure)
