"""A1: a page of 50 recipients of a list of a million, against the same page of a list of a thousand.

Each list is alone in a database of its own with an API process of its own, so that the baseline is what a small list
costs at its best. Pages are asked for all over a list, by their cursors. Beside them are measured, on both sides, a
status that one line in a hundred has, a search that every line meets, and a search that one line meets, for which a
request may look at 100 000 lines; and in the large database the pages of a short list beside the long one.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import asyncpg
import httpx2

from app.embedded.ports import free_port
from app.platform.pages import make_cursor
from tests.bench.errors import BenchError
from tests.bench.house import House, ready_at
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target
from tests.bench.processes import cpu_seconds, running

SIZES = {"small": (100_000, 3), "full": (1_000_000, 5)}
"""Lines of the long list, and runs of each side."""

SHORT = 1_000
LIMIT = 50
PAGES = 60
"""Pages that are asked for in a run, all over a list; each further question is asked a sixth as often."""


@dataclass(frozen=True, slots=True)
class Question:
    """A filter, and how many lines meet it in a list of so many."""

    name: str
    filter: Mapping[str, str]
    meet: Callable[[int], int]


ONE = Question("a search that one meets", {"q": "aase.900@"}, lambda lines: 1)
QUESTIONS = (
    Question("a status of one in 100", {"status": "blocked"}, lambda lines: lines // 100),
    Question("a search that all meet", {"q": "ødegård"}, lambda lines: lines),
    ONE,
)

_FILL = """
    WITH mailing AS (
        INSERT INTO mailing (name, subject, from_name, from_email, html) VALUES ('Høstnytt', '', '', '', '')
        RETURNING id
    )
    INSERT INTO recipient (mailing_id, seq, person_id, name, email, email_key, status, reason)
    SELECT mailing.id, n, n, 'Åse Ødegård ' || n, 'aase.' || n || '@example.com', 'aase.' || n || '@example.com',
           CASE WHEN n % 100 = 0 THEN 'blocked' ELSE 'ready' END, CASE WHEN n % 100 = 0 THEN 'no_consent' END
    FROM mailing, generate_series(1, $1::int) AS n
"""


class WrongPageError(BenchError):
    """A page does not hold what was asked for."""


@dataclass(frozen=True, slots=True)
class List:
    """A list, where its API answers, and cursors from all over it."""

    client: httpx2.AsyncClient
    lines: int
    mailing_id: int
    cursors: list[str]
    api: int
    """The process of the API."""

    async def pages(self) -> float:
        """Return the median of what a page takes, in microseconds."""
        return median([await self._ask({"cursor": cursor}, items=LIMIT) for cursor in self.cursors])

    async def filtered(self, question: Question) -> float:
        """Return the median of what a filtered page takes, in microseconds."""
        items = min(question.meet(self.lines), LIMIT)
        return median([await self._ask(question.filter, items=items) for _ in self.cursors[::6]])

    async def _ask(self, params: Mapping[str, str], *, items: int) -> float:
        path = f"/v1/mailings/{self.mailing_id}/recipients"
        began = time.perf_counter()
        answer = await self.client.get(path, params={"limit": str(LIMIT), **params})
        seconds = time.perf_counter() - began
        if answer.status_code != 200 or len(answer.json()["items"]) != items:
            raise WrongPageError(f"{params}: {answer.text[:500]}")
        return seconds * 1e6


async def measure(house: House, size: str) -> Measured:
    """Measure both sides in turn."""
    lines, runs = SIZES[size]
    return await measure_with(house, lines=lines, runs=runs)


async def measure_with(house: House, *, lines: int, runs: int, pages: int = PAGES) -> Measured:
    """Measure with a long list of so many lines."""
    address = house.values["database_url"].rsplit("/", 1)[0]
    admin = await asyncpg.connect(f"{address}/postgres")
    await admin.execute(f'CREATE DATABASE short TEMPLATE "{house.values["database_url"].rsplit("/", 1)[1]}"')
    await admin.close()
    measured: list[Run] = []
    async with AsyncExitStack() as opened:
        short = await opened.enter_async_context(
            _lists(house, "short", SHORT, pages=pages, database_url=f"{address}/short")
        )
        long = await opened.enter_async_context(_lists(house, "long", lines, SHORT, pages=pages))
        for _ in range(runs + 1):
            for side, lists in ((BASELINE, short), (OURS, long)):
                measured.append(await _run(house, side, lists))
    return Measured(measured[2:], {"lines": lines, "short": SHORT, "limit": LIMIT, "pages": pages})


@asynccontextmanager
async def _lists(house: House, name: str, *sizes: int, pages: int, **changes: str) -> AsyncIterator[list[List]]:
    """Fill lists in a database and run an API on it."""
    other = House(house.directory, house.postgres_pid, {**house.values, "port": str(free_port()), **changes})
    async with other.connection() as connection, other.client() as inside:
        known = [await _fill(connection, lines, pages=pages) for lines in sizes]
        await connection.execute("VACUUM ANALYZE")
        api = ready_at(
            other.settings.port, other.python(f"api-{name}", "app.cli", "api", rate_limit_per_minute="1000000")
        )
        with running(api, directory=house.directory) as [process]:
            url = f"http://127.0.0.1:{other.settings.port}"
            async with httpx2.AsyncClient(base_url=url, headers=inside.headers, timeout=60) as client:
                yield [List(client, *filled, process.pid) for filled in known]


async def _fill(connection: "asyncpg.Connection[Any]", lines: int, *, pages: int) -> tuple[int, int, list[str]]:
    await connection.execute(_FILL, lines)
    mailing_id: int = await connection.fetchval("SELECT max(id) FROM mailing")
    first: int = await connection.fetchval("SELECT min(id) FROM recipient WHERE mailing_id = $1", mailing_id)
    step = (lines - LIMIT) // pages
    return lines, mailing_id, [make_cursor(first + place * step) for place in range(pages)]


async def _run(house: House, side: str, lists: list[List]) -> Run:
    listed, began = lists[0], time.perf_counter()
    groups = {"api": listed.api, "postgres": house.postgres_pid}
    before = {name: cpu_seconds(pid) for name, pid in groups.items()}
    page = await listed.pages()
    cpu = {name: (cpu_seconds(pid) - before[name]) / len(listed.cursors) * 1e6 for name, pid in groups.items()}
    further = {f"{question.name} µs": await listed.filtered(question) for question in QUESTIONS}
    for beside in lists[1:]:
        further["a page of a short list beside it µs"] = await beside.pages()
        further[f"{ONE.name} in a short list beside it µs"] = await beside.filtered(ONE)
    return Run(side, page, time.perf_counter() - began, cpu, further=further)


TARGET = Target("A1", "a page of recipients, 1 k to 1 M", "µs", 1.2, measure, at_most=True)
