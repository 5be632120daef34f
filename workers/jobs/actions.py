"""Doing link actions whose clicks are known to be humans' (D39), and calling the scripts of those that do."""

import asyncio

from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import run_queries
from app.actions.runs import Call, claim_calls, perform_due, store_answer
from app.platform.outbox import Job, enqueue
from app.webhooks.posting import post
from workers.context import Context, JobRun

CALLS_AT_ONCE = 8
TURN = 100  # batches; then other jobs have their turn, and the watch asks again


async def plan_actions(session: AsyncSession, *, hold: float) -> None:
    """See that somebody does what is due; costs one look at what is not over."""
    actions, scripts = await run_queries.due(session, hold=hold)
    if actions:
        await enqueue(session, Job.ACTION_PERFORM, dedup="action.perform")
    if scripts:
        await enqueue(session, Job.ACTION_CALL, dedup="action.call")


async def perform_actions(context: Context, _: JobRun) -> None:
    """Do what is due, oldest clicks first; each batch is one transaction with what came of it."""
    for _turn in range(TURN):
        async with context.database.begin() as session:
            seen = await perform_due(session, hold=context.settings.action_hold_seconds)
        if not seen or context.stopping.is_set():
            return


async def call_scripts(context: Context, _: JobRun) -> None:
    """Call scripts, eight at a time and without holding a connection."""
    for _turn in range(TURN):
        async with context.database.begin() as session:
            seen, calls = await claim_calls(
                session, hold=context.settings.action_hold_seconds, tokens=context.tokens, most=CALLS_AT_ONCE
            )
        await asyncio.gather(*(_call(context, call) for call in calls))
        if not seen or context.stopping.is_set():
            return


async def _call(context: Context, call: Call) -> None:
    answer = await post(
        call.url, body=call.message.body, headers=call.message.headers,
        allow_private=context.settings.webhook_private_addresses,
    )  # fmt: skip
    async with context.database.begin() as session:
        await store_answer(session, call=call, answer=answer)
