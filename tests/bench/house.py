"""A fresh house for each target: PostgreSQL with durable commits, Valkey, and the processes of the service.

As in production each is a process of its own. PostgreSQL's data lie under `var/bench`, on the disk that real data would
lie on: /tmp may be memory, where durable commits cost nothing.
"""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx2

from app.embedded.ports import free_port, listening
from app.embedded.postgres import start_postgres
from app.embedded.process import Child, log_file, run
from app.embedded.valkey import start_valkey
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.settings import Settings

ROOT = Path(__file__).parent.parent.parent
OUTPUT = ROOT / "var" / "bench"


@dataclass(frozen=True, slots=True)
class House:
    """A migrated, empty database and what the service's processes need to run on it."""

    directory: Path
    postgres_pid: int
    values: Mapping[str, str]
    """The settings by name, as text."""

    @property
    def settings(self) -> Settings:
        """The settings, for calls of services in this process."""
        return Settings(**self.values)  # type: ignore[arg-type]

    def python(self, name: str, *module: str, **changes: str) -> Child:
        """Return a Python process of the project; `changes` are settings of its own."""
        environment = {f"BUDSTIKKE_{key.upper()}": value for key, value in {**self.values, **changes}.items()}
        return Child(name=name, argv=[sys.executable, "-m", *module], env=environment, cwd=ROOT)

    def workers(self, number: int, *, smtp_url: str, first: int = 1) -> list[Child]:
        """Return worker processes that send to the given server, numbered from `first`."""
        return [self.python(f"worker-{first + index}", "workers", smtp_url=smtp_url) for index in range(number)]

    def last_words(self, name: str) -> str:
        """Return the end of a process's log."""
        return log_file(self.directory, name).read_text(encoding="utf-8", errors="replace")[-1000:].strip()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """Open a connection for rows that a measurement needs, and for looking at its outcome."""
        connection = await asyncpg.connect(self.values["database_url"])
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Open a client with an admin key, of an API within this process: what it does is not measured."""
        database = Database.connect(self.settings, name="bench")
        try:
            async with database.begin() as session:
                key = await create_api_key(session, name="bench", scopes=[Scope.ADMIN])
            transport = httpx2.ASGITransport(create_app(self.settings, database=database))
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx2.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
                yield client
        finally:
            await database.close()


@contextmanager
def fresh_house(*, durable: bool = True) -> Iterator[House]:
    """Run PostgreSQL and Valkey on a new directory, migrated, until the block is left; then nothing is left of it.

    Call in the main thread (see `embedded.process`). Raises EmbeddedError when a server does not start.
    """
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=OUTPUT, prefix="house-") as name:
        directory = Path(name)
        postgres = start_postgres(directory, durable=durable)
        try:
            valkey = start_valkey(directory)
            try:
                port = free_port()
                house = House(
                    directory=directory,
                    postgres_pid=postgres.pid,
                    values={
                        "database_url": postgres.url,
                        "redis_url": valkey.url,
                        "smtp_url": "smtp://127.0.0.1:1",
                        "public_url": "https://news.example.com",
                        "secret_key": "a secret for measurements, kept nowhere",
                        "data_dir": str(directory),
                        "port": str(port),
                        "log_level": "WARNING",
                    },
                )
                run(house.python("migrate", "app.cli", "migrate"), log=log_file(directory, "migrate"))
                yield house
            finally:
                valkey.stop()
        finally:
            postgres.stop()


def ready_at(port: int, child: Child) -> Child:
    """Return the child as one that is ready when something listens at the port."""
    return Child(
        name=child.name, argv=child.argv, env=child.env, cwd=child.cwd, ready=lambda: listening(port), ready_within=60
    )
