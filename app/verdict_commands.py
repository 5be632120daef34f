"""`budstikke verdicts`: judging stored events again (D45)."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from app.platform.actor import Actor, acts
from app.platform.db import Database
from app.platform.operations import OperationState, open_operation, read_operation
from app.platform.settings import Settings
from app.tracking.rejudging import recompute

commands = typer.Typer(help="Human or machine: judge stored events again.", no_args_is_help=True)


@commands.callback()
def begin() -> None:
    """Keep the group a group, though it has one command."""


@commands.command("recompute")
def recompute_all(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; tell what would change")] = False,  # noqa: FBT002
    resume: Annotated[int | None, typer.Option(help="The operation to go on with, after a crash")] = None,
) -> None:
    """Judge every stored open and click by the rules as they are now; recording goes on meanwhile."""
    settings_here: Callable[[], Settings] = context.obj
    with acts(Actor("command-line")):
        asyncio.run(_recompute(settings_here(), dry_run=dry_run, resume=resume))


async def _recompute(settings: Settings, *, dry_run: bool, resume: int | None) -> None:
    database = Database.connect(settings, name="verdicts")
    try:
        async with database.begin() as session:
            if resume is None:
                operation = await open_operation(session, kind="recompute-verdicts")
            else:
                operation = await read_operation(session, operation_id=resume)
        typer.echo(f"operation {operation.id}; go on after a crash with --resume {operation.id}", err=True)
        await recompute(
            database, operation_id=operation.id, machine_seconds=settings.machine_seconds,
            dry_run=bool(operation.result["dry_run"]) if operation.result else dry_run,
            tell=lambda done, total: typer.echo(f"{done} of {total}", err=True),
        )  # fmt: skip
        async with database.begin() as session:
            done = await read_operation(session, operation_id=operation.id)
    finally:
        await database.close()
    result = done.result or {}
    would = "would change" if result.get("dry_run") else "changed"
    typer.echo(f"{result['judged']} events judged, {result['changed']} {would}")
    for name in ("to_machine", "to_human"):
        for reason, number in sorted(result[name].items()):
            typer.echo(f"  {name.replace('_', ' ')}: {reason} {number}")
    if done.state is not OperationState.SUCCEEDED:
        raise typer.Exit(1)
