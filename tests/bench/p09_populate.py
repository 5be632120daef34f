"""P9: populating a list with every rule of D18-D24, against the plain INSERT … SELECT of the very same rows.

Both sides write the same rows with the same columns into `recipient`, with its indexes and the triggers of its tallies,
and commit. Ours finds out who they are: members of a selection, judged by address, blocked and erased addresses,
former employees, consent, subscription and duplicates. The baseline copies them from a table that holds them ready.
"""

import time
from typing import Any

import asyncpg

from app.platform.db import Database
from app.recipients.list_queries import ListRules
from app.recipients.service import update_list
from tests.bench.audience import add_audience
from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target
from tests.bench.processes import cpu_seconds

RUNS = 3
PERSONS = {"small": 100_000, "full": 1_000_000}

# One in a hundred meets each rule.
_RULES = """
    UPDATE person SET email_key = NULL WHERE id % 100 = 1;
    UPDATE person SET former_employee = true WHERE id % 100 = 2;
    UPDATE person SET email = 'info' || id / 1000 || '@example.com', email_key = 'info' || id / 1000 || '@example.com'
    WHERE id % 100 = 3;
    UPDATE consent_state SET given = false WHERE person_id % 100 = 4;
    UPDATE consent_state SET valid_until = now() - interval '1 day' WHERE person_id % 100 = 5;
    UPDATE subscription SET subscribed = false WHERE person_id % 100 = 6;
    INSERT INTO blocked_address (email, email_key, reason, origin)
    SELECT email, email_key, 'manual', 'bench' FROM person WHERE id % 100 = 7;
"""
_ADD_MAILING = """
    INSERT INTO mailing (name, subject, from_name, from_email, html, subscription_type_id)
    VALUES ('Høstnytt', '', '', '', '', $1) RETURNING id
"""
_COLUMNS = (
    "mailing_id, seq, person_id, company_id, name, email, email_key, status, reason, source_id, consent_id, "
    "subscribed_at"
)


class UnlikeListsError(BenchError):
    """The two sides did not make the same list, so comparing them means nothing."""


async def measure(house: House, size: str) -> Measured:
    """Measure both sides in turn."""
    return await measure_with(house, persons=PERSONS[size], runs=RUNS)


async def measure_with(house: House, *, persons: int, runs: int) -> Measured:
    """Measure on a fresh audience of so many persons."""
    database = Database.connect(house.settings, name="bench")
    measured: list[Run] = []
    try:
        async with house.connection() as connection:
            mailing_id, rules = await _prepare(connection, persons=persons)
            await _populate(database, mailing_id, rules)
            await connection.execute(f"CREATE TABLE bench_line AS SELECT {_COLUMNS} FROM recipient ORDER BY id")
            await connection.execute("VACUUM ANALYZE bench_line")
            counts = await _counts(connection)
            for _ in range(runs):
                for side in (BASELINE, OURS):
                    await connection.execute("TRUNCATE recipient, recipient_tally")
                    await connection.execute("CHECKPOINT")
                    began, cpu = time.monotonic(), cpu_seconds(house.postgres_pid)
                    if side is BASELINE:
                        await connection.execute(f"INSERT INTO recipient ({_COLUMNS}) SELECT * FROM bench_line")
                    else:
                        await _populate(database, mailing_id, rules)
                    seconds = time.monotonic() - began
                    each = (cpu_seconds(house.postgres_pid) - cpu) / persons * 1e6
                    measured.append(Run(side, seconds, seconds, {"postgres": each}))
                    if await _counts(connection) != counts:
                        raise UnlikeListsError(f"{side} made another list")
    finally:
        await database.close()
    return Measured(measured, {"persons": persons, "one_per_address": True, **counts})


async def _prepare(connection: "asyncpg.Connection[Any]", *, persons: int) -> tuple[int, ListRules]:
    type_id, selection_id = await add_audience(connection, persons=persons)
    await connection.execute(_RULES)
    await connection.execute("VACUUM ANALYZE")
    mailing_id = await connection.fetchval(_ADD_MAILING, type_id)
    await connection.execute(
        "INSERT INTO mailing_source (mailing_id, kind, selection_id) VALUES ($1, 'selection', $2)",
        mailing_id, selection_id,
    )  # fmt: skip
    return mailing_id, ListRules(subscription_type_id=type_id, one_per_address=True)


async def _populate(database: Database, mailing_id: int, rules: ListRules) -> None:
    async with database.begin() as session:
        await update_list(session, mailing_id=mailing_id, rules=rules)


async def _counts(connection: "asyncpg.Connection[Any]") -> dict[str, int]:
    rows = await connection.fetch("SELECT name, value FROM recipient_tally ORDER BY name")
    return {row["name"]: row["value"] for row in rows}


TARGET = Target("P9", "populate with all rules", "s", 1.5, measure, at_most=True)
