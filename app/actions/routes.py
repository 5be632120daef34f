"""`/v1/links/{link_id}/actions`: what a link does besides leading somewhere (D38)."""

from app.actions import runs, service
from app.actions.errors import ActionNotFound, InvalidAction, SecondAnswer, TooManyActions
from app.actions.kinds import Action, read_settings
from app.actions.models import LinkAction
from app.actions.schemas import ActionsOut, LinkActionOut, OrderIn, OutcomeOut, OutcomesOut
from app.links.errors import LibraryLinkNotFound
from app.platform.auth import MailingsRead, MailingsWrite, TrackingRead
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_key

routes = router(prefix="/v1/links/{link_id}/actions", tag="link actions")


def show_action(action: LinkAction) -> LinkActionOut:
    """Return an action as the API shows it."""
    return LinkActionOut(
        id=action.id, link_id=action.library_link_id, position=action.position,
        action=read_settings(action.kind, action.settings), created_at=action.created_at, updated_at=action.updated_at,
    )  # fmt: skip


@routes.post(
    "", operation_id="add_link_action", status_code=201,
    responses=declare(LibraryLinkNotFound, InvalidAction, SecondAnswer, TooManyActions),
    summary="Add an action to a link",
)  # fmt: skip
async def add_link_action(caller: MailingsWrite, session: Session, link_id: int, body: Action) -> LinkActionOut:
    """Add an action behind the link's others; it is of one of seven kinds, each with settings of its own.

    A `response` answers the click itself, in all mailings that have the link, within seconds. All others run in the
    background, once for each recipient, when the click was a human's: see `/v1/action-runs`. They run for clicks from
    now on. No action changes consent or subscriptions. A link has one response, and one script that may redirect: 409
    for a second one.
    """
    return show_action(await service.add_action(session, link_id=link_id, settings=body))


@routes.get(
    "", operation_id="list_link_actions", responses=declare(LibraryLinkNotFound), summary="List the actions of a link"
)
async def list_link_actions(
    caller: MailingsRead, session: Session, link_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[LinkActionOut]:
    """List a link's actions in the order in which they are done."""
    key = read_key(cursor, int)
    rows = await service.page_of_actions(session, link_id=link_id, after=key[0] if key else None, limit=limit)
    return Page[LinkActionOut](**page_of(rows, limit=limit, show=show_action, key=lambda row: [row.position]))


@routes.post(
    "/reorder", operation_id="reorder_link_actions", responses=declare(LibraryLinkNotFound, InvalidAction),
    summary="Order the actions of a link",
)  # fmt: skip
async def reorder_link_actions(caller: MailingsWrite, session: Session, link_id: int, body: OrderIn) -> ActionsOut:
    """Bring a link's actions into another order: name each of them once."""
    rows = await service.order_actions(session, link_id=link_id, action_ids=body.action_ids)
    return ActionsOut(items=[show_action(row) for row in rows])


@routes.get(
    "/outcomes", operation_id="count_link_action_outcomes", responses=declare(LibraryLinkNotFound),
    summary="Count what became of a link's actions",
)  # fmt: skip
async def count_link_action_outcomes(caller: TrackingRead, session: Session, link_id: int) -> OutcomesOut:
    """Count the runs of a link's actions by state, in all mailings; those of deleted actions are there, too.

    A `response` has none: it is the answer to the click. `/v1/action-runs?link_id=…` lists the runs themselves.
    """
    counted = await runs.outcomes_of(session, link_id=link_id)
    return OutcomesOut(
        items=[OutcomeOut(action_id=action, kind=kind, **states) for (action, kind), states in counted.items()]
    )


@routes.get(
    "/{action_id}", operation_id="get_link_action", responses=declare(LibraryLinkNotFound, ActionNotFound),
    summary="Get an action",
)  # fmt: skip
async def get_link_action(caller: MailingsRead, session: Session, link_id: int, action_id: int) -> LinkActionOut:
    """Return one action of a link."""
    return show_action(await service.read_action(session, link_id=link_id, action_id=action_id))


@routes.put(
    "/{action_id}", operation_id="update_link_action",
    responses=declare(LibraryLinkNotFound, ActionNotFound, InvalidAction, SecondAnswer), summary="Change an action",
)  # fmt: skip
async def update_link_action(
    caller: MailingsWrite, session: Session, link_id: int, action_id: int, body: Action
) -> LinkActionOut:
    """Replace an action's settings; its kind stays. Runs that are held or waiting are done with the new ones."""
    return show_action(
        await service.change_action(session, link_id=link_id, action_id=action_id, settings=body)
    )  # fmt: skip


@routes.delete(
    "/{action_id}", operation_id="delete_link_action", status_code=204,
    responses=declare(LibraryLinkNotFound, ActionNotFound), summary="Delete an action",
)  # fmt: skip
async def delete_link_action(caller: MailingsWrite, session: Session, link_id: int, action_id: int) -> None:
    """Delete an action. Its runs stay readable; those that are held or waiting are skipped."""
    await service.delete_action(session, link_id=link_id, action_id=action_id)
