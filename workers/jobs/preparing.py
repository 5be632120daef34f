"""From *preparing* to *sending*: the list is populated one last time, judged, and frozen (D25-D28).

Three transactions, so that progress is seen and a cancel is heeded between them. Whatever stands in the way makes the
mailing a draft again, with the reason; a fault in the system makes it *failed*, and `start` prepares it again.
"""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.mailings import queries, service
from app.mailings.composing import Composer
from app.mailings.errors import NotReady
from app.mailings.models import Mailing, MailingState
from app.mailings.schedule import expire_overdue, schedule_of
from app.mailings.states import move
from app.platform.errors import Problem
from app.platform.operations import OperationState, advance, close_operation
from app.recipients.list_queries import count_brought
from app.recipients.models import RecipientStatus
from app.recipients.service import count_list
from workers.context import Context, JobRun

MOST_COUNTED = 10_000_000  # lines; counting a million costs a fifth of a second, populating them nine


async def prepare_mailing(context: Context, run: JobRun) -> None:
    """Populate the list one last time and freeze the mailing; what stands in the way makes it a draft again."""
    try:
        if await _announce(context, run):
            membership = await _populate(context, run)
            if membership is not None:
                await _freeze(context, run, judge_again=membership)
    except Exception:
        if run.is_last:
            async with context.database.begin() as session:
                reason = "It could not be prepared: a fault in the system, see its log."
                await service.fail(session, mailing_id=run.args["mailing"], reason=reason)
        raise


async def _announce(context: Context, run: JobRun) -> bool:
    """Tell how many lines there are to be populated; return whether to go on."""
    async with context.database.begin() as session:
        mailing = await _preparing(session, run)
        if mailing is None:
            return False
        lines = await count_brought(session, mailing_id=mailing.id, most=MOST_COUNTED)
        total = lines if lines < MOST_COUNTED else None
        return await _goes_on(session, run, mailing, done=0, total=total)


async def _populate(context: Context, run: JobRun) -> bool | None:
    """Bring the list up to date; return whether lines may have been added, or None if that was the end."""
    async with context.database.begin() as session:
        mailing = await _preparing(session, run)
        if mailing is None:
            return None
        membership = mailing.update_list_when_sending or mailing.list_updated_at is None
        try:
            await service.update_list(session, mailing=mailing, membership=membership)
        except Problem as problem:  # better no list than a wrong one
            await _abandon(session, run, mailing, detail=problem.detail)
            return None
        lines = (await count_list(session, mailing_id=mailing.id)).total
        return membership if await _goes_on(session, run, mailing, done=lines, total=lines) else None


async def _freeze(context: Context, run: JobRun, *, judge_again: bool) -> None:
    async with context.database.begin() as session:
        mailing = await _preparing(session, run)
        if mailing is None:
            return
        lines = await count_list(session, mailing_id=mailing.id)
        if not await _goes_on(session, run, mailing, done=lines.total, total=lines.total):
            return
        if judge_again:
            # Whoever withdrew while the list was populated found no line to take out; now there are lines (D47).
            await service.update_list(session, mailing=mailing, membership=False)
        planned = schedule_of(mailing)
        composer = Composer(settings=context.settings, tokens=context.tokens)
        try:
            begun = await service.begin(
                session, mailing=mailing, composer=composer, local=planned.local if planned else None
            )
        except NotReady as problem:
            detail = " ".join([problem.detail, *(error.detail for error in problem.errors)])
            await _abandon(session, run, mailing, detail=detail)
            return
        if not begun:
            move(mailing, "expire", reason="It was past send_before in the time zone of every recipient.")
            await _end(session, run, OperationState.FAILED, detail=mailing.state_reason)
            return
        counts = await count_list(session, mailing_id=mailing.id)
        await _end(session, run, OperationState.SUCCEEDED, ready=counts.by_status[RecipientStatus.READY])


async def _preparing(session: AsyncSession, run: JobRun) -> Mailing | None:
    """Return the mailing, locked; None, with an end to the job, when it is not being prepared any more."""
    mailing = await queries.find_mailing(session, mailing_id=run.args["mailing"], lock=True)
    if mailing is not None and mailing.state is MailingState.PREPARING:
        return mailing
    await _end(session, run, OperationState.CANCELLED)
    return None


async def _goes_on(session: AsyncSession, run: JobRun, mailing: Mailing, *, done: int, total: int | None) -> bool:
    """Record progress; False, with an end to the job, when somebody cancelled or it got too late (D27)."""
    if await advance(session, operation_id=run.args["operation"], done=done, total=total):
        await _abandon(session, run, mailing, detail=None)
        return False
    if expire_overdue(mailing):
        await _end(session, run, OperationState.FAILED, detail=mailing.state_reason)
        return False
    return True


async def _abandon(session: AsyncSession, run: JobRun, mailing: Mailing, *, detail: str | None) -> None:
    reason = detail or "preparing was cancelled"
    if mailing.send_at is not None:
        reason = f"It was scheduled for {mailing.send_at:%Y-%m-%dT%H:%M:%SZ}, and was not sent: {reason}"
    move(mailing, "abandon", reason=reason)
    mailing.forget_schedule()
    await _end(session, run, OperationState.FAILED if detail else OperationState.CANCELLED, detail=detail)


async def _end(
    session: AsyncSession, run: JobRun, state: OperationState, *, detail: str | None = None, ready: int | None = None
) -> None:
    await close_operation(
        session, operation_id=run.args["operation"], state=state, error={"detail": detail} if detail else None,
        result=None if ready is None else {"ready": ready},
    )  # fmt: skip
    await run.finish(session)
