"""Is a mailing ready to be sent? Five steps, every problem named (D26)."""

from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.checks import check_message
from app.content.compiled import CompiledMessage
from app.content.compiler import MessageSource, compile_message
from app.content.headers import HeaderError, UnsendableAddressError
from app.content.merge_tags import CONTACT_TAGS, MergeTagError
from app.mailings.account_checks import check_accounts
from app.mailings.composing import Composer, source_of
from app.mailings.empty_tags import Survey, as_written, survey
from app.mailings.errors import NotReady
from app.mailings.models import Mailing
from app.mailings.schemas import Readiness, Remark, Step, StepName, StepState, problem, warning
from app.mailings.setup_checks import check_contacts, check_setup
from app.platform.errors import InvalidField
from app.recipients import queries as recipient_queries
from app.recipients.models import RecipientStatus
from app.recipients.schemas import ListCounts
from app.recipients.service import counts_of

MOST_SURVEYED = 50_000
"""Ready recipients that are asked for empty tags: some 0.1 s. The empty-tag report asks the whole list (D14)."""

_STAND_IN = "nobody@sender.invalid"  # for an address that is missing or cannot be sent, which the setup step says


async def judge(session: AsyncSession, *, mailing: Mailing, composer: Composer, surveyed: bool = True) -> Readiness:
    """Return the state of each step with its problems and warnings; only problems stop the mailing.

    Without `surveyed` no recipients are asked for empty tags and contacts, which gives warnings at most.
    """
    settings = composer.settings
    source = await source_of(session, mailing=mailing, composer=composer)
    sources = await recipient_queries.list_sources(session, mailing_id=mailing.id)
    counts = counts_of(await recipient_queries.read_tallies(session, mailing_id=mailing.id))
    setup = await check_setup(session, mailing=mailing, require_approved=settings.require_approved_domains)
    setup += await check_accounts(session, mailing=mailing, settings=settings)
    content, compiled = _content(source, settings.public_url)
    if surveyed and compiled is not None:
        about_sender, about_tags = await _survey(session, mailing, compiled)
        setup, content = [*setup, *about_sender], [*content, *about_tags]
    steps = [
        _step(StepName.SETUP, setup, started=bool(mailing.from_email)),
        _template(mailing),
        _step(StepName.CONTENT, content, started=bool(mailing.html)),
        _step(
            StepName.RECIPIENTS, _recipients(mailing, has_sources=bool(sources), counts=counts), started=bool(sources)
        ),
    ]
    ready = all(step.state is StepState.COMPLETE for step in steps)
    confirm = Step(step=StepName.CONFIRM, state=StepState.COMPLETE if ready else StepState.NOT_STARTED, remarks=[])
    return Readiness(ready=ready, steps=[*steps, confirm], recipients=counts)


async def check_ready(session: AsyncSession, *, mailing: Mailing, composer: Composer) -> None:
    """Raise NotReady with every problem named, if there is any (D26)."""
    readiness = await judge(session, mailing=mailing, composer=composer, surveyed=False)
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


def _template(mailing: Mailing) -> Step:
    """Judge the template step: a template is a beginning, not a duty, and written content will do."""
    chosen = mailing.template_id is not None or bool(mailing.html)
    return Step(step=StepName.TEMPLATE, state=StepState.COMPLETE if chosen else StepState.NOT_STARTED, remarks=[])


def _content(source: MessageSource, public_url: str) -> tuple[list[Remark], CompiledMessage | None]:
    if not source.html.strip():
        return [problem("no_content", "Write the content, or take it from a template.")], None
    compiled: CompiledMessage | MergeTagError
    try:
        compiled = _compile(source, public_url)
    except MergeTagError as error:
        compiled = error
    except (HeaderError, UnsendableAddressError) as error:
        return [problem("bad_header", f"The message's head cannot be written: {error}")], None
    remarks = [
        Remark(code=found.code, severity=found.severity, detail=found.detail, line=found.line, column=found.column)
        for found in check_message(source, compiled)
    ]
    return remarks, None if isinstance(compiled, MergeTagError) else compiled


def _compile(source: MessageSource, public_url: str) -> CompiledMessage:
    try:
        return compile_message(source, public_url=public_url)
    except UnsendableAddressError:  # it is no reason to say nothing of the content
        return compile_message(replace(source, from_email=_STAND_IN, reply_to=None), public_url=public_url)


async def _survey(
    session: AsyncSession, mailing: Mailing, compiled: CompiledMessage
) -> tuple[list[Remark], list[Remark]]:
    """Return what the list says of the sender and of merge tags; nothing is asked where all have their values."""
    contacts = {tag for tag in compiled.tags if tag in CONTACT_TAGS and tag.endswith(".email")}
    asked = compiled.undefaulted | contacts
    found = Survey(0, {})
    if asked:
        found = await survey(session, mailing_id=mailing.id, tags=asked, most=MOST_SURVEYED)
    first = "the first " if found.ready == MOST_SURVEYED else ""
    looked_at = f"{first}{found.ready} ready recipients"
    without = {tag.partition(".")[0]: found.empty[tag] for tag in contacts}
    about_tags = [
        warning("empty_tag", f"[[{as_written(tag, compiled)}]] is empty for {found.empty[tag]} of {looked_at}.")
        for tag in sorted(compiled.undefaulted)
        if found.empty[tag]
    ]
    about_tags += [
        warning("empty_tag", f"[[{tag}]] is empty for everyone: the mailing has no value for it.")
        for tag in sorted(compiled.missing)
    ]
    return list(check_contacts(mailing, without=without, looked_at=looked_at)), about_tags


def _recipients(mailing: Mailing, *, has_sources: bool, counts: ListCounts) -> list[Remark]:
    if not has_sources:
        return [problem("no_sources", "Add recipients: a selection, persons or addresses.")]
    if mailing.list_updated_at is None:
        return [warning("list_behind", "The list is being brought in line with its sources.")]
    if not counts.by_status[RecipientStatus.READY]:
        why = ", ".join(f"{count} {reason.value}" for reason, count in counts.blocked_by_reason.items())
        return [problem("nobody_ready", f"Nobody on the list may get this mailing ({why or 'the list is empty'}).")]
    return []
