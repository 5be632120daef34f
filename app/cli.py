"""`budstikke`: up, demo, api, worker, inbound, migrate, api-key, dkim, openapi, catalogues, doctor."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
import uvloop
from alembic import command
from alembic.config import Config
from pydantic import ValidationError

from app import openapi
from app.bounces.inbound import serve
from app.demo.errors import DemoError
from app.demo.run import run_demo
from app.dkim_commands import commands as dkim_commands
from app.doctor import examine
from app.embedded.errors import EmbeddedError
from app.embedded.mailpage import mail_page
from app.letterhead.gathering import untranslated, write_catalogues
from app.letterhead.languages import LANGUAGES
from app.main import create_app
from app.platform.actor import Actor, acts
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.settings import Settings, load_settings, servers_are_configured
from app.platform.telemetry import set_up_logging
from app.platform.tokens import TokenKey
from app.stack import running_settings, running_stack
from app.verdict_commands import commands as verdict_commands

ROOT = Path(__file__).parent.parent
DATA_DIR = Path("var/data")
SWITCH_WITHIN = 0.0001  # seconds; 5 ms by default, which the thread that syncs clicks to disk would wait for its turn

cli = typer.Typer(help="The mailing service behind a CRM's marketing screens.", no_args_is_help=True)

cli.add_typer(dkim_commands, name="dkim")
cli.add_typer(verdict_commands, name="verdicts")


@cli.callback()
def begin(context: typer.Context) -> None:
    """Tell groups of commands how to find the settings: only some of them need any."""
    context.obj = _settings_here


def main() -> None:
    """Run the command line; what can go wrong is said in a sentence, not a traceback."""
    try:
        cli()
    except (EmbeddedError, ValidationError) as error:
        typer.echo(_explain(error), err=True)
        sys.exit(1)


def _explain(error: EmbeddedError | ValidationError) -> str:
    if isinstance(error, EmbeddedError):
        return str(error)
    lines = ["The settings are incomplete:"]
    for item in error.errors(include_input=False):
        name = "BUDSTIKKE_" + str(item["loc"][0]).upper() if item["loc"] else "settings"
        wanted = Settings.model_fields.get(str(item["loc"][0]).lower()) if item["loc"] else None
        hint = f" ({wanted.description})" if wanted and wanted.description else ""
        lines.append(f"  {name}: {item['msg']}{hint}")
    return "\n".join(lines)


def _data_dir() -> Path:
    return Path(os.environ.get("BUDSTIKKE_DATA_DIR", DATA_DIR))


def _alembic(database_url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


@cli.command()
def up() -> None:
    """Run everything in the foreground; with no servers configured, embedded ones are started."""
    with running_stack(_data_dir()) as stack:
        typer.echo(f"\nBudstikke answers at {stack.url}   (API: {stack.url}/docs)")
        if stack.maildir is not None:
            typer.echo(f"Caught mail:        {stack.url}/dev/mail")
            typer.echo(f"Admin key:          {stack.admin_key or 'as before'}   (in {stack.admin_key_file})")
        typer.echo("Stop with Ctrl-C.\n")
        stack.supervisor.wait()


@cli.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end")] = False,  # noqa: FBT002
    into: Annotated[Path | None, typer.Option(help="Where its data and summary go; var/demo by default")] = None,
) -> None:
    """Play a whole mailing on real input, from import to statistics, and check that the numbers add up."""
    try:
        run_demo(ROOT, home=into, keep=keep)
    except DemoError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@cli.command()
def api() -> None:
    """Run the API."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    mounts = {"/dev/mail": mail_page(settings.catcher_maildir)} if settings.catcher_maildir else None
    sys.setswitchinterval(SWITCH_WITHIN)
    uvicorn.run(
        create_app(settings, mounts=mounts, drain_apart=True),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        interface="asgi3",
        forwarded_allow_ips=settings.trusted_proxies,
        access_log=False,  # addresses of recipients stay out of logs
        server_header=False,
        timeout_graceful_shutdown=10,
    )


@cli.command()
def worker() -> None:
    """Run one worker process; run one for each core."""
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606 - workers is the layer above


@cli.command()
def inbound() -> None:
    """Take in bounces over SMTP, at the return paths' domain."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    database = Database.connect(settings, name="inbound")
    uvloop.run(serve(settings, database, TokenKey.from_secret(settings.secret_key.get_secret_value())))


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run by several processes at once."""
    command.upgrade(_alembic(_settings_here().database_url), "head")


def _settings_here() -> Settings:
    """Return the settings of the environment, or in embedded mode those of the stack that runs."""
    if servers_are_configured():
        return load_settings()
    settings = running_settings(_data_dir())
    if settings is None:
        typer.echo(
            f"Nothing runs on {_data_dir()}: start it with `budstikke up`, or set BUDSTIKKE_DATABASE_URL.", err=True
        )
        raise typer.Exit(1)
    return settings


@cli.command()
def api_key(
    name: Annotated[str, typer.Argument(help="What the key is for")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeat for several")],
    days: Annotated[int | None, typer.Option(help="Days until it expires; never by default", min=1)] = None,
) -> None:
    """Make an API key and print it; it cannot be shown again."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None

    async def make() -> str:
        database = Database.connect(_settings_here(), name="cli")
        try:
            with acts(Actor("command-line")):
                async with database.begin() as session:
                    return await create_api_key(session, name=name, scopes=scope, expires_at=expires_at)
        finally:
            await database.close()

    typer.echo(asyncio.run(make()))


@cli.command("openapi")
def write_openapi(
    check: Annotated[bool, typer.Option("--check", help="Only compare; fail when they differ")] = False,  # noqa: FBT002
) -> None:
    """Write the OpenAPI document to openapi/openapi.json."""
    file, text = ROOT / openapi.FILE, openapi.text()
    if check:
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            typer.echo(f"{openapi.FILE} differs from the code; run: budstikke openapi", err=True)
            raise typer.Exit(1)
        return
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


@cli.command()
def catalogues(
    check: Annotated[bool, typer.Option("--check", help="Only compare; fail when they differ")] = False,  # noqa: FBT002
) -> None:
    """Gather the texts of the pages into app/letterhead/locale/*.po, and tell what is not translated."""
    stale = write_catalogues(check=check)
    if check and stale:
        typer.echo(f"The catalogues of {', '.join(stale)} differ from the code; run: budstikke catalogues", err=True)
    missing = [(language, text) for language in LANGUAGES for text in untranslated(language)]
    for language, text in missing:
        typer.echo(f"{language}: not translated, or with other placeholders: {text}", err=True)
    if missing or (check and stale):
        raise typer.Exit(1)


@cli.command()
def doctor() -> None:
    """Check database, Redis, SMTP and settings, and say what to do."""
    settings = _settings_here()
    findings = asyncio.run(examine(settings, alembic=_alembic(settings.database_url)))
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.well else 'BAD '} {finding.subject:14} {finding.seen}")
        if finding.advice:
            typer.echo(f"{'':20}{finding.advice}")
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
