"""List updates, sending, tests."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from app.bounces.models import BounceKind, BounceOrigin
from app.bounces.service import take_in_bounce
from app.consent.blocked import blocked_addresses
from app.delivery import service as delivery
from app.delivery.accounts import load_routing
from app.delivery.attached import affordable
from app.delivery.leasing import LONGEST_REST
from app.delivery.outlets import words_of
from app.delivery.pace_queries import rest_dispatch
from app.delivery.plan import Plan
from app.delivery.queries import has_few_chunks
from app.delivery.results import Bounced, Retries
from app.delivery.routing import Account, Routing
from app.delivery.sender import Ended, Sender
from app.delivery.single import send_one
from app.delivery.smtp.account import Security
from app.delivery.windows import boot_seconds
from app.mailings import queries, service
from app.mailings.composing import Composer, render_test
from app.mailings.states import SOURCES_OPEN
from app.platform.db import DATABASE_AWAY
from app.platform.errors import Problem
from app.platform.operations import OperationState, close_operation
from app.platform.outbox import Job, has_waited
from workers.context import Context, JobRun
from workers.lanes import AT_ONCE, SENDING, Lane, lane_of

TURN_SECONDS = 60.0  # a sender begins anew after this long
# … or this long, when others wait for its slot. A new beginning costs a tenth of a second; what is to start at once may
# have to wait for a small mailing that a limit or a slow server holds up.
SHORT_TURN_SECONDS = {SENDING: 5.0, AT_ONCE: 1.0}
LOOK_SECONDS = 0.5


def _composer(context: Context) -> Composer:
    return Composer(settings=context.settings, tokens=context.tokens)


async def update_list(context: Context, run: JobRun) -> None:
    """Bring a list in line with its sources until sending starts; with an operation, report what changed (D23)."""
    operation_id = run.args.get("operation")
    async with context.database.begin() as session:
        mailing = await queries.find_mailing(session, mailing_id=run.args["mailing"], lock=True)
        result, error, state = None, None, OperationState.CANCELLED
        if mailing is not None and mailing.state in SOURCES_OPEN:
            try:
                change = await service.update_list(session, mailing=mailing)
            except Problem as problem:  # criteria that do not fit any more: the list stays as it is, and behind
                error, state = {"detail": problem.detail}, OperationState.FAILED
            else:
                result = {"added": change.added, "removed": change.removed, "changed": change.changed}
                state = OperationState.SUCCEEDED
        if operation_id is not None:
            await close_operation(session, operation_id=operation_id, state=state, result=result, error=error)
        await run.finish(session)


async def send_dispatch(context: Context, run: JobRun) -> None:
    """Send what can be leased of a dispatch; the job of a sender that left something begins again."""
    settings, dispatch_id = context.settings, run.args["dispatch"]
    async with context.database.begin() as session:
        loaded = await delivery.load_plan(session, dispatch_id=dispatch_id, settings=settings, tokens=context.tokens)
        if loaded is None:
            return
        plan, retries = loaded
        named = await queries.named_account(session, mailing_id=plan.mailing_id)
        routing = await load_routing(session, named=named, settings=settings, standings=context.standings)
        few = await has_few_chunks(session, dispatch_id=dispatch_id)
    try:
        ended = await _send(context, plan, routing, retries, lane=AT_ONCE if few else SENDING)
    except Exception:
        if run.is_last:
            async with context.database.begin() as session:
                reason = "It could not be sent: a fault in the system, see its log."
                await service.fail(session, mailing_id=plan.mailing_id, reason=reason)
        raise
    async with context.database.begin() as session:
        await run.finish(session)
        if ended.fault is not None:
            await service.stop_for_fault(session, mailing_id=plan.mailing_id, words=words_of(ended.fault))
        elif ended.rest:
            await rest_dispatch(session, dispatch_id=dispatch_id, wait=min(ended.rest, LONGEST_REST))
        elif ended.more:
            await delivery.enqueue_sender(session, dispatch_id=dispatch_id, number=run.args["number"])
    async with context.database.begin() as session:
        await service.keep_going(session, mailing_id=plan.mailing_id, settings=settings)


async def _send(context: Context, plan: Plan, routing: Routing, retries: Retries, *, lane: Lane) -> Ended:
    async def show_trouble(words: str | None) -> None:
        async with context.database.begin() as session:
            await queries.show_trouble(session, mailing_id=plan.mailing_id, words=words)

    accounts = [replace(account, connections=_connections(account, plan)) for account in routing.accounts]
    sender = Sender(
        database=context.database,
        plan=plan,
        routing=Routing(accounts, named=routing.named),
        standings=context.standings,
        journal_directory=context.settings.journal_dir,
        retries=retries,
        on_bounced=_take_in,
        on_trouble=show_trouble,
        stopping=context.stopping,
    )
    turn = asyncio.create_task(_end_turn(context, sender, lane))
    try:
        return await sender.run(until=boot_seconds() + TURN_SECONDS)
    finally:
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)


def _connections(account: Account, plan: Plan) -> int:
    encrypted = account.smtp.security is not Security.NONE
    return affordable(account.connections, tail=len(plan.tail), encrypted=encrypted)


async def _end_turn(context: Context, sender: Sender, lane: Lane) -> None:
    """End a sender's turn early when other jobs of its lane wait for a slot: each gets its share of them (D31)."""
    jobs = [job for job in Job if lane_of(job) is lane]
    await asyncio.sleep(SHORT_TURN_SECONDS[lane])
    while not sender.leaving.is_set():
        try:
            async with context.database.begin() as session:
                waits = await has_waited(session, jobs=jobs, seconds=LOOK_SECONDS)
        except DATABASE_AWAY:
            waits = False  # the sender itself says so
        if waits:
            sender.leaving.set()
        await asyncio.sleep(LOOK_SECONDS)


async def _take_in(session: AsyncSession, bounced: Sequence[Bounced]) -> None:
    for bounce in bounced:
        await take_in_bounce(
            session,
            recipient_id=bounce.recipient_id,
            kind=BounceKind.HARD if bounce.hard else BounceKind.SOFT,
            origin=BounceOrigin.SMTP,
            status=bounce.status,
            detail=bounce.detail,
        )


async def send_test(context: Context, run: JobRun) -> None:
    """Send a test message to its addresses (D15); the operation tells what each server said.

    A crash in the middle may send it twice to an address: a test is nobody's mailing.
    """
    async with context.database.begin() as session:
        test = await queries.find_test(session, test_id=run.args["test"])
        if test is None:
            return
        try:
            mailing = await service.read_mailing(session, mailing_id=test.mailing_id)
            message, sender, domain = await render_test(
                session, mailing=mailing, composer=_composer(context), recipient_id=test.recipient_id
            )
        except Problem as problem:
            error = {"detail": problem.detail}
            await close_operation(session, operation_id=test.operation_id, state=OperationState.FAILED, error=error)
            await run.finish(session)
            return
        blocked = await blocked_addresses(session, emails=test.addresses)
        routing = await load_routing(
            session, named=mailing.sending_account_id, settings=context.settings, standings=context.standings
        )
    outcomes = []
    for address in test.addresses:
        if address in blocked:  # since it was asked for
            outcomes.append({"address": address, "outcome": "blocked", "reply": "Nothing may go to this address."})
            continue
        result = await send_one(
            routing, context.standings, sender=sender, recipient=address, message=message, domain=domain
        )
        outcomes.append({"address": address, "outcome": result.outcome.value, "reply": result.text})
    async with context.database.begin() as session:
        result_of_all = {"messages": outcomes}
        await close_operation(
            session, operation_id=test.operation_id, state=OperationState.SUCCEEDED, result=result_of_all
        )
        await run.finish(session)
