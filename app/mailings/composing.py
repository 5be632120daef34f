"""From a mailing to its message: compiling, checking, previewing."""

from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import Project
from app.consent.models import SubscriptionType
from app.content.attached import Attachment
from app.content.compiled import CompiledMessage, preview
from app.content.compiler import MessageSource, compile_message
from app.content.headers import HeaderError, UnsendableAddressError, UnsendableError
from app.content.library import wanted
from app.content.library_queries import read_library
from app.content.merge_tags import MergeTagError
from app.delivery.attached import make_tail
from app.delivery.merge_data import BY_ID, select_recipients
from app.delivery.plan import NOBODY, Plan
from app.delivery.service import plan_of
from app.delivery.smtp.feed import Stuffed
from app.delivery.viewing import frozen_message
from app.domains.signing import load_signers
from app.mailings import queries
from app.mailings.attachment_queries import list_attachments
from app.mailings.errors import NotReady
from app.mailings.models import Mailing
from app.mailings.schemas import PreviewOut
from app.mailings.senders import contact_of
from app.platform.clock import now
from app.platform.errors import InvalidField
from app.platform.settings import Settings
from app.platform.tokens import TokenKey
from app.platform.wall_clock import find_zone
from app.recipients.errors import RecipientNotFound
from app.tracking.service import register_links


@dataclass(frozen=True, slots=True)
class Composer:
    """What composing needs besides the database."""

    settings: Settings
    tokens: TokenKey


async def source_of(
    session: AsyncSession, *, mailing: Mailing, composer: Composer, test: bool = False
) -> MessageSource:
    """Return what a mailing's message is compiled from; a test says so in subject and header (D15)."""
    settings = composer.settings
    kind = None
    if mailing.subscription_type_id is not None:
        kind = await session.get(SubscriptionType, mailing.subscription_type_id)
    identifier = f"{kind.id if kind else 'any'}.lists.{settings.public_host}"
    return MessageSource(
        subject=f"[Test] {mailing.subject}" if test else mailing.subject,
        html=mailing.html,
        text=mailing.text,
        from_name=mailing.from_name,
        from_email=mailing.from_email,
        sender_contact=contact_of(mailing.from_rule),
        reply_to_name=mailing.reply_to_name,
        reply_to=mailing.reply_to,
        reply_contact=contact_of(mailing.reply_to_rule),
        language=mailing.language,
        list_id=f"{kind.name} <{identifier}>" if kind else identifier,
        feedback_id=f"{mailing.id}:{kind.id if kind else 0}:{mailing.type.value}:{settings.sender_id}",
        unsubscribe_email=settings.unsubscribe_email,
        track_opens=mailing.track_opens,
        track_all_links=mailing.track_all_links,
        honeypot=mailing.honeypot_link,
        library=await read_library(session, wanted=wanted(mailing.html, mailing.text)),
        utm_source=mailing.utm_source,
        utm_campaign=mailing.utm_campaign,
        values={
            "mailing.name": mailing.name,
            "mailing.date": _date_of(mailing),
            **await _project_values(session, mailing),
        },
        attachments=await _attachments(session, mailing),
        headers=(("X-Budstikke-Test", "yes"),) if test else (),
    )


def _date_of(mailing: Mailing) -> str:
    """Return the date a mailing is sent: the day it is frozen, in the schedule's time zone; previews show today's.

    By recipients' own clocks it is the day that all of them show then (D27).
    """
    moment = mailing.send_at if mailing.recipient_local_time and mailing.send_at else now()
    return f"{moment.astimezone(find_zone(mailing.time_zone) or UTC):%Y-%m-%d}"


async def _attachments(session: AsyncSession, mailing: Mailing) -> list[Attachment]:
    """Return what is known of a mailing's attachments; their octets are read by whoever sends them."""
    return [
        Attachment(row.file_id, row.name, row.content_type, row.size, row.content_id)
        for row in await list_attachments(session, mailing_id=mailing.id)
    ]


async def _project_values(session: AsyncSession, mailing: Mailing) -> dict[str, str]:
    """Return what the tags of the associated project stand for: the same for everyone, and frozen with the message."""
    project = await session.get(Project, mailing.project_id) if mailing.project_id is not None else None
    if project is None:
        return {}
    values = {"name": project.name, "number": project.number, "description": project.description}
    return {f"project.{tag}": value for tag, value in values.items() if value}


def compile_source(source: MessageSource, *, public_url: str) -> CompiledMessage:
    """Compile a message; raises NotReady with the place of every fault."""
    try:
        return compile_message(source, public_url=public_url)
    except MergeTagError as error:
        found = [
            InvalidField(
                pointer=f"#/{fault.where}", detail=f"Line {fault.line}, column {fault.column}: {fault.message}"
            )
            for fault in error.faults
        ]
        raise NotReady("The content has merge tags that cannot be used.", errors=found) from error
    except (HeaderError, UnsendableAddressError) as error:
        raise NotReady(f"The message's head cannot be written: {error}") from error


async def compile_mailing(
    session: AsyncSession, *, mailing: Mailing, composer: Composer, test: bool = False, frozen: bool = False
) -> tuple[CompiledMessage, list[int]]:
    """Compile a mailing and register its tracked links; returns the message and the links' ids by position."""
    source = await source_of(session, mailing=mailing, composer=composer, test=test)
    compiled = compile_source(source, public_url=composer.settings.public_url)
    ids = await register_links(
        session, mailing_id=mailing.id, targets=[link.target for link in compiled.links],
        library_link_ids=[link.library_link_id for link in compiled.links],
        honeypots=[link.honeypot for link in compiled.links], frozen=frozen,
    )  # fmt: skip
    return compiled, ids


async def _plan(session: AsyncSession, *, mailing: Mailing, composer: Composer, test: bool = False) -> Plan:
    """Return a plan of one message; only a test, which is sent, has its tail with it.

    What was frozen is shown as it is sent, whatever became of library links and the like since; a test says that it is
    one, and is compiled as a draft would be now.
    """
    frozen = None if test else await frozen_message(session, mailing_id=mailing.id)
    compiled, link_ids = frozen or await compile_mailing(session, mailing=mailing, composer=composer, test=test)
    return plan_of(
        mailing_id=mailing.id, dispatch_id=0, compiled=compiled, link_ids=link_ids,
        settings=composer.settings, tokens=composer.tokens,
        signers=await load_signers(session, secret=composer.settings.secret_key.get_secret_value()),
        tail=await make_tail(session, compiled.tail) if test else b"",
    )  # fmt: skip


async def _merge_row(session: AsyncSession, *, plan: Plan, recipient_id: int | None) -> Any:
    if recipient_id is None:
        recipient_id = await queries.first_ready_recipient(session, mailing_id=plan.mailing_id)
    select = select_recipients(plan.tags, where=BY_ID)
    params = {"mailing_id": plan.mailing_id, "recipient_id": recipient_id}
    row = (await session.exec(select, params=params)).one_or_none()  # type: ignore[call-overload]
    if row is None:
        wanted = "ready recipient" if recipient_id is None else f"recipient {recipient_id}"
        raise RecipientNotFound(f"Mailing {plan.mailing_id} has no {wanted}; add sources first.")
    return row


async def preview_mailing(
    session: AsyncSession, *, mailing: Mailing, composer: Composer, recipient_id: int | None
) -> PreviewOut:
    """Return what a recipient gets (D14): the very message, with tokens that nothing is counted for."""
    plan = await _plan(session, mailing=mailing, composer=composer)
    row = await _merge_row(session, plan=plan, recipient_id=recipient_id)
    data = plan.data(row, plan.tags, recipient_id=NOBODY)
    allowed = plan.allowed(row)
    try:
        shown = preview(plan.compiled, data, **allowed)
    except UnsendableError as error:
        raise NotReady(f"Recipient {row.id} cannot get this message: {error}.") from error
    size = len(bytes(plan.render(row, plan.tags, as_recipient=NOBODY))) + plan.compiled.tail_size
    return PreviewOut(
        recipient_id=row.id, sender=shown.sender, reply_to=shown.reply_to, subject=shown.subject, html=shown.html,
        text=shown.text, size=size,
    )  # fmt: skip


async def render_test(
    session: AsyncSession, *, mailing: Mailing, composer: Composer, recipient_id: int
) -> tuple[Stuffed, str, str]:
    """Return a test message as the given recipient would see it, its return path and its From domain."""
    plan = await _plan(session, mailing=mailing, composer=composer, test=True)
    row = await _merge_row(session, plan=plan, recipient_id=recipient_id)
    message = plan.render(row, plan.tags, as_recipient=NOBODY)
    return message, plan.return_path(NOBODY), plan.from_domain(row, plan.tags)
