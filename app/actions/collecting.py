"""Follow-ups and requests: the CRM reads what was made for its users, and takes it over."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import collected_queries as queries
from app.actions.collected_queries import Kind
from app.actions.errors import FollowUpNotFound, RequestNotFound, TakenOver
from app.actions.models import FollowUp
from app.platform.clock import now


async def read(session: AsyncSession, kind: Kind, *, key: int, lock: bool = False) -> Any:
    """Return a row (it, and external ids); raises FollowUpNotFound or RequestNotFound."""
    found = await queries.find(session, kind, key=key, lock=lock)
    if found is not None:
        return found
    if kind is FollowUp:
        raise FollowUpNotFound(f"There is no follow-up {key}.")
    raise RequestNotFound(f"There is no request {key}.")


async def take_over(session: AsyncSession, kind: Kind, *, key: int, external_id: str) -> Any:
    """Note that the CRM has it, and what it is called there. Repeating it changes nothing.

    Raises FollowUpNotFound or RequestNotFound, and TakenOver where it was under another reference.
    """
    row = await read(session, kind, key=key, lock=True)
    made = row[0]
    if made.taken_over_at is not None and made.external_id != external_id:
        raise TakenOver(f"It was taken over before, as {made.external_id}; nothing was changed.")
    if made.taken_over_at is None:
        made.taken_over_at, made.external_id = now(), external_id
        await session.flush()
    return row
