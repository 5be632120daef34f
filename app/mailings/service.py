"""Mailings: drafts, their content and sources, and the verbs that move them (D26-D29)."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.blocked import blocked_addresses
from app.content.service import check_content, read_template
from app.delivery import service as delivery
from app.delivery.parts import LocalTime, part_recipients
from app.mailings import queries
from app.mailings.attachment_queries import copy_attachments, take_away_attachments
from app.mailings.composing import Composer, compile_mailing
from app.mailings.errors import BlockedTestAddress
from app.mailings.models import Mailing, MailingState, TestMessage, UnconfirmedPolicy
from app.mailings.options import check_options
from app.mailings.readiness import check_ready
from app.mailings.references import ASSOCIATION, check_references, forget_missing
from app.mailings.schemas import MessageTest
from app.mailings.senders import REPLIES, settle_replies
from app.mailings.states import check_editable, check_sources_open, move
from app.platform.clock import now
from app.platform.errors import Invalid, InvalidField
from app.platform.operations import Operation, OperationState, close_operation, open_operation
from app.platform.outbox import Job, enqueue
from app.platform.settings import Settings
from app.recipients import queries as recipient_queries
from app.recipients import service as recipients
from app.recipients.association import keep_association
from app.recipients.errors import MailingNotFound, RecipientNotFound
from app.recipients.list_queries import ListChange, ListRules, count_brought
from app.recipients.models import MailingSource
from app.recipients.schemas import AddressesSourceIn, Source

SMALL = 10_000  # lines that sources bring; up to here evaluating them takes some 0.2 s, and answers are up to date
SETUP_FIELDS_OF_LIST = {
    "subscription_type_id", "override_consent", "one_per_address", "include_companies", "prefer_company",
}  # fmt: skip


async def read_mailing(session: AsyncSession, *, mailing_id: int, lock: bool = False) -> Mailing:
    """Return a mailing; raises MailingNotFound. `lock` keeps two verbs from moving it at once."""
    mailing = await queries.find_mailing(session, mailing_id=mailing_id, lock=lock)
    if mailing is None:
        raise MailingNotFound(f"There is no mailing {mailing_id}.")
    return mailing


async def create_mailing(session: AsyncSession, *, fields: dict[str, Any], caller: str) -> Mailing:
    """Add a draft; with a template, its content is copied (D8). Raises Invalid for references that lead nowhere."""
    subject = fields.pop("subject", None)
    settle_replies(fields)
    await check_references(session, fields)
    mailing = Mailing(**fields, override_by=caller if fields.get("override_consent") else None)
    check_options(mailing, changed=fields.keys())
    if mailing.template_id is not None:
        template = await read_template(session, template_id=mailing.template_id)
        mailing.subject, mailing.html, mailing.text = template.subject, template.html, template.text
        mailing.mjml = template.mjml
    if subject is not None:
        mailing.subject = subject
    await check_content(session, subject=mailing.subject, html=mailing.html, mjml=mailing.mjml, text=mailing.text)
    return await _add(session, mailing)


async def _add(session: AsyncSession, mailing: Mailing) -> Mailing:
    """Add a draft; what it is associated with is a source of it from the start (D19)."""
    session.add(mailing)
    await session.flush()
    await session.refresh(mailing)
    if await _keep_association(session, mailing):
        await list_is_behind(session, mailing)
    return mailing


async def copy_mailing(session: AsyncSession, *, mailing_id: int, caller: str) -> Mailing:
    """Add a draft with the setup, content and attachments of another mailing (D8).

    Of its sources, only the selection or project that it is associated with is taken along. Where consent is
    overridden, it is the caller who does so now (D21).
    """
    source = await read_mailing(session, mailing_id=mailing_id)
    kept = {
        "state", "state_reason", "version", "id", "created_at", "updated_at", "started_at", "finished_at",
        "list_updated_at", "prepare_operation_id", "send_at", "send_before", "starts_at", "time_zone",
        "recipient_local_time",
    }  # fmt: skip
    fields = source.model_dump(exclude=kept) | {"name": f"{source.name} (copy)"[:200]}
    if fields["override_consent"]:
        fields["override_by"] = caller
    await forget_missing(session, fields)
    copy = await _add(session, Mailing(**fields))
    await copy_attachments(session, source_id=mailing_id, target_id=copy.id)
    return copy


async def change_setup(session: AsyncSession, *, mailing: Mailing, fields: dict[str, Any], caller: str) -> Mailing:
    """Change a draft's setup; options that decide who may get it bring the list up to date.

    A mailing in any state can be put into another folder.
    """
    if fields.keys() != {"folder_id"}:
        check_editable(mailing)
    if fields.keys() & REPLIES:
        settle_replies(fields, mailing=mailing)
    await check_references(session, fields)
    mailing.sqlmodel_update(fields)
    if mailing.override_consent and not mailing.override_reason:
        raise Invalid.field("#/override_reason", "override_consent needs a reason: it is recorded with who and why.")
    if "override_consent" in fields:
        mailing.override_by = caller if mailing.override_consent else None
    check_options(mailing, changed=fields.keys())
    associated = bool(fields.keys() & ASSOCIATION) and await _keep_association(session, mailing)
    if associated or fields.keys() & SETUP_FIELDS_OF_LIST:
        await list_is_behind(session, mailing)
    return await _touch(session, mailing)


async def change_content(session: AsyncSession, *, mailing: Mailing, fields: dict[str, Any]) -> Mailing:
    """Replace a draft's content by fields that are `written_out`.

    Raises InvalidContent with line and column of unknown merge tags (D11).
    """
    check_editable(mailing)
    await check_content(session, **{name: fields[name] for name in ("subject", "html", "mjml", "text")})
    mailing.sqlmodel_update(fields)
    return await _touch(session, mailing)


async def delete_mailing(session: AsyncSession, *, mailing_id: int) -> None:
    """Delete a draft with its list; anything that was ever sent stays, since its links work for ever (D41)."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    check_editable(mailing)
    await take_away_attachments(session, mailing_id=mailing_id)
    await recipient_queries.delete_list(session, mailing_id=mailing_id)
    await session.delete(mailing)


async def _touch(session: AsyncSession, mailing: Mailing) -> Mailing:
    mailing.version += 1
    mailing.updated_at = now()
    await session.flush()
    return mailing


# Sources and the list


async def add_source(session: AsyncSession, *, mailing: Mailing, source: Source, recorded_by: str) -> MailingSource:
    """Add a source until sending starts; the list follows, in the background when it is large (D17)."""
    check_sources_open(mailing)
    if isinstance(source, AddressesSourceIn):
        added = await recipients.add_addresses(session, mailing_id=mailing.id, pasted=source, recorded_by=recorded_by)
    else:
        what = source.model_dump(exclude={"kind"})
        added = await recipients.add_source(session, mailing_id=mailing.id, **what)
    await list_is_behind(session, mailing)
    return added


async def remove_source(session: AsyncSession, *, mailing: Mailing, source_id: int) -> None:
    """Remove a source until sending starts; the list follows, in the background when it is large."""
    check_sources_open(mailing)
    await recipients.remove_source(session, mailing_id=mailing.id, source_id=source_id)
    await list_is_behind(session, mailing)


async def _keep_association(session: AsyncSession, mailing: Mailing) -> bool:
    return await keep_association(
        session, mailing_id=mailing.id, selection_id=mailing.selection_id, project_id=mailing.project_id
    )


async def list_is_behind(session: AsyncSession, mailing: Mailing) -> None:
    """Have the list follow its sources and rules: at once while it is small, else in a job."""
    mailing.list_updated_at = None
    await session.flush()
    if await count_brought(session, mailing_id=mailing.id, most=SMALL) < SMALL:
        await update_list(session, mailing=mailing)
        return
    await enqueue(session, Job.LIST_UPDATE, dedup=f"list:{mailing.id}", mailing=mailing.id)


async def request_list_update(session: AsyncSession, *, mailing: Mailing) -> Operation:
    """Have the sources evaluated again; the operation's result says how many were added, removed, changed (D23)."""
    check_sources_open(mailing)
    operation = await open_operation(session, kind="update-list")
    await enqueue(session, Job.LIST_UPDATE, mailing=mailing.id, operation=operation.id)
    return operation


async def update_list(session: AsyncSession, *, mailing: Mailing, membership: bool = True) -> ListChange:
    """Bring a mailing's list in line with its sources and rules.

    What it is associated with may be deleted since: of a selection and a project, the one that is left is the source.
    """
    if membership:
        await _keep_association(session, mailing)
    rules = ListRules(
        subscription_type_id=mailing.subscription_type_id,
        override_consent=mailing.override_consent,
        one_per_address=mailing.one_per_address,
        include_companies=mailing.include_companies,
        prefer_company=mailing.prefer_company,
    )
    change = await recipients.update_list(session, mailing_id=mailing.id, rules=rules, membership=membership)
    if membership:
        mailing.list_updated_at = now()
    return change


# Verbs


async def send(session: AsyncSession, *, mailing_id: int, composer: Composer) -> Operation:
    """Begin to send: the mailing becomes *preparing*, and a job freezes it (D26-D28).

    A schedule is over with that: whoever sends by hand means now, and everyone. Raises IllegalTransition, or NotReady
    with every problem named.
    """
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    expired = mailing.state is MailingState.EXPIRED
    operation = await prepare(session, mailing=mailing)
    await check_ready(session, mailing=mailing, composer=composer)
    mailing.forget_schedule()
    if expired:  # nobody kept its list
        mailing.list_updated_at = None
    return operation


async def prepare(session: AsyncSession, *, mailing: Mailing, verb: str = "send") -> Operation:
    """Have a mailing prepared, whose row is locked; raises IllegalTransition."""
    move(mailing, verb)
    operation = await open_operation(session, kind="prepare-mailing")
    mailing.prepare_operation_id = operation.id
    await enqueue(session, Job.MAILING_PREPARE, mailing=mailing.id, operation=operation.id)
    return operation


async def begin(session: AsyncSession, *, mailing: Mailing, composer: Composer, local: LocalTime | None = None) -> bool:
    """Freeze a prepared mailing into a dispatch and start its senders; raises NotReady.

    With `local`, each recipient's own clock is to show that time (D27); False when it is too late for everyone.
    """
    await check_ready(session, mailing=mailing, composer=composer)
    parts = await part_recipients(session, mailing_id=mailing.id, local=local) if local else []
    if parts and all(part.is_late() for part in parts):
        return False
    compiled, link_ids = await compile_mailing(session, mailing=mailing, composer=composer, frozen=True)
    await delivery.freeze(
        session, mailing_id=mailing.id, compiled=compiled, link_ids=link_ids, senders=composer.settings.senders,
        parts=parts,
    )  # fmt: skip
    move(mailing, "begin")
    return True


async def stop(session: AsyncSession, *, mailing_id: int, reason: str) -> Mailing:
    """Stop sending within seconds; nothing that was not started is started any more (D29)."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    move(mailing, "stop", reason=reason)
    await delivery.halt(session, mailing_id=mailing_id)
    return mailing


async def start(session: AsyncSession, *, mailing_id: int, settings: Settings) -> Mailing:
    """Go on exactly where sending stopped (D29); a mailing that failed before it was frozen is prepared again."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    frozen = await delivery.resume(session, mailing_id=mailing_id, senders=settings.senders)
    if frozen or mailing.state is not MailingState.FAILED:
        move(mailing, "start")
    else:
        await prepare(session, mailing=mailing, verb="prepare")
    return mailing


async def cancel(session: AsyncSession, *, mailing_id: int) -> Mailing:
    """Cancel a mailing for good; what was sent stays sent, and preparing it ends."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    move(mailing, "cancel")
    if mailing.prepare_operation_id is not None:
        await close_operation(session, operation_id=mailing.prepare_operation_id, state=OperationState.CANCELLED)
    await delivery.halt(session, mailing_id=mailing_id)
    return mailing


async def stop_for_fault(session: AsyncSession, *, mailing_id: int, words: str) -> None:
    """Stop a mailing because of a fault on our side, with the server's words; nobody is marked bounced (D32)."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    if mailing.state is MailingState.SENDING:
        move(mailing, "stop", reason=words)
        await delivery.halt(session, mailing_id=mailing_id)


async def fail(session: AsyncSession, *, mailing_id: int, reason: str) -> None:
    """Give up because of a fault in the system; `start` goes on where it stopped (D28)."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    if mailing.state in (MailingState.PREPARING, MailingState.SENDING):
        move(mailing, "fail", reason=reason)
        await delivery.halt(session, mailing_id=mailing_id)


async def keep_going(session: AsyncSession, *, mailing_id: int, settings: Settings) -> None:
    """See that a mailing goes on (retries, free chunks) and finishes when nothing is left to do."""
    mailing = await read_mailing(session, mailing_id=mailing_id, lock=True)
    if mailing.state is not MailingState.SENDING:
        return
    done = await delivery.keep_going(
        session,
        mailing_id=mailing_id,
        resend_unconfirmed=mailing.unconfirmed_policy is UnconfirmedPolicy.RESEND,
        settings=settings,
    )
    if done:
        move(mailing, "finish")


# Tests


async def request_test(session: AsyncSession, *, mailing: Mailing, wanted: MessageTest) -> Operation:
    """Send a test to one or several addresses, rendered as a chosen recipient; never in the statistics (D15).

    Raises BlockedTestAddress when nothing may go to one of them: who blocked an address meant tests, too.
    """
    blocked = await blocked_addresses(session, emails=wanted.addresses)
    if blocked:
        faults = [
            InvalidField(pointer=f"#/addresses/{index}", detail="Nothing may go to this address: it is blocked.")
            for index, address in enumerate(wanted.addresses)
            if address in blocked
        ]
        raise BlockedTestAddress(
            "Nothing may go to some of these addresses; unblock them, or leave them out.", errors=faults
        )
    recipient_id = wanted.recipient_id
    if recipient_id is None:
        recipient_id = await queries.first_ready_recipient(session, mailing_id=mailing.id)
        if recipient_id is None:
            raise RecipientNotFound(f"Mailing {mailing.id} has no ready recipient to render the test as.")
    else:
        await recipients.read_recipient(session, mailing_id=mailing.id, recipient_id=recipient_id)
    operation = await open_operation(session, kind="test-message")
    test = TestMessage(
        mailing_id=mailing.id, operation_id=operation.id, recipient_id=recipient_id, addresses=wanted.addresses
    )
    session.add(test)
    await session.flush()
    await enqueue(session, Job.TEST_SEND, test=test.id, operation=operation.id)
    return operation
