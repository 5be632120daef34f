"""The actions of library links: added, changed, ordered, taken away."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import queries
from app.actions.checking import check
from app.actions.errors import ActionNotFound, InvalidAction, SecondAnswer, TooManyActions
from app.actions.kinds import Response, ScriptSettings, Settings
from app.actions.models import ActionKind, LinkAction
from app.links.service import read_link
from app.platform.clock import now

MAX_ACTIONS = 50  # of one link


async def add_action(session: AsyncSession, *, link_id: int, settings: Settings) -> LinkAction:
    """Add an action behind a link's others; raises LibraryLinkNotFound, InvalidAction, SecondAnswer, TooManyActions."""
    await read_link(session, link_id=link_id, lock=True)
    others = await queries.actions_of(session, link_id=link_id)
    if len(others) >= MAX_ACTIONS:
        raise TooManyActions(f"Link {link_id} has {len(others)} actions, and {MAX_ACTIONS} are the most.")
    _check_answers(settings, others)
    await check(session, settings)
    position = await queries.last_position(session, link_id=link_id) + 1
    action = LinkAction(library_link_id=link_id, position=position, kind=settings.kind, settings=settings.stored())
    return await _save(session, action)


async def _save(session: AsyncSession, action: LinkAction) -> LinkAction:
    session.add(action)
    await session.flush()
    await session.refresh(action)
    return action


def _check_answers(settings: Settings, others: Sequence[LinkAction]) -> None:
    """Raise SecondAnswer where it would not be plain what a reader comes to."""
    if isinstance(settings, Response) and any(other.kind is ActionKind.RESPONSE for other in others):
        raise SecondAnswer("The link has a response; change that one.")
    asks = any(other.kind is ActionKind.SCRIPT and other.settings.get("may_redirect") for other in others)
    if isinstance(settings, ScriptSettings) and settings.may_redirect and asks:
        raise SecondAnswer("Another script of the link may redirect; only one can. Send may_redirect: false.")


async def read_action(session: AsyncSession, *, link_id: int, action_id: int) -> LinkAction:
    """Return an action of a link; raises LibraryLinkNotFound and ActionNotFound."""
    await read_link(session, link_id=link_id)
    action = await queries.find_action(session, action_id=action_id)
    if action is None or action.library_link_id != link_id:
        raise ActionNotFound(f"Link {link_id} has no action {action_id}.")
    return action


async def page_of_actions(
    session: AsyncSession, *, link_id: int, after: int | None, limit: int
) -> Sequence[LinkAction]:
    """Return at most `limit + 1` actions of a link with positions over `after`; raises LibraryLinkNotFound."""
    await read_link(session, link_id=link_id)
    return await queries.page_of_actions(session, link_id=link_id, after=after, limit=limit)


async def change_action(session: AsyncSession, *, link_id: int, action_id: int, settings: Settings) -> LinkAction:
    """Give an action other settings; what waits for it is done with these.

    Raises LibraryLinkNotFound, ActionNotFound, InvalidAction (also for another kind) and SecondAnswer.
    """
    await read_link(session, link_id=link_id, lock=True)
    action = await read_action(session, link_id=link_id, action_id=action_id)
    if settings.kind is not action.kind:
        raise InvalidAction.field("#/kind", f"The action is a {action.kind}; delete it, and add one of another kind.")
    others = await queries.actions_of(session, link_id=link_id)
    _check_answers(settings, [other for other in others if other.id != action_id])
    await check(session, settings)
    action.settings, action.updated_at = settings.stored(), now()
    return await _save(session, action)


async def order_actions(session: AsyncSession, *, link_id: int, action_ids: Sequence[int]) -> Sequence[LinkAction]:
    """Bring a link's actions into an order; raises LibraryLinkNotFound, and InvalidAction unless it names each once."""
    await read_link(session, link_id=link_id, lock=True)
    known = {action.id for action in await queries.actions_of(session, link_id=link_id)}
    if len(action_ids) != len(known) or set(action_ids) != known:
        detail = f"Name every action of the link once; they are {', '.join(map(str, sorted(known))) or 'none'}."
        raise InvalidAction.field("#/action_ids", detail)
    await queries.reorder(session, link_id=link_id, action_ids=action_ids)
    session.expire_all()
    return await queries.actions_of(session, link_id=link_id)


async def delete_action(session: AsyncSession, *, link_id: int, action_id: int) -> None:
    """Take an action away: what waits for it is skipped. Raises LibraryLinkNotFound and ActionNotFound."""
    await session.delete(await read_action(session, link_id=link_id, action_id=action_id))
