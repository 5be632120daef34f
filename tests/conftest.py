"""Real servers for tests: one PostgreSQL for the run, one outer transaction per test."""

import asyncio
import atexit
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx2
import hypothesis
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.embedded.postgres import start_postgres
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database, driver_url
from app.platform.settings import Settings
from app.platform.tokens import erasure_key

ROOT = Path(__file__).parent.parent

# Wherever people work, property tests look at new examples each time. In CI they look at the same ones for the same
# code, so that a change is judged by what it changed. Time is no verdict on a shared machine.
hypothesis.settings.register_profile("work", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "work")
_DATA = TemporaryDirectory(prefix="budstikke-tests-", ignore_cleanup_errors=True)  # a directory for each database
atexit.register(_DATA.cleanup)
SECRET = "a secret for tests, long enough to be taken"


def settings_for(database_url: str, **changes) -> Settings:
    """Return settings for a test; servers that it does not use point nowhere."""
    known = {
        "database_url": database_url,
        "redis_url": SecretStr("redis://127.0.0.1:1/0"),
        "smtp_url": SecretStr("smtp://127.0.0.1:1"),
        "public_url": "https://news.example.com",
        "secret_key": SecretStr(SECRET),
        "machine_seconds": 0.0,
        "public_limits": 0.0,  # all tests come from one address
        "data_dir": Path(_DATA.name) / hashlib.sha256(database_url.encode()).hexdigest()[:16],
    }
    return Settings(**{**known, **changes})


def migrate(database_url: str) -> None:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", database_url)
    command.upgrade(config, "head")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory) -> Iterator[str]:
    """A migrated database that tests leave as they found it."""
    server = start_postgres(tmp_path_factory.mktemp("data"), durable=False)
    try:
        migrate(server.url)
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def fresh_database(postgres_url) -> Iterator[str]:
    """A migrated database of the test's own, for tests whose processes commit for real."""
    name = f"t{next(_numbers)}"
    address = postgres_url.rsplit("/", 1)[0]
    asyncio.run(_copy_database(f"{address}/postgres", name, template=postgres_url.rsplit("/", 1)[1]))
    return f"{address}/{name}"


_numbers = iter(range(1, 1_000_000))


async def _copy_database(admin_url: str, name: str, *, template: str) -> None:
    connection = await asyncpg.connect(admin_url)
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    await connection.close()


@pytest.fixture
def settings(postgres_url) -> Settings:
    return settings_for(postgres_url)


@pytest.fixture
async def database(postgres_url) -> AsyncIterator[Database]:
    """The database, inside an outer transaction that is rolled back; the app's own commits are savepoints in it."""
    engine = create_async_engine(
        driver_url(postgres_url),
        poolclass=NullPool,
        connect_args={"server_settings": {"budstikke.erasure_key": erasure_key(SECRET)}},
    )
    async with engine.connect() as connection:
        outer = await connection.begin()
        yield Database(connection)
        await outer.rollback()
    await engine.dispose()


@pytest.fixture
async def session(database):
    async with database.begin() as session:
        yield session


@pytest.fixture
def app(settings, database) -> FastAPI:
    return create_app(settings, database=database)


@pytest.fixture
async def client(app, database) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API with an admin key."""
    async with database.begin() as session:
        api_key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {api_key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> list[Path]:
    """A self-signed certificate for 127.0.0.1, and its key: their files."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return [certificate, key]
