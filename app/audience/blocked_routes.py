"""`/v1/blocked-addresses/add-to-selection` and `…/add-to-project`."""

from app.audience import from_blocked
from app.audience.errors import ProjectNotFound, SelectionNotFound, WrongSelectionKind
from app.audience.from_blocked import BlockedToProject, BlockedToSelection, HoldersAdded
from app.consent.errors import BlockedAddressNotFound
from app.platform.auth import ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router

routes = router(tag="blocked addresses")


@routes.post(
    "/v1/blocked-addresses/add-to-selection", operation_id="add_blocked_to_selection",
    responses=declare(BlockedAddressNotFound, SelectionNotFound, WrongSelectionKind),
    summary="Add persons with blocked addresses to a selection",
)  # fmt: skip
async def add_blocked_to_selection(caller: ContactsWrite, session: Session, body: BlockedToSelection) -> HoldersAdded:
    """Add all persons who have the addresses to a static selection, or to a new one of the name given.

    With an id of no blocked address nothing is changed.
    """
    return await from_blocked.add_to_selection(session, told=body)


@routes.post(
    "/v1/blocked-addresses/add-to-project", operation_id="add_blocked_to_project",
    responses=declare(BlockedAddressNotFound, ProjectNotFound),
    summary="Add persons with blocked addresses to a project",
)  # fmt: skip
async def add_blocked_to_project(caller: ContactsWrite, session: Session, body: BlockedToProject) -> HoldersAdded:
    """Add all persons who have the addresses to a project, or to a new one of the name given.

    With an id of no blocked address nothing is changed.
    """
    return await from_blocked.add_to_project(session, told=body)
