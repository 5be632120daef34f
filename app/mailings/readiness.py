"""Is a mailing ready to be sent? Five steps, every problem named (D26)."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.checks import check_message
from app.content.compiler import MessageSource, compile_message
from app.content.headers import HeaderError, UnsendableAddressError
from app.content.merge_tags import MergeTagError
from app.mailings.composing import Composer, source_of
from app.mailings.errors import NotReady
from app.mailings.models import Mailing
from app.mailings.schemas import Readiness, Remark, Step, StepName, StepState
from app.platform.errors import InvalidField
from app.recipients import queries as recipient_queries
from app.recipients.models import RecipientStatus
from app.recipients.schemas import ListCounts
from app.recipients.service import counts_of


async def judge(session: AsyncSession, *, mailing: Mailing, composer: Composer) -> Readiness:
    """Return the state of each step with its problems and warnings; only problems stop the mailing."""
    source = await source_of(session, mailing=mailing, composer=composer)
    sources = await recipient_queries.list_sources(session, mailing_id=mailing.id)
    counts = counts_of(await recipient_queries.read_tallies(session, mailing_id=mailing.id))
    steps = [
        _step(StepName.SETUP, _setup(mailing), started=bool(mailing.from_email)),
        _template(mailing),
        _step(StepName.CONTENT, _content(source, composer.settings.public_url), started=bool(mailing.html)),
        _step(
            StepName.RECIPIENTS, _recipients(mailing, has_sources=bool(sources), counts=counts), started=bool(sources)
        ),
    ]
    ready = all(step.state is StepState.COMPLETE for step in steps)
    confirm = Step(step=StepName.CONFIRM, state=StepState.COMPLETE if ready else StepState.NOT_STARTED, remarks=[])
    return Readiness(ready=ready, steps=[*steps, confirm], recipients=counts)


async def check_ready(session: AsyncSession, *, mailing: Mailing, composer: Composer) -> None:
    """Raise NotReady with every problem named, if there is any (D26)."""
    readiness = await judge(session, mailing=mailing, composer=composer)
    if readiness.ready:
        return
    problems = [
        InvalidField(pointer=f"#/{step.step.value}", detail=remark.detail)
        for step in readiness.steps
        if step.state is not StepState.COMPLETE
        for remark in step.remarks
        if remark.severity == "problem"
    ]
    raise NotReady("The mailing is incomplete; see its readiness.", errors=problems)


def _step(name: StepName, remarks: list[Remark], *, started: bool) -> Step:
    if any(remark.severity == "problem" for remark in remarks):
        state = StepState.INCOMPLETE if started else StepState.NOT_STARTED
    else:
        state = StepState.COMPLETE
    return Step(step=name, state=state, remarks=remarks)


def _problem(code: str, detail: str) -> Remark:
    return Remark(code=code, severity="problem", detail=detail)


def _warning(code: str, detail: str) -> Remark:
    return Remark(code=code, severity="warning", detail=detail)


def _setup(mailing: Mailing) -> list[Remark]:
    remarks = []
    if not mailing.from_email:
        remarks.append(_problem("no_sender", "Give the address the mailing is from (`from_email`)."))
    if not mailing.from_name:
        remarks.append(_warning("no_sender_name", "Without `from_name` readers see the bare address."))
    if mailing.override_consent:
        remarks.append(_warning("consent_overridden", f"Consent is overridden: {mailing.override_reason}"))
    return remarks


def _template(mailing: Mailing) -> Step:
    """Judge the template step: a template is a beginning, not a duty, and written content will do."""
    chosen = mailing.template_id is not None or bool(mailing.html)
    return Step(step=StepName.TEMPLATE, state=StepState.COMPLETE if chosen else StepState.NOT_STARTED, remarks=[])


def _content(source: MessageSource, public_url: str) -> list[Remark]:
    if not source.html.strip():
        return [_problem("no_content", "Write the content, or take it from a template.")]
    try:
        compiled = compile_message(source, public_url=public_url)
    except MergeTagError as error:
        findings = check_message(source, error)
    except (HeaderError, UnsendableAddressError) as error:
        return [_problem("bad_header", f"The message's head cannot be written: {error}")]
    else:
        findings = check_message(source, compiled)
    return [
        Remark(code=found.code, severity=found.severity, detail=found.detail, line=found.line, column=found.column)
        for found in findings
    ]


def _recipients(mailing: Mailing, *, has_sources: bool, counts: ListCounts) -> list[Remark]:
    if not has_sources:
        return [_problem("no_sources", "Add recipients: a selection, persons or addresses.")]
    if mailing.list_updated_at is None:
        return [_warning("list_behind", "The list is being brought in line with its sources.")]
    if not counts.by_status[RecipientStatus.READY]:
        why = ", ".join(f"{count} {reason.value}" for reason, count in counts.blocked_by_reason.items())
        return [_problem("nobody_ready", f"Nobody on the list may get this mailing ({why or 'the list is empty'}).")]
    return []
