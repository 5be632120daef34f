"""`/v1/links/{link_id}/clickers/add-to-selection` and `…/add-to-project`."""

from app.audience.errors import ProjectNotFound, SelectionNotFound, WrongSelectionKind
from app.platform.auth import ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.recipients import clickers
from app.recipients.clickers import ClickersAdded, ClickersToProject, ClickersToSelection
from app.tracking.errors import LinkNotFound

routes = router(prefix="/v1/links/{link_id}/clickers", tag="tracking")


@routes.post(
    "/add-to-selection", operation_id="add_clickers_to_selection",
    responses=declare(LinkNotFound, SelectionNotFound, WrongSelectionKind),
    summary="Add a link's clickers to a selection",
)  # fmt: skip
async def add_clickers_to_selection(
    caller: ContactsWrite, session: Session, link_id: int, body: ClickersToSelection
) -> ClickersAdded:
    """Add everyone who clicked a link of the library to a static selection, or to a new one of the name given.

    Humans, unless machines are asked for. Lines of nobody in the address book are counted as skipped.
    """
    return await clickers.add_to_selection(session, link_id=link_id, told=body)


@routes.post(
    "/add-to-project", operation_id="add_clickers_to_project", responses=declare(LinkNotFound, ProjectNotFound),
    summary="Add a link's clickers to a project",
)  # fmt: skip
async def add_clickers_to_project(
    caller: ContactsWrite, session: Session, link_id: int, body: ClickersToProject
) -> ClickersAdded:
    """Add every person who clicked a link of the library to a project, or to a new one of the name given.

    Humans, unless machines are asked for. Lines of nobody in the address book are counted as skipped.
    """
    return await clickers.add_to_project(session, link_id=link_id, told=body)
