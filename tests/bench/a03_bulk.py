"""A3: persons created and changed in bulk over HTTP, against COPY of the same rows into the same indexed table.

Ours sends 10 000 persons per request to an API process, first new ones, then the same ones changed; each is validated,
its address and number are brought to the form they are kept in, its company and extra field are checked, and it has an
outcome of its own. A stream of the same lines is measured beside it. The baseline gets finished columns, 10 000 rows in
a transaction. `make bench ONLY=A3` prints persons per second: 10 000 are asked for.
"""

import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2

from tests.bench.errors import BenchError
from tests.bench.house import House, ready_at
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target
from tests.bench.processes import cpu_seconds, peak_rss_mb, running

SIZES = {"small": (20_000, 1), "full": (100_000, 3)}
"""Persons, and runs of each side."""

IN_REQUEST = 10_000
COMPANIES = 200
COLUMNS = (
    "external_id", "first_name", "last_name", "name", "title", "email", "email_key", "cellphone", "city", "country",
    "language", "company_id", "extra",
)  # fmt: skip
_FIRST = ("Kari", "Ola", "Åse", "Bjørg", "Linn", "Per", "Nils", "Ingrid", "Søren", "Jürgen")


class WrongOutcomeError(BenchError):
    """A request did not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What one way of sending all persons took."""

    seconds: float
    cpu_us: dict[str, float]


def person(number: int, *, title: str) -> dict[str, Any]:
    """Return a person as a CRM sends one: addresses and numbers as people typed them."""
    first, last = _FIRST[number % 10], f"Ødegård {number % 7919}"
    phone = f"{90_000_000 + number % 9_000_000}"
    return {
        "external_id": f"CRM-{number}", "first_name": first, "last_name": last, "title": title,
        "email": f"{'kjaosbin'[number % 8]}.odegard{number}@Mail{number % 500}.example.com",
        "cellphone": f"{phone[:3]} {phone[3:5]} {phone[5:]}", "city": "Tromsø", "country": "NO", "language": "nb",
        "company_external_id": f"C-{number % COMPANIES}", "extra": {"shoe_size": 36 + number % 10},
    }  # fmt: skip


def row(number: int, company_ids: Sequence[int]) -> tuple[Any, ...]:
    """Return the same person as finished columns."""
    told = person(number, title="Engineer")
    key = told["email"].lower()
    return (
        told["external_id"], told["first_name"], told["last_name"], f"{told['first_name']} {told['last_name']}",
        told["title"], key, key, f"+47{told['cellphone'].replace(' ', '')}", told["city"], told["country"],
        told["language"], company_ids[number % COMPANIES], json.dumps(told["extra"]),
    )  # fmt: skip


async def measure(house: House, size: str) -> Measured:
    """Measure both sides in turn, each on an empty address book."""
    persons, runs = SIZES[size]
    return await measure_with(house, persons=persons, runs=runs)


async def measure_with(house: House, *, persons: int, runs: int, in_request: int = IN_REQUEST) -> Measured:
    """Measure so many runs of so many persons."""
    api = ready_at(house.settings.port, house.python("api", "app.cli", "api", rate_limit_per_minute="100000"))
    url = f"http://127.0.0.1:{house.settings.port}"
    measured: list[Run] = []
    async with house.connection() as connection, house.client() as inside:
        await inside.post("/v1/extra-fields", json={"owner": "person", "name": "shoe_size", "kind": "number"})
        companies = [{"external_id": f"C-{number}", "name": f"Company {number}"} for number in range(COMPANIES)]
        made = (await inside.post("/v1/companies/bulk", json={"items": companies})).json()
        company_ids = [item["id"] for item in made["items"]]
        with running(api, directory=house.directory) as [process]:
            async with httpx2.AsyncClient(base_url=url, headers=inside.headers, timeout=600) as client:
                for _ in range(runs):
                    await _empty(connection)
                    rows = [row(number, company_ids) for number in range(persons)]
                    measured.append(await _run_baseline(house, connection, rows, in_request))
                    await _empty(connection)
                    measured.append(await _run_ours(house, connection, client, persons, in_request, api=process.pid))
    return Measured(measured, {"persons": persons, "in_request": in_request, "companies": COMPANIES})


async def _empty(connection: "asyncpg.Connection[Any]") -> None:
    await connection.execute("TRUNCATE person CASCADE")
    await connection.execute("CHECKPOINT")


async def _run_baseline(
    house: House, connection: "asyncpg.Connection[Any]", rows: Sequence[tuple[Any, ...]], in_request: int
) -> Run:
    before, start = cpu_seconds(house.postgres_pid), time.monotonic()
    for first in range(0, len(rows), in_request):
        await connection.copy_records_to_table("person", records=rows[first : first + in_request], columns=COLUMNS)
    seconds = time.monotonic() - start
    cpu = {"postgres": (cpu_seconds(house.postgres_pid) - before) / len(rows) * 1e6}
    return Run(BASELINE, len(rows) / seconds, seconds, cpu)


async def _run_ours(
    house: House, connection: "asyncpg.Connection[Any]", client: httpx2.AsyncClient, persons: int, in_request: int,
    *, api: int,
) -> Run:  # fmt: skip
    groups = {"api": api, "postgres": house.postgres_pid}
    created = await _send(client, groups, _bodies(persons, in_request, title="Engineer"), persons, what="created")
    changed = await _send(client, groups, _bodies(persons, in_request, title="Manager"), persons, what="updated")
    titles = await connection.fetchval("SELECT count(*) FROM person WHERE title = 'Manager' AND email_key IS NOT NULL")
    if titles != persons:
        raise WrongOutcomeError(f"{titles} of {persons} persons have what was sent last")
    await _empty(connection)
    streamed = await _stream(client, groups, persons)
    seconds = created.seconds + changed.seconds
    cpu = {name: (created.cpu_us[name] + changed.cpu_us[name]) / 2 for name in groups}
    further = {
        "created_per_s": persons / created.seconds, "updated_per_s": persons / changed.seconds,
        "streamed_per_s": persons / streamed.seconds, "create_us": sum(created.cpu_us.values()),
        "update_us": sum(changed.cpu_us.values()), "stream_us": sum(streamed.cpu_us.values()),
    }  # fmt: skip
    return Run(OURS, 2 * persons / seconds, seconds, cpu, peak_rss_mb=peak_rss_mb([api]), further=further)


def _bodies(persons: int, in_request: int, *, title: str) -> list[bytes]:
    return [
        json.dumps({"items": [person(number, title=title) for number in range(first, first + in_request)]}).encode()
        for first in range(0, persons, in_request)
    ]


async def _send(
    client: httpx2.AsyncClient, groups: dict[str, int], bodies: list[bytes], persons: int, *, what: str
) -> Sent:
    before, start = {name: cpu_seconds(pid) for name, pid in groups.items()}, time.monotonic()
    answers = [
        await client.post("/v1/persons/bulk", content=body, headers={"Content-Type": "application/json"})
        for body in bodies
    ]
    seconds = time.monotonic() - start
    cpu = {name: (cpu_seconds(pid) - before[name]) / persons * 1e6 for name, pid in groups.items()}
    done = sum(answer.json().get(what, 0) for answer in answers)
    if done != persons:
        raise WrongOutcomeError(f"{done} of {persons} persons {what}: {answers[-1].text[:500]}")
    return Sent(seconds, cpu)


async def _stream(client: httpx2.AsyncClient, groups: dict[str, int], persons: int) -> Sent:
    lines = [json.dumps(person(number, title="Engineer")).encode() + b"\n" for number in range(persons)]
    pieces = [b"".join(lines[first : first + 100]) for first in range(0, persons, 100)]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    before, start = {name: cpu_seconds(pid) for name, pid in groups.items()}, time.monotonic()
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await client.post("/v1/persons/bulk/stream", content=body(), headers=headers)
    seconds = time.monotonic() - start
    cpu = {name: (cpu_seconds(pid) - before[name]) / persons * 1e6 for name, pid in groups.items()}
    end = json.loads(answer.content.splitlines()[-1])
    if end != {"done": True, "created": persons, "updated": 0, "failed": 0}:
        raise WrongOutcomeError(f"The stream ended with {end}")
    return Sent(seconds, cpu)


TARGET = Target("A3", "bulk upsert of persons", "persons/s", 0.2, measure)
