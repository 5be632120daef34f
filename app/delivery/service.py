"""Freezing a mailing into a dispatch, halting and resuming it, and mending what crashes left behind."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.compiled import CompiledMessage
from app.delivery import queries
from app.delivery.attached import make_tail
from app.delivery.journal import DeadJournal, Entry, read_dead, recovery_lock
from app.delivery.models import Dispatch
from app.delivery.part_queries import expire_chunks
from app.delivery.parts import Part, cut_parts
from app.delivery.plan import Plan
from app.delivery.replies import Outcome
from app.delivery.results import Retries
from app.domains.signing import Signers, load_signers
from app.platform.clock import now
from app.platform.db import Database
from app.platform.outbox import Job, enqueue
from app.platform.settings import Settings
from app.platform.telemetry import log
from app.platform.tokens import TokenKey
from app.recipients.queries import read_tallies

TAKEOVER_GRACE = 10.0  # seconds past a lease's end: its sender's own clock stopped it long before


async def freeze(
    session: AsyncSession,
    *,
    mailing_id: int,
    compiled: CompiledMessage,
    link_ids: Sequence[int],
    senders: int,
    parts: Sequence[Part] = (),
) -> Dispatch:
    """Make the plan of a send: nothing of it changes any more. Its chunks are cut and its senders enqueued.

    With `parts`, each part's chunks wait for its time (D27).
    """
    dispatch = Dispatch(mailing_id=mailing_id, compiled=compiled.to_dict(), link_ids=list(link_ids))
    session.add(dispatch)
    await session.flush()
    if parts:
        await cut_parts(session, dispatch=dispatch, parts=parts)
    else:
        await queries.cut_chunks(session, dispatch_id=dispatch.id)
    await enqueue_senders(session, dispatch_id=dispatch.id, senders=senders)
    return dispatch


async def enqueue_senders(session: AsyncSession, *, dispatch_id: int, senders: int) -> None:
    """Enqueue the sending jobs of a dispatch; those that wait or run already are not doubled."""
    for number in range(senders):
        await enqueue_sender(session, dispatch_id=dispatch_id, number=number)


async def enqueue_sender(session: AsyncSession, *, dispatch_id: int, number: int) -> None:
    """Enqueue one of a dispatch's sending jobs, unless it waits or runs.

    With few recipients left to send to, it is a job that does not wait for those of large mailings.
    """
    few = await queries.has_few_chunks(session, dispatch_id=dispatch_id)
    kind = Job.DISPATCH_SEND_FEW if few else Job.DISPATCH_SEND
    await enqueue(session, kind, dedup=f"send:{dispatch_id}:{number}", dispatch=dispatch_id, number=number)


async def load_plan(
    session: AsyncSession, *, dispatch_id: int, settings: Settings, tokens: TokenKey
) -> tuple[Plan, Retries] | None:
    """Return what a sender needs to know of a dispatch, or None when it is gone or halted."""
    dispatch = await session.get(Dispatch, dispatch_id, populate_existing=True)
    if dispatch is None or dispatch.halted_at is not None:
        return None
    compiled = CompiledMessage.from_dict(dispatch.compiled)
    plan = plan_of(
        mailing_id=dispatch.mailing_id,
        dispatch_id=dispatch.id,
        compiled=compiled,
        tail=await make_tail(session, compiled.tail),
        link_ids=dispatch.link_ids,
        settings=settings,
        tokens=tokens,
        signers=await load_signers(session, secret=settings.secret_key.get_secret_value()),
    )
    return plan, Retries(first_wait=settings.retry_minutes * 60.0, give_up_after=settings.retry_hours * 3600.0)


def plan_of(
    *,
    mailing_id: int,
    dispatch_id: int,
    compiled: CompiledMessage,
    link_ids: Sequence[int],
    settings: Settings,
    tokens: TokenKey,
    signers: Signers | None = None,
    tail: bytes = b"",
) -> Plan:
    """Return a plan; previews and tests make one without a dispatch, and who only shows a message needs no tail.

    Nothing is signed without `signers`.
    """
    return Plan(
        dispatch_id=dispatch_id,
        mailing_id=mailing_id,
        compiled=compiled,
        link_ids=tuple(link_ids),
        tokens=tokens,
        message_domain=settings.public_host,
        return_domain=settings.return_domain,
        track_unknown=settings.unknown_tracking_consent,
        signers=signers or Signers(),
        tail=tail,
    )


async def halt(session: AsyncSession, *, mailing_id: int) -> None:
    """Make senders stop: each notices at its next flush, at the latest after its heartbeat (D29)."""
    dispatch = await queries.find_dispatch(session, mailing_id=mailing_id)
    if dispatch is not None and dispatch.halted_at is None:
        dispatch.halted_at = now()


async def resume(session: AsyncSession, *, mailing_id: int, senders: int) -> bool:
    """Go on exactly where sending stopped (D29); return whether there is anything to go on with."""
    dispatch = await queries.find_dispatch(session, mailing_id=mailing_id)
    if dispatch is None:
        return False
    dispatch.halted_at = dispatch.rest_until = None
    await enqueue_senders(session, dispatch_id=dispatch.id, senders=senders)
    return True


async def keep_going(session: AsyncSession, *, mailing_id: int, resend_unconfirmed: bool, settings: Settings) -> bool:
    """Bring due retries back, see that free chunks have senders; return whether all of the dispatch is done.

    Chunks that wait for their time need no sender until then; those whose time is over are given up (D27).
    """
    dispatch = await queries.find_dispatch(session, mailing_id=mailing_id)
    if dispatch is None or dispatch.halted_at is not None:
        return False
    chunks = await queries.count_open_chunks(session, dispatch_id=dispatch.id)
    if chunks.late and await expire_chunks(session, dispatch_id=dispatch.id):
        chunks = await queries.count_open_chunks(session, dispatch_id=dispatch.id)
    tallies = await read_tallies(session, mailing_id=mailing_id)
    again = 0
    await queries.lock_dispatch(session, dispatch_id=dispatch.id)
    if tallies.get("deferred") and (dispatch.look_again_at is None or dispatch.look_again_at <= now()):
        again += await queries.requeue_due(session, dispatch_id=dispatch.id)
        dispatch.look_again_at = now() + _look_interval(settings)
    if resend_unconfirmed and tallies.get("unconfirmed"):
        again += await queries.requeue_unconfirmed(session, dispatch_id=dispatch.id)
    if not chunks.open and tallies.get("ready"):
        again += await queries.requeue_ready(session, dispatch_id=dispatch.id)
    if again:
        await queries.cut_chunks(session, dispatch_id=dispatch.id)
        chunks = await queries.count_open_chunks(session, dispatch_id=dispatch.id)
    if chunks.free and (dispatch.rest_until is None or dispatch.rest_until <= now()):
        await enqueue_senders(session, dispatch_id=dispatch.id, senders=min(settings.senders, chunks.free))
    return not (chunks.open or tallies.get("deferred"))


def _look_interval(settings: Settings) -> timedelta:
    """Return how often due retries are looked for: a thirtieth of the first wait, at most every minute."""
    return min(timedelta(minutes=settings.retry_minutes) / 30, timedelta(minutes=1))


async def recover(database: Database, settings: Settings) -> int:
    """Take over what dead senders left: first journals on this machine, then expired leases. Repeatable.

    Returns how many senders or chunks were recovered. The order is results, chunks, journal (exactness 5), and on one
    machine only one process at a time: it would doubt what a journal that another one reads is about to tell.
    """
    recovered = 0
    with recovery_lock(settings.journal_dir) as ours:
        if not ours:
            return 0
        journals = await asyncio.to_thread(_dead_journals, settings)
        try:
            for journal in journals:
                await _recover_journal(database, journal, wait=settings.retry_minutes * 60.0)
                recovered += 1
        finally:
            for journal in journals:  # a journal whose lock this process keeps is one that nobody ever recovers
                journal.release()
        async with database.begin() as session:
            row = await queries.doubt_expired(session, grace=TAKEOVER_GRACE)
    if row.freed:
        log.warning("dispatch.taken_over", chunks=row.freed, unconfirmed=row.doubted)
    return recovered + int(row.freed)


def _dead_journals(settings: Settings) -> list[DeadJournal]:
    directory = settings.journal_dir
    return list(read_dead(directory)) if directory.is_dir() else []


_STATUS = {
    None: "unconfirmed",
    Outcome.UNKNOWN: "unconfirmed",
    Outcome.ACCEPTED: "sent",
    Outcome.DEFERRED: "deferred",
    Outcome.REJECTED: "bounced",
}


async def _recover_journal(database: Database, journal: DeadJournal, *, wait: float) -> None:
    entries = [_stored(entry) for entry in journal.entries if entry.outcome in _STATUS]
    async with database.begin() as session:
        if entries:
            await queries.store_journal(session, wait=wait, entries=entries)
        if journal.same_boot and not journal.damaged:
            await queries.free_owner(session, owner=journal.owner)
        else:
            await queries.doubt_owner(session, owner=journal.owner)
    journal.delete()
    unknown = sum(status == "unconfirmed" for _, _, _, status, _ in entries)
    log.warning("journal.recovered", starts=len(entries), unconfirmed=unknown, complete=journal.same_boot)


def _stored(entry: Entry) -> tuple[int, int, int, str, int | None]:
    return entry.dispatch, entry.seq, entry.attempt, _STATUS[entry.outcome], entry.code
