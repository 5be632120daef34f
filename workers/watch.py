"""The watch: every two seconds, each worker mends what crashes left behind and moves on what became due.

Cheap when there is nothing to do: a look into the journal directory, one UPDATE on leases, two SELECTs of mailings.
"""

import asyncio

from sqlalchemy import text

from app.delivery.pace_queries import forget_paces
from app.delivery.service import recover
from app.domains.checking import plan_checks
from app.mailings import queries, service
from app.mailings.schedule import start_due as start_scheduled
from app.mailings.schedule_queries import due_mailings
from app.platform.actor import Actor, acts
from app.platform.audit import forget_entries
from app.platform.clock import now
from app.platform.db import DATABASE_AWAY, is_away, run
from app.platform.idempotency import forget_expired
from app.platform.outbox import Job, enqueue
from app.platform.telemetry import log
from app.recipients.export_queries import forget_exports
from app.webhooks.queries import forget_events
from app.webhooks.webhook_queries import forget_old
from workers.context import Context
from workers.jobs.actions import plan_actions
from workers.jobs.webhooks import plan_deliveries

LOOK_SECONDS = 2.0
LOOKS_AN_HOUR = 1800
FORGET_AT_ONCE = 5000  # rows of one transaction, some 0.1 s

_MINE = text("SELECT pg_try_advisory_xact_lock(8002, :mailing) AS mine")


async def watch(context: Context) -> None:
    """Watch until cancelled; a database that is away only delays it."""
    looks = 0
    while True:
        often = (start_due, recover_dead, move_on, tell_webhooks, do_actions, check_domains)
        steps = often if looks % LOOKS_AN_HOUR else (*often, tidy, expire_consents)
        looks += 1
        for step in steps:
            try:
                with acts(Actor("job:watch", step.__name__)):
                    await step(context)
            except DATABASE_AWAY as error:
                if is_away(error):
                    log.warning("watch.waits", step=step.__name__, kind=type(error).__name__)
                else:
                    log.error("watch.failed", step=step.__name__, exc_info=error)
        await asyncio.sleep(LOOK_SECONDS)


async def tidy(context: Context) -> None:
    """Delete what nobody needs any more, and what is kept no longer than settings say (D79)."""
    async with context.database.begin() as session:
        await forget_expired(session)
        await forget_exports(session)
        await forget_paces(session)
        await forget_old(session)
    settings = context.settings
    for forget, days in ((forget_entries, settings.audit_days), (forget_events, settings.events_days)):
        gone = FORGET_AT_ONCE
        while gone == FORGET_AT_ONCE and not context.stopping.is_set():
            async with context.database.begin() as session:
                gone = await forget(session, days=days, most=FORGET_AT_ONCE)


async def tell_webhooks(context: Context) -> None:
    """Make deliveries of new events, and see that what is due is delivered."""
    async with context.database.begin() as session:
        await plan_deliveries(session)


async def do_actions(context: Context) -> None:
    """See that link actions are done whose clicks' verdicts are clear (D39)."""
    async with context.database.begin() as session:
        await plan_actions(session, hold=context.settings.action_hold_seconds)


async def check_domains(context: Context) -> None:
    """See that sending domains are checked when they are due (D6)."""
    async with context.database.begin() as session:
        await plan_checks(session)


async def expire_consents(context: Context) -> None:
    """Have the ledger told which yeses ran out. Until then they count as none all the same."""
    async with context.database.begin() as session:
        await enqueue(session, Job.CONSENT_EXPIRE, dedup="consent.expire")


async def recover_dead(context: Context) -> None:
    """Take over what dead senders left."""
    await recover(context.database, context.settings)


async def start_due(context: Context) -> None:
    """Start scheduled mailings whose time has come, or let them expire (D27)."""
    async with context.database.begin() as session:
        mailing_ids = await due_mailings(session, at=now())
    for mailing_id in mailing_ids:
        try:
            async with context.database.begin() as session:
                await start_scheduled(session, mailing_id=mailing_id)
        except Exception as error:
            if is_away(error):
                raise
            log.error("watch.failed", mailing_id=mailing_id, exc_info=error)  # the others are due all the same


async def move_on(context: Context) -> None:
    """See that every mailing that is being sent has senders, retries and an end; one watch per mailing at a time."""
    async with context.database.begin() as session:
        mailing_ids = await queries.sending_mailings(session)
    for mailing_id in mailing_ids:
        try:
            async with context.database.begin() as session:
                mine = (await run(session, _MINE, mailing=mailing_id % 2**31)).one()
                if mine.mine:
                    await service.keep_going(session, mailing_id=mailing_id, settings=context.settings)
        except Exception as error:
            if is_away(error):
                raise
            # One mailing that cannot go on must not hold up the others.
            log.error("watch.failed", mailing_id=mailing_id, exc_info=error)
