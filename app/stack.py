"""The whole service as a tree of processes: what `budstikke up` and the demo start.

With no servers configured, PostgreSQL, Valkey and the mail catcher are embedded; with servers configured, only our own
processes start.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.embedded.catcher import make_maildir
from app.embedded.ports import free_port, listening
from app.embedded.postgres import running_postgres_url
from app.embedded.process import Child
from app.embedded.supervisor import Supervisor
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.settings import Settings, load_settings, servers_are_configured

DEFAULT_PORT = 8000
RUNNING = "running.json"  # the settings of the embedded servers, for commands beside a running `up`


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and where. `admin_key` is set when it was made just now."""

    url: str
    settings: Settings
    admin_key_file: Path
    admin_key: str | None
    maildir: Path | None
    workers: tuple[Child, ...]
    supervisor: Supervisor


@contextmanager
def running_stack(data_dir: Path, *, port: int | None = None) -> Iterator[Stack]:
    """Start everything, yield it ready, and stop it in reverse order.

    Raises EmbeddedError when something cannot be started, pydantic's ValidationError for settings that are missing.
    Must run in the main thread (see `embedded.process`).
    """
    embedded = not servers_are_configured()
    with Supervisor(data_dir) as supervisor:
        environment = _embedded(supervisor, port=port) if embedded else {}
        settings = _settings(environment)
        if embedded:
            write_private(supervisor.data_dir / RUNNING, json.dumps(environment))
        supervisor.run(_child("migrate", "app.cli", "migrate", env=environment))
        key_file = supervisor.data_dir / "admin-key"
        admin_key = _first_admin_key(settings, key_file) if embedded else None
        workers = tuple(_child(f"worker-{n + 1}", "workers", env=environment) for n in range(os.cpu_count() or 1))
        supervisor.start(_api(settings, environment), _inbound(settings, environment), *workers)
        yield Stack(
            url=f"http://{settings.host}:{settings.port}",
            settings=settings,
            admin_key_file=key_file,
            admin_key=admin_key,
            maildir=settings.catcher_maildir,
            workers=workers,
            supervisor=supervisor,
        )


def _child(name: str, module: str, *arguments: str, env: Mapping[str, str]) -> Child:
    return Child(name=name, argv=[sys.executable, "-m", module, *arguments], env=env)


def _api(settings: Settings, env: Mapping[str, str]) -> Child:
    argv = [sys.executable, "-m", "app.cli", "api"]
    return Child(name="api", argv=argv, env=env, ready=lambda: listening(settings.port), ready_within=60)


def _inbound(settings: Settings, env: Mapping[str, str]) -> Child:
    argv = [sys.executable, "-m", "app.cli", "inbound"]
    return Child(name="inbound", argv=argv, env=env, ready=lambda: listening(settings.inbound_port), ready_within=60)


def _embedded(supervisor: Supervisor, *, port: int | None) -> dict[str, str]:
    """Start the embedded servers and return the settings that point to them; what the environment sets stays."""
    data = supervisor.data_dir
    postgres, valkey, catcher = supervisor.postgres(), supervisor.valkey(), supervisor.catcher()
    maildir = data / "mail"
    make_maildir(maildir)
    api_port = port or int(os.environ.get("BUDSTIKKE_PORT", DEFAULT_PORT))
    chosen = {
        "PORT": str(api_port),
        "PUBLIC_URL": f"http://127.0.0.1:{api_port}",
        "BOUNCE_DOMAIN": "bounces.budstikke.test",
        "INBOUND_PORT": str(free_port()),
        "SECRET_KEY": _secret(data / "secret-key"),
    }
    servers = {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "SMTP_URL": catcher.url,
        "DATA_DIR": str(data),
        "CATCHER_MAILDIR": str(maildir),
    }
    defaults = {name: os.environ.get(f"BUDSTIKKE_{name}", value) for name, value in chosen.items()} | servers
    if port is not None:
        defaults |= {"PORT": str(port), "PUBLIC_URL": chosen["PUBLIC_URL"]}
    return {f"BUDSTIKKE_{name}": value for name, value in defaults.items()}


def _settings(environment: Mapping[str, str]) -> Settings:
    if not environment:
        return load_settings()
    return Settings(**{name.removeprefix("BUDSTIKKE_").lower(): value for name, value in environment.items()})  # type: ignore[arg-type]


def running_settings(data_dir: Path) -> Settings | None:
    """Return the settings of the embedded stack that runs on the data directory, or None when none does."""
    file = data_dir / RUNNING
    if running_postgres_url(data_dir) is None or not file.exists():
        return None
    return _settings(json.loads(file.read_text(encoding="utf-8")))


def _secret(file: Path) -> str:
    """Return the embedded mode's secret, made at the first start: links of yesterday must work today."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(48))
    return file.read_text(encoding="ascii").strip()


def _first_admin_key(settings: Settings, file: Path) -> str | None:
    """Make an admin key at the first start, and keep it where only this user reads it."""
    if file.exists():
        return None
    admin_key = asyncio.run(_make_admin_key(settings))
    write_private(file, admin_key + "\n")
    return admin_key


async def _make_admin_key(settings: Settings) -> str:
    database = Database.connect(settings, name="up")
    try:
        async with database.begin() as session:
            return await create_api_key(session, name="admin", scopes=[Scope.ADMIN])
    finally:
        await database.close()


def write_private(file: Path, content: str) -> None:
    """Write a file that only its owner can read; complete or not there."""
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(content)
    new.rename(file)
