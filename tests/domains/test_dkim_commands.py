"""`budstikke dkim` at a terminal."""

import asyncio

import asyncpg
import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.conftest import SECRET


@pytest.fixture
def dkim(fresh_database, monkeypatch):
    """Run a command on a database of its own; DNS is a port where nobody answers."""
    for name, value in {
        "database_url": fresh_database, "redis_url": "redis://127.0.0.1:1/0", "smtp_url": "smtp://127.0.0.1:1",
        "public_url": "https://news.example.com", "secret_key": SECRET, "dns_servers": "127.0.0.1:1",
        "dns_timeout": "0.3",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"BUDSTIKKE_{name.upper()}", value)
    return lambda *words: CliRunner().invoke(cli, ["dkim", *words])


def test_keys_are_made_rotated_and_retired(dkim, fresh_database):
    made = dkim("create", "blåbær.no", "--algorithm", "rsa", "--algorithm", "ed25519")
    assert made.exit_code == 0, made.output
    rsa, record, ed25519, _ = made.stdout.splitlines()
    selector = rsa.split()[0]
    assert rsa.split()[1:] == ["rsa", "pending"]
    assert record.strip().startswith(f'{selector}._domainkey.xn--blbr-roah.no. IN TXT "v=DKIM1; k=rsa; p=MII')

    refused = dkim("activate", "blåbær.no", selector)
    assert refused.exit_code == 1
    assert "was not found" in refused.stderr
    assert f"{selector}  rsa  active" in dkim("activate", "blåbær.no", selector, "--force").stdout
    assert f"{selector}  rsa  retiring" in dkim("retire", "blåbær.no", selector).stdout
    assert f"{selector}  rsa  retired" in dkim("retire", "blåbær.no", selector, "--at-once").stdout
    assert ed25519.split()[0] in dkim("list", "blåbær.no").stdout

    checked = dkim("check", "blåbær.no")
    assert "DNS does not answer" in checked.stdout
    assert "blåbær.no is not approved." in checked.stdout
    assert asyncio.run(_actors(fresh_database)) == {"command-line"}


def test_what_cannot_be_done_is_said_in_a_sentence(dkim):
    missing = dkim("list", "example.com")
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    assert "budstikke dkim create example.com" in missing.stderr
    assert dkim("create", "me@example.com").exit_code == 1


async def _actors(database_url):
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT DISTINCT actor FROM audit_log WHERE entity = 'dkim_key'")
    finally:
        await connection.close()
    return {row["actor"] for row in rows}
