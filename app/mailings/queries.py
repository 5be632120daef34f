"""Reading mailings."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.orm import defer
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.mailings.models import Mailing, MailingState, TestMessage
from app.platform.db import run


async def find_mailing(session: AsyncSession, *, mailing_id: int, lock: bool = False) -> Mailing | None:
    """Return a mailing, or None; `lock` keeps its row until the transaction ends."""
    query = select(Mailing).where(Mailing.id == mailing_id).execution_options(populate_existing=True)
    if lock:
        query = query.with_for_update()
    return (await session.exec(query)).one_or_none()


async def find_test(session: AsyncSession, *, test_id: int) -> TestMessage | None:
    """Return a test message to be sent, or None."""
    return await session.get(TestMessage, test_id)


async def page_of_mailings(
    session: AsyncSession,
    *,
    states: Sequence[MailingState],
    equal: Mapping[str, int | None],
    after: int | None,
    limit: int,
) -> Sequence[Mailing]:
    """Return at most `limit + 1` mailings with ids over `after`, without their content.

    `equal` has the wanted values of columns; null is any. Each of folder, selection and project has an index.
    """
    query = select(Mailing).options(defer(Mailing.html), defer(Mailing.mjml), defer(Mailing.text))  # type: ignore[arg-type]
    if after is not None:
        query = query.where(col(Mailing.id) > after)
    for name, value in equal.items():
        if value is not None:
            query = query.where(getattr(Mailing, name) == value)
    if states:
        query = query.where(col(Mailing.state).in_(states))
    return (await session.exec(query.order_by(col(Mailing.id)).limit(limit + 1))).all()


_SENDING = text("SELECT id FROM mailing WHERE state = 'sending' ORDER BY id")

_FIRST_READY = text("""
    -- The first ready recipient of a list; walks recipient_list_idx, which alone has this order: the order of ids alone
    -- would be had from the primary key too, past every line of other lists.
    SELECT id FROM recipient
    WHERE (mailing_id, id) > (:mailing_id, 0) AND (mailing_id, id) <= (:mailing_id, 9223372036854775807)
        AND status = 'ready'
    ORDER BY mailing_id, id LIMIT 1
""").bindparams(sa.bindparam("mailing_id", type_=sa.BigInteger))


async def sending_mailings(session: AsyncSession) -> list[int]:
    """Return the ids of the mailings that are being sent."""
    return [row.id for row in await session.exec(_SENDING)]  # type: ignore[call-overload]


async def first_ready_recipient(session: AsyncSession, *, mailing_id: int) -> int | None:
    """Return the first ready recipient's id, or None."""
    row: Any = (await session.exec(_FIRST_READY, params={"mailing_id": mailing_id})).one_or_none()  # type: ignore[call-overload]
    return row.id if row else None


_SHOW_TROUBLE = text("""
    -- Says why nothing of a mailing is sent for now, or that something is; by primary key, and only while it is sent.
    UPDATE mailing SET state_reason = :words
    WHERE id = :mailing_id AND state = 'sending' AND state_reason IS DISTINCT FROM :words
""").bindparams(sa.bindparam("words", type_=sa.Text))


async def show_trouble(session: AsyncSession, *, mailing_id: int, words: str | None) -> None:
    """Show with a mailing that is being sent why nothing leaves for now; None: it does."""
    await run(session, _SHOW_TROUBLE, mailing_id=mailing_id, words=words)


async def named_account(session: AsyncSession, *, mailing_id: int) -> int | None:
    """Return the sending account that a mailing names."""
    query = select(Mailing.sending_account_id).where(Mailing.id == mailing_id)
    return (await session.exec(query)).one_or_none()
