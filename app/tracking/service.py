"""Registering and showing the links of a mailing."""

from collections.abc import Sequence
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.tracking import queries
from app.tracking.errors import MailingNotFound


async def register_links(
    session: AsyncSession,
    *,
    mailing_id: int,
    targets: Sequence[str],
    library_link_ids: Sequence[int | None] | None = None,
    honeypots: Sequence[bool] | None = None,
    frozen: bool = False,
) -> list[int]:
    """Register a mailing's tracked links at positions 0, 1, … and return their ids in that order.

    `library_link_ids` and `honeypots` are by position, too: the library link each is a link to, and which no person
    sees; without them, none is.

    Repeating it with the same targets gives the same ids. A position that had another target before gets a new link
    beside it, since tests with the old one may be in inboxes. `frozen` says that this is how the mailing is sent.
    """
    return await queries.register(
        session, mailing_id=mailing_id, targets=targets, library_link_ids=library_link_ids or [None] * len(targets),
        honeypots=honeypots or [False] * len(targets), frozen=frozen,
    )  # fmt: skip


async def page_of_links(
    session: AsyncSession, *, mailing_id: int, after: Sequence[int] | None, limit: int
) -> Sequence[Any]:
    """Return at most `limit + 1` links of a mailing with their clicks; raises MailingNotFound."""
    if not await queries.mailing_exists(session, mailing_id=mailing_id):
        raise MailingNotFound(f"There is no mailing {mailing_id}.")
    return await queries.page_of_links(session, mailing_id=mailing_id, after=after, limit=limit)
