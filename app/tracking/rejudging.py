"""Stored events judged again, with the rules as they are now (D45): as if everything were stored today.

Recipient by recipient, since whatever a rule looks at beside the request itself is that recipient's. A batch is one
short transaction; in between, storing goes on. Figures and marks follow. Link actions do not: what was done stays done,
and a click that turns out to be a human's starts nothing years later.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import Database, tried_again
from app.platform.operations import Operation, OperationState, advance, close_operation, open_operation, read_operation
from app.platform.outbox import Job, enqueue
from app.tracking import rejudging_queries as queries
from app.tracking.models import EventKind, Verdict
from app.tracking.verdicts import (
    AROUND_SECONDS,
    BURST,
    BURST_SECONDS,
    HONEYPOT,
    IMAGE_PROXY,
    NEAR_HONEYPOT,
    PROBED,
    ROW_REASONS,
    RULE_VERSION,
    TOO_SOON,
    judge_request,
)

BATCH = 1000  # events; some 80 ms, in which nobody stores (and readers do not notice: their clicks are in the spool)

_AROUND = timedelta(seconds=AROUND_SECONDS)
_BURST = timedelta(seconds=BURST_SECONDS)


async def request_recompute(session: AsyncSession, *, dry_run: bool) -> Operation:
    """Have all verdicts recomputed in the background."""
    operation = await open_operation(session, kind="recompute-verdicts")
    await enqueue(session, Job.VERDICTS_RECOMPUTE, operation=operation.id, dry_run=int(dry_run))
    return operation


async def recompute(
    database: Database,
    *,
    operation_id: int,
    machine_seconds: float,
    dry_run: bool = False,
    batch: int = BATCH,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    """Judge every stored event again and close the operation; return False when it was asked to stop before the end.

    It can be called again for the same operation, and goes on where it was. `tell` gets events done and in all. Nothing
    is written with `dry_run`; the result then says what would change, by reason.
    """
    async with database.begin() as session:
        operation = await read_operation(session, operation_id=operation_id)
        total = await queries.count_events(session)
    progress: dict[str, Any] = operation.result or {
        "after": 0, "judged": 0, "changed": 0, "to_machine": {}, "to_human": {}, "dry_run": dry_run,
    }  # fmt: skip
    while True:
        if stopping():
            return False
        async with database.begin() as session:
            end = await queries.end_of_batch(session, after=progress["after"], size=batch)
            if end is None:
                result = {name: value for name, value in progress.items() if name != "after"}
                await close_operation(session, operation_id=operation_id, state=OperationState.SUCCEEDED, result=result)
                return True
            if not dry_run:  # judged before anybody waits, so that the user agents are remembered when they do
                await _judge_batch(session, after=progress["after"], end=end, machine_seconds=machine_seconds)
        then = await tried_again(
            partial(
                _step, database, operation_id=operation_id, progress=progress, end=end, total=total,
                machine_seconds=machine_seconds, dry_run=dry_run,
            )
        )  # fmt: skip
        if then is None:
            return True
        progress = then
        tell(progress["judged"], total)


async def _step(
    database: Database,
    *,
    operation_id: int,
    progress: Mapping[str, Any],
    end: int,
    total: int,
    machine_seconds: float,
    dry_run: bool,
) -> dict[str, Any] | None:
    """Judge the batch that ends with a recipient, in one transaction; None when the operation was cancelled."""
    async with database.begin() as session:
        if not dry_run:
            await queries.hold_recording(session)
        judged = await _judge_batch(session, after=progress["after"], end=end, machine_seconds=machine_seconds)
        if not dry_run:
            await _store(session, judged)
        then = _after(progress, judged, end=end)
        await queries.note_progress(session, operation_id=operation_id, result=then)
        if await advance(session, operation_id=operation_id, done=then["judged"], total=total):
            await close_operation(session, operation_id=operation_id, state=OperationState.CANCELLED, result=then)
            return None
        return then


Judged = tuple[Any, Verdict, frozenset[str]]
"""An event as it is stored, and what it is judged now."""


async def _judge_batch(session: AsyncSession, *, after: int, end: int, machine_seconds: float) -> list[Judged]:
    events = await queries.read_batch(session, after=after, end=end)
    needed = await queries.links_of_burst(session, mailing_ids=sorted({event.mailing_id for event in events}))
    judged: list[Judged] = []
    for _, own in groupby(events, key=lambda event: event.recipient_id):
        judged += judge_recipient(list(own), links_of_burst=needed, machine_seconds=machine_seconds)
    return judged


def judge_recipient(
    events: Sequence[Any], *, links_of_burst: Mapping[int, int], machine_seconds: float
) -> list[Judged]:
    """Judge all events of one recipient, in the order of time; pure.

    An erased person's agents are not known any more: what was found by them stays.
    """
    clicks = [event for event in events if event.kind == EventKind.CLICK]
    traps = [click.occurred_at for click in clicks if click.honeypot]
    heads: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    for click in clicks:
        if click.method == "HEAD" and click.user_agent is not None:
            heads[click.link_id, click.user_agent].append(click.occurred_at)
    bursts = _bursts(clicks, links_of_burst)
    judged: list[Judged] = []
    for event in events:
        if event.user_agent is None:
            reasons = set(event.reasons) - ROW_REASONS
        else:
            reasons = set(judge_request(EventKind(event.kind), event.method, event.user_agent).reasons)
        if machine_seconds > 0 and _too_soon(event, machine_seconds):
            reasons.add(TOO_SOON)
        if event.kind == EventKind.CLICK:
            if event.honeypot:
                reasons.add(HONEYPOT)
            elif _any_between(traps, event.occurred_at - _AROUND, event.occurred_at + _AROUND):
                reasons.add(NEAR_HONEYPOT)
            if event.method != "HEAD" and _any_between(
                heads.get((event.link_id, event.user_agent), ()), event.occurred_at - _AROUND, event.occurred_at
            ):
                reasons.add(PROBED)
            if event.id in bursts:
                reasons.add(BURST)
        verdict = Verdict.MACHINE if reasons - {IMAGE_PROXY} else Verdict.HUMAN
        judged.append((event, verdict, frozenset(reasons)))
    return judged


def _too_soon(event: Any, machine_seconds: float) -> bool:
    if event.sent_at is None:
        return bool(event.status == "ready")
    return bool(event.occurred_at < event.sent_at + timedelta(seconds=machine_seconds))


def _any_between(moments: Sequence[datetime], since: datetime, until: datetime) -> bool:
    return bisect_left(moments, since) < bisect_right(moments, until)


def _bursts(clicks: Sequence[Any], links_of_burst: Mapping[int, int]) -> set[int]:
    """Return the ids of clicks in a stretch of BURST_SECONDS, from a click on, with as many different links."""
    found: set[int] = set()
    within: Counter[int] = Counter()
    end = marked = 0
    for start, first in enumerate(clicks):
        until = first.occurred_at + _BURST
        while end < len(clicks) and clicks[end].occurred_at <= until:
            within[clicks[end].link_id] += 1
            end += 1
        if len(within) >= links_of_burst[first.mailing_id]:
            found.update(click.id for click in clicks[max(start, marked) : end])
            marked = end
        within[first.link_id] -= 1
        if not within[first.link_id]:
            del within[first.link_id]
    return found


async def _store(session: AsyncSession, judged: Sequence[Judged]) -> None:
    """Store what differs, or was judged by older rules."""
    news = [
        (event, verdict, reasons) for event, verdict, reasons in judged
        if event.rule_version != RULE_VERSION or event.verdict != verdict or frozenset(event.reasons) != reasons
    ]  # fmt: skip
    if not news:
        return
    await queries.store_verdicts(
        session, version=RULE_VERSION, ids=[event.id for event, _, _ in news],
        verdicts=[verdict.value for _, verdict, _ in news], reasons=[",".join(sorted(told)) for _, _, told in news],
    )  # fmt: skip
    turned = [event.recipient_id for event, verdict, _ in news if event.verdict != verdict]
    if turned:
        await queries.mark_anew(session, recipient_ids=turned)


def _after(progress: Mapping[str, Any], judged: Sequence[Judged], *, end: int) -> dict[str, Any]:
    to_machine, to_human = Counter(progress["to_machine"]), Counter(progress["to_human"])
    changed = 0
    for event, verdict, reasons in judged:
        if event.verdict != verdict:
            changed += 1
            if verdict is Verdict.MACHINE:
                to_machine.update(reasons - set(event.reasons) - {IMAGE_PROXY})
            else:
                to_human.update(set(event.reasons) - reasons)
    return dict(progress) | {
        "after": end, "judged": progress["judged"] + len(judged), "changed": progress["changed"] + changed,
        "to_machine": dict(to_machine), "to_human": dict(to_human),
    }  # fmt: skip
