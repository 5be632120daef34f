"""What a mailing was sent with, and a recipient's own version of it (D48)."""

from collections.abc import Sequence
from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.compiled import CompiledMessage, preview
from app.delivery import queries
from app.delivery.merge_data import BY_ID, select_recipients
from app.delivery.service import plan_of
from app.platform.settings import Settings
from app.platform.tokens import TokenKey

NOBODY = "nobody@erased.invalid"
"""Stands in the header of an erased recipient's message, which nobody sees: a header needs an address (RFC 2606)."""


async def html_as_sent(
    session: AsyncSession, *, mailing_id: int, recipient_id: int, settings: Settings, tokens: TokenKey
) -> str | None:
    """Return the HTML a recipient was sent, with the same links; None when the mailing or the recipient is gone.

    The message is the frozen one, and so are its merge values, where the audit log knows what was changed since:
    what one statement changed for more than 500 persons is shown as it is now. Once the person is deleted, only name
    and address are filled. Links and pixel are those that the person permits today (D43): a consent withdrawn after
    the message was sent counts here.
    """
    dispatch = await queries.find_dispatch(session, mailing_id=mailing_id)
    if dispatch is None:
        return None
    plan = plan_of(
        mailing_id=mailing_id,
        dispatch_id=dispatch.id,
        compiled=CompiledMessage.from_dict(dispatch.compiled),
        link_ids=dispatch.link_ids,
        settings=settings,
        tokens=tokens,
    )
    select = select_recipients(plan.tags, where=BY_ID, as_sent=True)
    row = (
        await session.exec(select, params={"mailing_id": mailing_id, "recipient_id": recipient_id})  # type: ignore[call-overload]
    ).one_or_none()
    if row is None:
        return None
    data = plan.data(row, plan.tags, recipient_id=recipient_id)
    if not row.email:
        data = replace(data, to_email=NOBODY)  # erased (D78)
    return preview(plan.compiled, data, **plan.allowed(row)).html


async def frozen_message(session: AsyncSession, *, mailing_id: int) -> tuple[CompiledMessage, Sequence[int]] | None:
    """Return the message a mailing is sent with, and its links' ids; None before it was frozen."""
    dispatch = await queries.find_dispatch(session, mailing_id=mailing_id)
    return (CompiledMessage.from_dict(dispatch.compiled), dispatch.link_ids) if dispatch else None
