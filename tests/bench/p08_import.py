"""P8: a CSV file of persons through the API, against `psql \\copy` of the same rows into the same indexed table.

Ours uploads the file, and a worker detects how it is written, validates every row, matches it to the persons that
exist, writes it and reports what is wrong. The baseline gets those rows as finished columns. Where psql is missing,
asyncpg's COPY from the same file stands in for it; the settings say which one it was.
"""

import asyncio
import csv
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target
from tests.bench.processes import cpu_seconds, peak_rss_mb, run_program, running

SIZES = {"small": (30_000, 1), "full": (1_000_000, 3)}
"""Rows, and runs of each side."""

HEADINGS = ("Kontakt-ID", "Fornavn", "Etternavn", "E-post", "Mobil", "Kategori", "Språk", "By")
COLUMNS = (
    "external_id", "first_name", "last_name", "name", "email", "email_key", "cellphone", "category", "language", "city",
)  # fmt: skip
_FIRST = ("Kari", "Ola", "Åse", "Bjørg", "Linn", "Per", "Nils", "Ingrid", "Søren", "Jürgen")
_CITIES = ("Tromsø", "Bodø", "Oslo", "Ålesund", "Göteborg", "København", "Bremen", "Utrecht")


class WrongOutcomeError(BenchError):
    """The import did not do what the file asks for."""


@dataclass(frozen=True, slots=True)
class Files:
    """The same persons as an export of a CRM and as finished columns, and what must become of them."""

    export: Path
    columns: Path
    rows: int
    persons: int
    problems: int


def _persons(rows: int) -> Iterator[tuple[list[str], list[str] | None, bool]]:
    """Yield the row as exported, as columns (None: it repeats a person), and whether something is wrong with it."""
    for number in range(rows):
        again = number % 500 == 499  # the row says something new of the person 100 rows before
        who = number - 100 if again else number
        first, last, city = _FIRST[who % 10], f"Ødegård {who % 7919}", _CITIES[number % 8]
        key = f"{'kjaosbin'[who % 8]}.odegard{who}@mail{who % 500}.example.com"
        phone = f"{90_000_000 + who % 9_000_000}"
        bad = number % 100 == 50
        email = key.replace("@", " at ") if bad else key.replace("example", "Example")
        kind = f"Kunde {'ABC'[who % 3]}"
        exported = [f"CRM-{who}", first, last, email, f"{phone[:3]} {phone[3:5]} {phone[5:]}", kind, "norsk", city]
        finished = [
            f"CRM-{who}", first, last, f"{first} {last}", email if bad else key, "" if bad else key, f"+47{phone}",
            kind, "nb", city,
        ]  # fmt: skip
        yield exported, None if again else finished, bad


def write_files(directory: Path, rows: int) -> Files:
    """Write both files; one row in a hundred has an address that is none, one in five hundred repeats a person."""
    export, columns = directory / "export.csv", directory / "columns.csv"
    persons = problems = 0
    with export.open("w", encoding="utf-8", newline="") as ours, columns.open("w", encoding="utf-8") as theirs:
        exported, finished = csv.writer(ours, delimiter=";"), csv.writer(theirs, lineterminator="\n")
        exported.writerow(HEADINGS)
        for row, columns_of_it, bad in _persons(rows):
            exported.writerow(row)
            problems += bad
            if columns_of_it is not None:
                finished.writerow(columns_of_it)
                persons += 1
    return Files(export, columns, rows, persons, problems)


async def measure(house: House, size: str) -> Measured:
    """Measure both sides in turn, each on an empty address book; then once more what a file costs that is known."""
    rows, runs = SIZES[size]
    return await measure_with(house, rows=rows, runs=runs)


async def measure_with(house: House, *, rows: int, runs: int) -> Measured:
    """Measure so many runs of so many rows."""
    house = replace(house, values={**house.values, "upload_limit_mb": "512"})
    files = await asyncio.to_thread(write_files, house.directory, rows)
    psql = shutil.which("psql")
    worker = house.workers(1, smtp_url=house.values["smtp_url"])
    measured: list[Run] = []
    async with house.connection() as connection, house.client() as client:
        with running(*worker, directory=house.directory) as [process]:
            for _ in range(runs):
                await _empty(connection)
                measured.append(await _run_baseline(house, connection, files, psql))
                await _empty(connection)
                measured.append(await _run_ours(house, connection, client, files, worker=process.pid))
    settings = {"rows": rows, "baseline": "psql" if psql else "asyncpg", "octets": files.export.stat().st_size}
    return Measured(measured, settings)


async def _empty(connection: "asyncpg.Connection[Any]") -> None:
    await connection.execute("TRUNCATE person, import CASCADE")
    await connection.execute("CHECKPOINT")


async def _run_baseline(house: House, connection: "asyncpg.Connection[Any]", files: Files, psql: str | None) -> Run:
    before, start = cpu_seconds(house.postgres_pid), time.monotonic()
    if psql:
        copy = f"\\copy person ({', '.join(COLUMNS)}) FROM '{files.columns}' (FORMAT csv)"
        await run_program(psql, house.values["database_url"], "-X", "-v", "ON_ERROR_STOP=1", "-c", copy, within=600)
    else:
        await connection.copy_to_table("person", source=files.columns, columns=COLUMNS, format="csv")
    seconds = time.monotonic() - start
    cpu = {"postgres": (cpu_seconds(house.postgres_pid) - before) / files.rows * 1e6}
    return Run(BASELINE, seconds, seconds, cpu)


async def _run_ours(
    house: House, connection: "asyncpg.Connection[Any]", client: httpx2.AsyncClient, files: Files, *, worker: int
) -> Run:
    groups = {"worker": worker, "postgres": house.postgres_pid}
    before = {name: cpu_seconds(pid) for name, pid in groups.items()}
    start = time.monotonic()
    with files.export.open("rb") as file:
        answer = await client.post("/v1/imports", files={"file": ("export.csv", file)}, timeout=600)
    if answer.status_code != 202:
        raise WrongOutcomeError(f"The upload was answered {answer.status_code}: {answer.text[:500]}")
    uploaded = time.monotonic() - start
    operation = await _ended(connection, answer.json()["operation_id"])
    seconds = time.monotonic() - start
    await _check(connection, files, operation, import_id=answer.json()["id"])
    cpu = {name: (cpu_seconds(pid) - before[name]) / files.rows * 1e6 for name, pid in groups.items()}
    further = {"upload_s": uploaded, "import_s": seconds - uploaded}
    return Run(OURS, seconds, seconds, cpu, peak_rss_mb=peak_rss_mb([worker]), further=further)


async def _ended(connection: "asyncpg.Connection[Any]", operation_id: int) -> "asyncpg.Record":
    async with asyncio.timeout(1200):
        while True:
            row = await connection.fetchrow("SELECT state, result FROM operation WHERE id = $1", operation_id)
            if row and row["state"] not in ("waiting", "running"):
                return row
            await asyncio.sleep(0.05)


async def _check(
    connection: "asyncpg.Connection[Any]", files: Files, operation: "asyncpg.Record", *, import_id: int
) -> None:
    persons = await connection.fetchval("SELECT count(*) FROM person WHERE name <> ''")
    problems = await connection.fetchval("SELECT count(*) FROM import_problem WHERE import_id = $1", import_id)
    found = (operation["state"], persons, problems)
    if found != ("succeeded", files.persons, files.problems):
        raise WrongOutcomeError(f"Wanted {files.persons} persons and {files.problems} problems, found {found}")


TARGET = Target("P8", "import of CSV rows through the API", "s", 4.0, measure, at_most=True)
