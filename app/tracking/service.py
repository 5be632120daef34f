"""Registering and showing the links of a mailing."""

from collections.abc import Sequence
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.tracking import queries
from app.tracking.errors import MailingNotFound


async def register_links(
    session: AsyncSession, *, mailing_id: int, targets: Sequence[str], frozen: bool = False
) -> list[int]:
    """Register a mailing's tracked links at positions 0, 1, … and return their ids in that order.

    Repeating it with the same targets gives the same ids. A position that had another target before gets a new link
    beside it, since tests with the old one may be in inboxes. `frozen` says that this is how the mailing is sent.
    """
    return await queries.register(session, mailing_id=mailing_id, targets=targets, frozen=frozen)


async def page_of_links(session: AsyncSession, *, mailing_id: int, after: int | None, limit: int) -> Sequence[Any]:
    """Return at most `limit + 1` links of a mailing with their clicks; raises MailingNotFound."""
    if not await queries.mailing_exists(session, mailing_id=mailing_id):
        raise MailingNotFound(f"There is no mailing {mailing_id}.")
    return await queries.page_of_links(session, mailing_id=mailing_id, after=after, limit=limit)
