"""A database and a worker that imports, for tests."""

import asyncio
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from app.audience import imports
from app.audience.import_schemas import ImportFields
from app.platform.db import Database
from app.platform.outbox import Job
from workers.context import Context, run_job
from workers.jobs.imports import expire_import, run_import

DATA = Path(__file__).parent.parent / "data"
HEADINGS = "Kontakt-ID;Fornavn;Etternavn;E-post;Mobil;Firma;Samtykke;Nyhetsbrev\n"
KARI = "1;Kari;Nordmann;kari@nordlys.example;91234567;Nordlys;ja;1\n"


class Memory:
    """A file as an upload offers it."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    async def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


@dataclass
class House:
    """A database and a worker's context, and what is asked about them."""

    database: Database
    context: Context

    async def start(self, content: bytes, *, name: str = "persons.csv", **fields) -> int:
        async with self.database.begin() as session:
            started = await imports.start_import(
                session, file_name=name, source=Memory(content), limit=1 << 26, fields=ImportFields(**fields)
            )
            return started.id

    async def run(self) -> None:
        """Run the imports that are due."""
        due = "SELECT id FROM outbox WHERE failed_at IS NULL AND due_at <= now() AND job LIKE 'import.%' ORDER BY id"
        for (job_id,) in await self.rows(due):
            await run_job(self.context, {Job.IMPORT_RUN: run_import, Job.IMPORT_EXPIRE: expire_import}, job_id)

    async def bring_in(self, content: bytes | str, **more) -> "Counted":
        octets = content.encode() if isinstance(content, str) else content
        import_id = await self.start(octets, **more)
        await self.run()
        return await self.counted(import_id)

    async def rows(self, query: str, **values) -> list[tuple]:
        async with self.database.begin() as session:
            return [tuple(row) for row in await session.exec(text(query), params=values)]

    async def one(self, query: str, **values):
        [(value,)] = await self.rows(query, **values)
        return value

    async def wait_for(self, query: str, **values) -> None:
        async with asyncio.timeout(30):
            while not await self.one(query, **values):  # noqa: ASYNC110 - what is waited for is in the database
                await asyncio.sleep(0.005)

    async def counted(self, import_id: int) -> "Counted":
        [row] = await self.rows(
            "SELECT i.rows, i.created, i.updated, i.rejected, o.state, o.result, o.error, i.detected, i.file_id, "
            "o.done FROM import AS i JOIN operation AS o ON o.id = i.operation_id WHERE i.id = :id",
            id=import_id,
        )
        problems = await self.rows(
            "SELECT row_number, field, code, rejected FROM import_problem WHERE import_id = :id ORDER BY id",
            id=import_id,
        )
        return Counted(*row, problems)


@dataclass
class Counted:
    rows: int
    created: int
    updated: int
    rejected: int
    state: str
    result: dict | None
    error: dict | None
    detected: dict | None
    file_id: int | None
    done: int
    problems: list[tuple]

    @property
    def codes(self) -> Counter:
        return Counter(code for _, _, code, _ in self.problems)
