"""`budstikke dkim`: keys that mail is signed with, for an operator at a terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains import key_queries, keys, queries
from app.domains.checking import conclude, subject_of
from app.domains.checks import check, dns_of, us_of
from app.domains.errors import DomainNotFound, KeyNotFound
from app.domains.key_material import record_name, record_text, zone_line
from app.domains.models import Algorithm, DkimKey, KeyState, SendingDomain
from app.domains.names import a_label
from app.domains.service import add_domain
from app.platform.actor import Actor, acts
from app.platform.db import Database
from app.platform.errors import Problem
from app.platform.settings import Settings

Result = TypeVar("Result")

Domain = Annotated[str, typer.Argument(help="The sending domain, such as news.example.com")]
Selector = Annotated[str, typer.Argument(help="The key's selector, as `budstikke dkim list` shows it")]
Kinds = Annotated[list[Algorithm], typer.Option("--algorithm", help="rsa, ed25519; repeat for both")]
Force = Annotated[bool, typer.Option("--force", help="Though its record was not seen in DNS")]
AtOnce = Annotated[bool, typer.Option("--at-once", help="Mail on its way may lose its signature")]


commands = typer.Typer(help="Keys that mail is signed with, and the records that publish them.", no_args_is_help=True)


def settings_of(context: typer.Context) -> Settings:
    """Return the settings that the command line works with: `app.cli` leaves how to find them in `context.obj`."""
    settings: Settings = context.obj()
    return settings


@commands.command("list")
def list_keys(context: typer.Context, domain: Domain) -> None:
    """Show a domain's keys, and the records of those that are in use."""

    async def step(session: AsyncSession) -> tuple[SendingDomain, list[DkimKey]]:
        row = await _domain(session, domain)
        return row, list(await key_queries.keys_of(session, domain_id=row.id))

    _show(*_within(context, step))


@commands.command()
def create(context: typer.Context, domain: Domain, algorithm: Kinds = [Algorithm.RSA]) -> None:  # noqa: B006 - typer reads it, no more
    """Make keys for a domain, which is listed if it is not yet, and show the records to publish."""
    settings = settings_of(context)

    async def step(session: AsyncSession) -> tuple[SendingDomain, list[DkimKey]]:
        row = await queries.find_by_name(session, domain=a_label(domain))
        row = row or await add_domain(session, domain=domain, trusted=False)
        made = [
            (await keys.create_key(session, domain_id=row.id, algorithm=kind, settings=settings))[1]
            for kind in dict.fromkeys(algorithm)
        ]
        return row, made

    _show(*_within(context, step))


@commands.command()
def activate(context: typer.Context, domain: Domain, selector: Selector, force: Force = False) -> None:  # noqa: FBT002
    """Sign with a pending key from now on; the one of its kind before it is retiring."""
    settings = settings_of(context)

    async def step(session: AsyncSession) -> tuple[SendingDomain, list[DkimKey]]:
        row, key = await _key(session, domain, selector)
        await keys.activate(session, domain=row, key=key, force=force, settings=settings)
        return row, list(await key_queries.keys_of(session, domain_id=row.id))

    _show(*_within(context, step))


@commands.command()
def retire(context: typer.Context, domain: Domain, selector: Selector, at_once: AtOnce = False) -> None:  # noqa: FBT002
    """Sign with a key no more; its record has to stay until it is retired."""
    settings = settings_of(context)

    async def step(session: AsyncSession) -> tuple[SendingDomain, list[DkimKey]]:
        row, key = await _key(session, domain, selector)
        await keys.retire(session, domain=row, key=key, at_once=at_once, settings=settings)
        return row, list(await key_queries.keys_of(session, domain_id=row.id))

    _show(*_within(context, step))


@commands.command("check")
def check_now(context: typer.Context, domain: Domain) -> None:
    """Ask DNS about a domain now, and say what is right and what would be."""
    settings = settings_of(context)
    row = _within(context, lambda session: _domain(session, domain))
    subject = _within(context, lambda session: subject_of(session, domain_id=row.id))
    if subject is None:
        raise typer.Exit(1)
    report = asyncio.run(check(subject, dns=dns_of(settings), us=us_of(settings), return_domain=settings.return_domain))
    concluded = _within(context, lambda session: conclude(session, subject=subject, report=report, settings=settings))
    for found in report.findings:
        typer.echo(f"{found.severity.value:8}{found.detail}")
        if found.right:
            typer.echo(f"{'':8}publish: {zone_line(found.right.name, found.right.value)}")
    if concluded is not None:
        typer.echo(f"{row.display} is {'approved' if concluded.approved else 'not approved'}.")
    if report.fails:
        raise typer.Exit(1)


def _within(context: typer.Context, step: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """Run a step in a transaction of its own; a problem is said in a sentence."""
    return asyncio.run(_run(settings_of(context), step))


async def _run(settings: Settings, step: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    database = Database.connect(settings, name="cli")
    try:
        with acts(Actor("command-line")):
            async with database.begin() as session:
                return await step(session)
    except Problem as problem:
        typer.echo(problem.detail, err=True)
        raise typer.Exit(1) from problem
    finally:
        await database.close()


async def _domain(session: AsyncSession, name: str) -> SendingDomain:
    row = await queries.find_by_name(session, domain=a_label(name))
    if row is None:
        raise DomainNotFound(f"{name} is not among the sending domains; `budstikke dkim create {name}` adds it.")
    return row


async def _key(session: AsyncSession, name: str, selector: str) -> tuple[SendingDomain, DkimKey]:
    row = await _domain(session, name)
    key = await key_queries.find_selector(session, domain_id=row.id, selector=selector)
    if key is None:
        raise KeyNotFound(f"{name} has no key {selector!r}; see `budstikke dkim list {name}`.")
    return await keys.read_key(session, domain_id=row.id, key_id=key.id)


def _show(domain: SendingDomain, rows: list[DkimKey]) -> None:
    if not rows:
        typer.echo(f"{domain.display} has no keys: `budstikke dkim create {domain.domain}` makes one.")
    for key in rows:
        typer.echo(f"{key.selector}  {key.algorithm.value}  {key.state.value}")
        if key.state is not KeyState.RETIRED:
            text = record_text(key.algorithm, key.public_key)
            typer.echo(f"    {zone_line(record_name(key.selector, domain.domain), text)}")
