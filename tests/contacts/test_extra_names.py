"""The migration that declares the extra fields which persons and companies have already."""

import asyncio
import json

import asyncpg
from alembic import command

from tests.test_migrations import configured

PERSONS = [
    {"size": 38, "vip": True, "plan": "A", "code": "x"},
    {"size": 38.5, "vip": False, "code": 12},
    {"code": True},
    {},
]


async def _fill(url: str) -> None:
    sql = await asyncpg.connect(url)
    for extra in PERSONS:
        await sql.execute("INSERT INTO person (name, extra) VALUES ('Kari', $1)", json.dumps(extra))
    await sql.execute("""INSERT INTO company (name, extra) VALUES ('Nordlys', '{"size": "big"}')""")
    await sql.close()


async def _read(url: str) -> tuple[dict, list]:
    sql = await asyncpg.connect(url)
    fields = {(row["owner"], row["name"]): row["kind"] for row in await sql.fetch("SELECT * FROM extra_field")}
    extras = [json.loads(row["extra"]) for row in await sql.fetch("SELECT extra FROM person ORDER BY id")]
    await sql.close()
    return fields, extras


def test_names_in_use_are_declared_by_the_kind_of_their_values(fresh_database):
    config = configured(fresh_database)
    command.downgrade(config, "audience")
    asyncio.run(_fill(fresh_database))
    command.upgrade(config, "head")
    fields, extras = asyncio.run(_read(fresh_database))
    assert fields == {
        ("person", "size"): "number", ("person", "vip"): "boolean", ("person", "plan"): "text",
        ("person", "code"): "text", ("company", "size"): "text",
    }  # fmt: skip
    assert extras == [
        {"size": 38, "vip": True, "plan": "A", "code": "x"},
        {"size": 38.5, "vip": False, "code": "12"},
        {"code": "true"},
        {},
    ], "values of several kinds under one name become texts"
