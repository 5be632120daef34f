"""SQL of bounces and of the messages they come in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.bounces.models import Bounce, BounceKind, BounceOrigin, InboundMessage
from app.platform.db import run
from app.recipients.models import Recipient, RecipientStatus


@dataclass(frozen=True, slots=True)
class ListedBounce:
    """A bounce with the address of its recipient, None when the recipient is gone."""

    bounce: Bounce
    email: str | None

    @property
    def id(self) -> int:
        """The key of the list."""
        return self.bounce.id


async def add_inbound_message(session: AsyncSession, *, digest: bytes, recipient_id: int, octets: bytes) -> int | None:
    """Store a message and return its id; None when one with this digest is stored already."""
    added = (
        insert(InboundMessage)
        .values(digest=digest, recipient_id=recipient_id, octets=octets)
        .on_conflict_do_nothing(index_elements=["digest"])
        .returning(col(InboundMessage.id))
    )
    return (await session.exec(added)).scalar_one_or_none()


async def find_unread_message(session: AsyncSession, *, message_id: int, lock: bool = False) -> InboundMessage | None:
    """Return a message that has not been read yet; with `lock`, held until the transaction ends."""
    query = select(InboundMessage).where(InboundMessage.id == message_id, col(InboundMessage.read_at).is_(None))
    return (await session.exec(query.with_for_update() if lock else query)).one_or_none()


async def find_address(session: AsyncSession, *, recipient_id: int) -> str | None:
    """Return the address a recipient was sent to, or None when the recipient is gone."""
    return (await session.exec(select(Recipient.email).where(Recipient.id == recipient_id))).one_or_none()


async def lock_recipient(session: AsyncSession, *, recipient_id: int) -> Recipient | None:
    """Return a recipient, held until the transaction ends: results of a sender wait for it."""
    query = select(Recipient).where(Recipient.id == recipient_id).with_for_update()
    return (await session.exec(query.execution_options(populate_existing=True))).one_or_none()


async def add_bounce(
    session: AsyncSession,
    *,
    recipient: Recipient,
    kind: BounceKind,
    origin: BounceOrigin,
    status: str | None,
    detail: str,
) -> bool:
    """Add a bounce; False when the recipient has one of this origin."""
    added = (
        insert(Bounce)
        .values(
            mailing_id=recipient.mailing_id,
            recipient_id=recipient.id,
            kind=kind,
            origin=origin,
            status=status,
            detail=detail,
        )
        .on_conflict_do_nothing(index_elements=["recipient_id", "origin"])
        .returning(col(Bounce.id))
    )
    return (await session.exec(added)).scalar_one_or_none() is not None


_MARK_BOUNCED = text("""
    -- Marks a recipient as bounced; by primary key, in a transaction that holds the row. A soft bounce never softens a
    -- hard one, and the time stays that of the first. `seq` stays: chunks skip rows that are not ready.
    UPDATE recipient
    SET status = :bounced, bounce = CASE WHEN bounce = 'hard' THEN bounce ELSE :kind END, reply = :reply,
        bounced_at = coalesce(bounced_at, :at), due_at = NULL
    WHERE id = :id
""")


async def mark_bounced(session: AsyncSession, *, recipient_id: int, kind: BounceKind, reply: str, at: datetime) -> None:
    """Give a recipient the status `bounced`, whatever it had."""
    values = {
        "id": recipient_id, "bounced": RecipientStatus.BOUNCED.value, "kind": kind.value, "reply": reply, "at": at,
    }  # fmt: skip
    await run(session, _MARK_BOUNCED, **values)


async def page_of_bounces(
    session: AsyncSession,
    *,
    mailing_id: int,
    kind: BounceKind | None,
    origin: BounceOrigin | None,
    after: int | None,
    limit: int,
) -> Sequence[ListedBounce]:
    """Return at most `limit + 1` bounces of a mailing with ids over `after`, in the order of their ids."""
    query = (
        select(Bounce, Recipient.email)
        .outerjoin(Recipient, col(Recipient.id) == col(Bounce.recipient_id))
        .where(Bounce.mailing_id == mailing_id)
        .order_by(col(Bounce.id))
        .limit(limit + 1)
    )
    if kind is not None:
        query = query.where(Bounce.kind == kind)
    if origin is not None:
        query = query.where(Bounce.origin == origin)
    if after is not None:
        query = query.where(col(Bounce.id) > after)
    return [ListedBounce(bounce, email) for bounce, email in (await session.exec(query)).all()]
