"""`budstikke doctor`: is everything the service needs there, and what to do where it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.delivery.account_models import SendingAccount
from app.delivery.account_queries import all_accounts
from app.delivery.accounts import smtp_account
from app.delivery.replies import Outcome
from app.delivery.smtp.account import Pipelining, SmtpAccount, SmtpUrlError, parse_smtp_url
from app.delivery.smtp.connection import probe
from app.platform.db import DATABASE_AWAY, Database
from app.platform.sealed import SealBrokenError
from app.platform.settings import Settings

WITHIN = 10.0  # seconds for each look
OLDEST_POSTGRES = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, what was seen, and what to do."""

    subject: str
    well: bool
    seen: str
    advice: str = ""


async def examine(settings: Settings, *, alembic: Config) -> list[Finding]:
    """Look at database, Redis, SMTP server, sending accounts and settings, all at once."""
    looks = (
        _look("database", lambda: _database(settings, alembic)),
        _look("redis", lambda: _redis(settings)),
        _look("smtp", lambda: _smtp(settings)),
    )
    findings, accounts = await asyncio.gather(asyncio.gather(*looks), _accounts(settings))
    return [*findings, *accounts, *_settings(settings)]


async def _look(subject: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await asyncio.wait_for(look(), WITHIN)
    except TimeoutError:
        return Finding(subject, well=False, seen=f"no answer within {WITHIN:.0f} s", advice="Is a firewall in between?")


async def _database(settings: Settings, alembic: Config) -> Finding:
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=WITHIN / 2)
    except (OSError, asyncpg.PostgresError) as error:
        advice = "Check BUDSTIKKE_DATABASE_URL, and that PostgreSQL runs and lets this user in."
        return Finding("database", well=False, seen=f"{type(error).__name__}: {error}", advice=advice)
    try:
        version = connection.get_server_version().major
        present = await connection.fetchval("SELECT to_regclass('alembic_version')")
        revision = await connection.fetchval("SELECT version_num FROM alembic_version") if present else None
    finally:
        await connection.close()
    if version < OLDEST_POSTGRES:
        advice = f"Use PostgreSQL {OLDEST_POSTGRES} or newer."
        return Finding("database", well=False, seen=f"PostgreSQL {version}", advice=advice)
    head = ScriptDirectory.from_config(alembic).get_current_head()
    if revision != head:
        seen = f"PostgreSQL {version}, schema {revision or 'empty'}, the code needs {head}"
        return Finding("database", well=False, seen=seen, advice="Run: budstikke migrate")
    return Finding("database", well=True, seen=f"PostgreSQL {version}, schema {revision}")


async def _redis(settings: Settings) -> Finding:
    client = Redis.from_url(settings.redis_url.get_secret_value())
    try:
        version = (await client.info("server"))["redis_version"]
    except (RedisError, OSError) as error:
        advice = "Check BUDSTIKKE_REDIS_URL, and that Redis or Valkey runs."
        return Finding("redis", well=False, seen=f"{type(error).__name__}: {error}", advice=advice)
    finally:
        await client.aclose()
    return Finding("redis", well=True, seen=f"Redis protocol {version}")


async def _smtp(settings: Settings) -> Finding:
    try:
        account = parse_smtp_url(settings.smtp_url.get_secret_value())
    except SmtpUrlError as error:
        return Finding("smtp", well=False, seen=str(error), advice="Correct BUDSTIKKE_SMTP_URL.")
    return await _server("smtp", account)


async def _server(subject: str, account: SmtpAccount) -> Finding:
    seen = await probe(account)
    if seen.failure is not None:
        fault = seen.failure.outcome is Outcome.SENDER_FAULT
        advice = "Check user, password and certificate." if fault else "Is the server up, and the port open?"
        return Finding(subject, well=False, seen=seen.failure.text, advice=advice)
    level = seen.pipelining or Pipelining.OFF
    return Finding(subject, well=True, seen=f"{account.host}:{account.port}, pipelining {level.value}")


async def _accounts(settings: Settings) -> list[Finding]:
    """Try each sending account that is enabled; a database that is away has a finding of its own."""
    database = Database.connect(settings, name="doctor")
    try:
        async with database.begin() as session:
            rows = [account for account, _ in await all_accounts(session) if account.enabled]
    except DATABASE_AWAY:  # or it is empty: not migrated yet
        return []
    finally:
        await database.close()
    return await asyncio.gather(*(_account(row, settings) for row in rows))


async def _account(row: SendingAccount, settings: Settings) -> Finding:
    subject = f"sending account {row.name}"
    try:
        account = smtp_account(row, settings=settings)
    except SealBrokenError as error:
        return Finding(subject, well=False, seen=str(error), advice="Give the account its password again.")
    return await _look(subject, lambda: _server(subject, account))


def _settings(settings: Settings) -> list[Finding]:
    findings = [
        Finding("secret key", well=True, seen="set"),
        Finding("return paths", well=True, seen=f"b+…@{settings.return_domain} on port {settings.inbound_port}"),
    ]
    embedded = settings.catcher_maildir is not None
    if settings.public_url.startswith("http://") and not embedded:
        advice = "Mailbox providers ask for https in one-click unsubscribe (RFC 8058): set BUDSTIKKE_PUBLIC_URL."
        findings.append(Finding("public URL", well=False, seen=settings.public_url, advice=advice))
    else:
        findings.append(Finding("public URL", well=True, seen=settings.public_url))
    return findings
