"""SQL of sending accounts and their health."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from app.delivery.account_errors import AccountNameTaken
from app.delivery.account_models import SendingAccount, SendingAccountHealth
from app.platform.db import run

Faring = tuple[SendingAccount, SendingAccountHealth | None]
"""An account, and how it fares; None: nobody has tried it yet."""

_NAMED_BY = text("""
    -- Mailings that are not over and name an account, by mailing_sending_account_id_idx.
    SELECT id FROM mailing
    WHERE sending_account_id = :account_id AND state NOT IN ('finished', 'expired', 'cancelled')
    ORDER BY id LIMIT 4
""")

_FAILED = text("""
    -- One more failure; of several senders that fail at once, the longest wait stands. `failures` is what this sender
    -- counts, so that twenty connections that break together are not twenty failures.
    INSERT INTO sending_account_health AS h (account_id, failures, is_fault, failing_since, retry_at, words)
    SELECT id, :failures, :is_fault, now(), now() + make_interval(secs => :wait), :words
    FROM sending_account WHERE id = :account_id
    ON CONFLICT (account_id) DO UPDATE
    SET failures = greatest(h.failures, excluded.failures), is_fault = excluded.is_fault, words = excluded.words,
        failing_since = coalesce(h.failing_since, now()), retry_at = greatest(h.retry_at, excluded.retry_at)
""")

_WORKS = text("""
    -- It works: what stood against it is forgotten. What pipelining stepped down to stays.
    INSERT INTO sending_account_health AS h (account_id, used_at)
    SELECT id, now() FROM sending_account WHERE id = :account_id
    ON CONFLICT (account_id) DO UPDATE
    SET failures = 0, is_fault = false, failing_since = NULL, retry_at = NULL, words = NULL, used_at = now()
""")

_STEP = text("""
    -- Pipelining steps down for a while.
    INSERT INTO sending_account_health AS h (account_id, step, step_until, step_words)
    SELECT id, :step, now() + make_interval(secs => :wait), :words FROM sending_account WHERE id = :account_id
    ON CONFLICT (account_id) DO UPDATE
    SET step = excluded.step, step_until = excluded.step_until, step_words = excluded.step_words
""")


async def save(session: AsyncSession, account: SendingAccount) -> None:
    """Write a new or changed account; raises AccountNameTaken."""
    name = account.name
    session.add(account)
    try:
        await session.flush()
    except IntegrityError as error:
        if "sending_account_name_key" not in str(error.orig):
            raise
        raise AccountNameTaken(f"There is a sending account {name!r}; choose another name.") from error
    await session.refresh(account)


async def find_account(session: AsyncSession, *, account_id: int) -> Faring | None:
    """Return an account with its health, or None."""
    return (await session.exec(_faring().where(col(SendingAccount.id) == account_id))).one_or_none()


async def page_of_accounts(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[Faring]:
    """Return at most `limit + 1` accounts with their health, oldest first."""
    query = _faring().order_by(col(SendingAccount.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(SendingAccount.id) > after)
    return (await session.exec(query)).all()


async def all_accounts(session: AsyncSession) -> Sequence[Faring]:
    """Return every account with its health, oldest first: a service has a handful."""
    return (await session.exec(_faring().order_by(col(SendingAccount.id)))).all()


def _faring() -> SelectOfScalar[Any]:
    is_its = col(SendingAccountHealth.account_id) == col(SendingAccount.id)
    query: Any = select(SendingAccount, SendingAccountHealth)
    joined: SelectOfScalar[Any] = query.join(SendingAccountHealth, is_its, isouter=True)
    return joined


async def named_by(session: AsyncSession, *, account_id: int) -> list[int]:
    """Return the first four mailings that name an account and are not over."""
    return [row.id for row in await run(session, _NAMED_BY, account_id=account_id)]


async def note_failure(
    session: AsyncSession, *, account_id: int, failures: int, is_fault: bool, wait: float, words: str
) -> None:
    """Store that an account failed and is not used for `wait` seconds."""
    await run(
        session, _FAILED, account_id=account_id, failures=failures, is_fault=is_fault, wait=wait, words=words
    )  # fmt: skip


async def note_success(session: AsyncSession, *, account_id: int) -> None:
    """Store that an account works."""
    await run(session, _WORKS, account_id=account_id)


async def note_step(session: AsyncSession, *, account_id: int, step: str, wait: float, words: str) -> None:
    """Store that pipelining stepped down for `wait` seconds."""
    await run(session, _STEP, account_id=account_id, step=step, wait=wait, words=words)


async def forget_health(session: AsyncSession, *, account_id: int) -> None:
    """Forget how an account fared: what it says has changed."""
    await run(
        session, sa.delete(SendingAccountHealth).where(col(SendingAccountHealth.account_id) == account_id)
    )  # fmt: skip
