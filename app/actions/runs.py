"""Runs: each action once for each recipient, when the click was a human's (D39).

A run is written with the click (`tracking.action_queries`), held until the verdict is clear, then done here: its effect
and that it is done are one transaction. A call of a script leaves the house, so it may come twice, under the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import effect_queries, queries, run_queries
from app.actions.errors import RunNotFound, RunNotRepeatable
from app.actions.kinds import ScriptSettings, Settings, read_settings
from app.actions.models import ActionKind, ActionRun, RunState
from app.actions.outcomes import Outcome, again, failed, skipped
from app.actions.performing import Origin, Subject, perform
from app.actions.scripts import filled_target, message_of, outcome_of, secret_for
from app.links.service import read_link
from app.platform.db import is_away
from app.platform.telemetry import log
from app.platform.tokens import TokenKey
from app.webhooks.messages import Message
from app.webhooks.posting import Answer

AT_ONCE = 40  # runs of one transaction: some 0.1 s, and under the 64 savepoints that PostgreSQL keeps at hand
RETRIES = (5, 30, 300, 1800)  # seconds after a failure of the database's or our own; what is wrong as it is waits for a
# person

_FAULT = "A fault in the system; its log tells more."


async def perform_due(session: AsyncSession, *, hold: float) -> int:
    """Do the next actions that are due, but for scripts; return how many runs were looked at.

    `hold` is how long a click's runs are held until its verdict is clear, in seconds.
    """
    rows = await run_queries.claim(session, hold=hold, scripts=False, most=AT_ONCE)
    for row in rows:
        await run_queries.settle(session, run_id=row.id, outcome=await _attempt(session, row))
    return len(rows)


async def _attempt(session: AsyncSession, row: Any) -> Outcome:
    """Do one action; what goes wrong with it takes back nothing of the others."""
    if stopped := _reason_not_to(row):
        return stopped
    try:
        async with session.begin_nested():
            return await _perform(session, row)
    except DBAPIError as error:
        if error.connection_invalidated or not is_away(error):
            raise
        log.warning("action.in_the_way", run_id=row.id, kind=type(error).__name__)
        return again("The database was in the way.", attempt=row.attempts + 1, waits=RETRIES)
    except Exception as error:  # noqa: BLE001 - one that cannot be done must not hold up the others
        log.error("action.failed", run_id=row.id, action=row.kind, exc_info=error)
        return again(_FAULT, attempt=row.attempts + 1, waits=RETRIES)


async def _perform(session: AsyncSession, row: Any) -> Outcome:
    settings = _settings_of(row)
    if settings is None:
        return failed("The action's settings are of another version; save it again.")
    if row.person_id is not None and not await effect_queries.hold_person(session, person_id=row.person_id):
        return skipped("The person was deleted.")
    subject = Subject(row.person_id, row.company_id, row.our_contact_name, row.our_contact_email)
    origin = Origin(row.id, row.library_link_id, row.mailing_id, row.recipient_id)
    return await perform(session, settings, subject=subject, origin=origin)


def _settings_of(row: Any) -> Settings | None:
    try:
        return read_settings(ActionKind(row.kind), row.settings)
    except ValidationError:
        return None


def _reason_not_to(row: Any) -> Outcome | None:
    """Return why there is nothing to do; None where there is."""
    if row.settings is None:
        return skipped("The action was deleted before its time came.")
    if row.state == RunState.HELD and not row.human:
        if row.reasons:
            return Outcome(RunState.DROPPED, f"The click was a machine's: {', '.join(row.reasons)}.")
        return Outcome(RunState.DROPPED, "The click was taken back by a reset.")
    if not row.has_line:
        return skipped("The recipient is gone, with the mailing.")
    if row.erased:
        return skipped("The person was erased.")
    if row.person_id is not None and not row.has_person:
        return skipped("The person was deleted.")
    return None


# Scripts


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a script, ready to be made."""

    run_id: int
    attempt: int
    url: str
    message: Message


async def claim_calls(session: AsyncSession, *, hold: float, tokens: TokenKey, most: int) -> tuple[int, list[Call]]:
    """Take the next calls of scripts that are due; return how many runs were looked at, and the calls.

    Nobody else makes them while their lease runs; what came of each goes to `store_answer`.
    """
    rows = await run_queries.claim(session, hold=hold, scripts=True, most=most)
    calls = []
    for row in rows:
        call = await _call_of(session, row, tokens=tokens)
        if isinstance(call, Outcome):
            await run_queries.settle(session, run_id=row.id, outcome=call)
        else:
            calls.append(call)
            lease = Outcome(RunState.WAITING, None, run_queries.LEASE_SECONDS)
            await run_queries.settle(session, run_id=row.id, outcome=lease)
    return len(rows), calls


async def _call_of(session: AsyncSession, row: Any, *, tokens: TokenKey) -> Call | Outcome:
    if stopped := _reason_not_to(row):
        return stopped
    settings = _settings_of(row)
    script_id = settings.script_id if isinstance(settings, ScriptSettings) else 0
    script = await queries.hold_script(session, script_id=script_id)
    if script is None:
        return failed(f"There is no script {script_id}.")
    url = await filled_target(session, row)
    message = message_of(row, url=url, secret=secret_for(script, tokens))
    return Call(row.id, row.attempts + 1, script.url, message)


async def store_answer(session: AsyncSession, *, call: Call, answer: Answer) -> None:
    """Store what came of a call: done, tried again, or given up."""
    outcome = outcome_of(answer, attempt=call.attempt)
    await run_queries.settle(session, run_id=call.run_id, outcome=outcome, tries=0)


# For people


async def read_run(session: AsyncSession, *, run_id: int) -> ActionRun:
    """Return a run; raises RunNotFound."""
    found = await run_queries.find_run(session, run_id=run_id)
    if found is None:
        raise RunNotFound(f"There is no run {run_id}.")
    return found


async def page_of_runs(
    session: AsyncSession, *, equal: dict[str, int | None], state: RunState | None, kind: ActionKind | None,
    below: int | None, limit: int,
) -> Sequence[ActionRun]:  # fmt: skip
    """Return at most `limit + 1` runs, newest first, whose columns equal what is given."""
    return await run_queries.page_of_runs(session, equal=equal, state=state, kind=kind, below=below, limit=limit)


async def outcomes_of(session: AsyncSession, *, link_id: int) -> dict[tuple[int, ActionKind], dict[str, int]]:
    """Return how many runs each action of a link has in each state; raises LibraryLinkNotFound."""
    await read_link(session, link_id=link_id)
    counted: dict[tuple[int, ActionKind], dict[str, int]] = {}
    for row in await run_queries.outcomes(session, link_id=link_id):
        states = counted.setdefault((row.action_id, ActionKind(row.kind)), {state.value: 0 for state in RunState})
        states[row.state] = row.runs
    return counted


async def repeat_run(session: AsyncSession, *, run_id: int) -> ActionRun:
    """Plan a run again, whatever the click's verdict; raises RunNotFound and RunNotRepeatable."""
    found = await read_run(session, run_id=run_id)
    if not await run_queries.repeat(session, run_id=run_id):
        raise RunNotRepeatable(
            f"Run {run_id} is {found.state}: what failed, was skipped or dropped can be repeated, and calls of scripts."
        )
    return await read_run(session, run_id=run_id)


async def repeat_failed(
    session: AsyncSession, *, link_id: int | None, mailing_id: int | None, action_id: int | None
) -> int:
    """Plan every failed run again, of a link, a mailing or an action where told; return how many."""
    return await run_queries.repeat_failed(session, link_id=link_id, mailing_id=mailing_id, action_id=action_id)
