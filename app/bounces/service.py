"""Taking in bounces, and the messages that report them (D57-D59)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

from sqlmodel.ext.asyncio.session import AsyncSession

from app.bounces import queries
from app.bounces.dsn import Report, ReportKind
from app.bounces.models import BounceKind, BounceOrigin, InboundMessage
from app.bounces.queries import ListedBounce
from app.consent.blocked import block_address
from app.consent.models import BlockReason
from app.platform.clock import now
from app.platform.outbox import Job, enqueue
from app.recipients.models import RecipientStatus
from app.recipients.service import check_mailing

# A server nearby may report a bounce before the sender has stored that the message left, even of a recipient that was
# blocked while it was on its way: then the report waits, since the result that comes would hide it.
LOOK_AGAIN: Final = timedelta(seconds=10)
GIVE_UP_AFTER: Final = timedelta(hours=1)  # results are stored within seconds; an hour covers a database that was away

_MAILED: Final = frozenset(
    {
        RecipientStatus.SENT,
        RecipientStatus.UNCONFIRMED,
        RecipientStatus.DEFERRED,
        RecipientStatus.FAILED,
        RecipientStatus.BOUNCED,
    }
)


class Taken(StrEnum):
    """What taking in a bounce came to."""

    COUNTED = "counted"
    REPEATED = "repeated"  # this origin has reported it before
    GONE = "gone"  # the recipient was deleted
    NOT_MAILED = "not_mailed"  # no message went there, as far as results are stored


async def take_in_bounce(
    session: AsyncSession,
    *,
    recipient_id: int,
    kind: BounceKind,
    origin: BounceOrigin,
    status: str | None,
    detail: str,
) -> Taken:
    """Record that a message did not arrive: the bounce, the recipient's status, and the blocked address (D58, D59).

    Counts once per recipient and origin. `status` is an RFC 3463 code, `detail` the server's words. A hard bounce
    blocks the address for every later mailing.
    """
    recipient = await queries.lock_recipient(session, recipient_id=recipient_id)
    if recipient is None:
        return Taken.GONE
    if recipient.status not in _MAILED:
        return Taken.NOT_MAILED
    if not recipient.email_key:
        detail = ""  # erased: the server's words name the address (D78)
    counted = await queries.add_bounce(
        session, recipient=recipient, kind=kind, origin=origin, status=status, detail=detail
    )
    if not counted:
        return Taken.REPEATED
    await queries.mark_bounced(session, recipient_id=recipient_id, kind=kind, reply=detail, at=now())
    if kind is BounceKind.HARD and recipient.email_key:
        await block_address(
            session,
            email=recipient.email,
            reason=BlockReason.HARD_BOUNCE,
            origin=detail,
            mailing_id=recipient.mailing_id,
        )
    return Taken.COUNTED


async def keep_message(session: AsyncSession, *, recipient_ids: Sequence[int], octets: bytes) -> int:
    """Store a message once per return path it came to, with a job to read each; return how many were new.

    The digest covers the recipient and the octets, so a message that is delivered twice is one row.
    """
    new = 0
    for recipient_id in dict.fromkeys(recipient_ids):
        digest = sha256(recipient_id.to_bytes(8, "big") + octets).digest()
        message_id = await queries.add_inbound_message(session, digest=digest, recipient_id=recipient_id, octets=octets)
        if message_id is not None:
            await enqueue(session, Job.BOUNCE_READ, message=message_id)
            new += 1
    return new


@dataclass(frozen=True, slots=True)
class UnreadMessage:
    """A stored message, with the address of the recipient its return path belongs to (None when that one is gone)."""

    octets: bytes
    address: str | None


async def open_message(session: AsyncSession, *, message_id: int) -> UnreadMessage | None:
    """Return a message that is to be read, or None when it has been read or deleted."""
    message = await queries.find_unread_message(session, message_id=message_id)
    if message is None:
        return None
    address = await queries.find_address(session, recipient_id=message.recipient_id)
    return UnreadMessage(message.octets, address or None)


_BOUNCES: Final = {ReportKind.BOUNCE_HARD: BounceKind.HARD, ReportKind.BOUNCE_SOFT: BounceKind.SOFT}


async def take_in_report(session: AsyncSession, *, message_id: int, report: Report) -> None:
    """Do what the report in a stored message asks for, and mark the message as read with its outcome.

    The outcome is the kind of report, for bounces with what it came to: `bounce_hard:counted`. A bounce of a recipient
    whose sending is not stored yet is looked at again later. A message that was read in between stays as it is.
    """
    message = await queries.find_unread_message(session, message_id=message_id, lock=True)
    if message is None:
        return
    outcome = report.kind.value
    if report.kind in _BOUNCES:
        taken = await take_in_bounce(
            session,
            recipient_id=message.recipient_id,
            kind=_BOUNCES[report.kind],
            origin=BounceOrigin.DSN,
            status=report.status,
            detail=report.detail,
        )
        if taken is Taken.NOT_MAILED and now() - message.created_at < GIVE_UP_AFTER:
            await enqueue(session, Job.BOUNCE_READ, due_at=now() + LOOK_AGAIN, message=message_id)
            return
        outcome = f"{outcome}:{taken}"
    _close(message, outcome)
    if not await queries.find_address(session, recipient_id=message.recipient_id):
        message.octets = b""  # erased since the message left (D78)
    await session.flush()


def _close(message: InboundMessage, outcome: str) -> None:
    message.read_at = now()
    message.outcome = outcome


async def list_bounces(
    session: AsyncSession,
    *,
    mailing_id: int,
    kind: BounceKind | None,
    origin: BounceOrigin | None,
    after: int | None,
    limit: int,
) -> Sequence[ListedBounce]:
    """Return a page of a mailing's bounces, oldest first, with one more than `limit`; raises MailingNotFound."""
    await check_mailing(session, mailing_id=mailing_id)
    return await queries.page_of_bounces(
        session, mailing_id=mailing_id, kind=kind, origin=origin, after=after, limit=limit
    )
