"""`/v1/projects`."""

from typing import Annotated, Any

from fastapi import Query

from app.audience import project_queries as queries
from app.audience import projects as service
from app.audience.errors import MemberNotFound, ProjectNotFound
from app.audience.member_routes import show_member
from app.audience.models import Project
from app.audience.project_schemas import (
    ActivityOut,
    ProjectBulk,
    ProjectCount,
    ProjectIn,
    ProjectMembers,
    ProjectMembersAdded,
    ProjectMembersRemoved,
    ProjectOut,
    ProjectPatch,
)
from app.audience.schemas import Key
from app.audience.selection_schemas import MemberOut
from app.contacts.errors import ExternalIdTaken
from app.contacts.schemas import BulkOut
from app.platform.auth import ContactsRead, ContactsWrite
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/projects", tag="projects")

ExternalIdIs = Annotated[str | None, Query(description="Exactly this external id", min_length=1, max_length=200)]
InFolder = Annotated[Key | None, Query(description="Only those in this folder")]
NameBegins = Annotated[str | None, Query(description="Beginning of the name", min_length=1, max_length=100)]


def show(project: Project) -> ProjectOut:
    """Return a project as the API shows it."""
    return ProjectOut(**project.model_dump())


def show_activity(row: Any) -> ActivityOut:
    """Return a mailing of a project as the API shows it."""
    return ActivityOut.model_validate(row, from_attributes=True)


@routes.post(
    "", operation_id="create_project", status_code=201, responses=declare(ExternalIdTaken), summary="Create a project"
)
async def create_project(caller: ContactsWrite, session: Session, body: ProjectIn) -> ProjectOut:
    """Add a project, without members. An external id that another project has is refused."""
    return show(await service.create_project(session, fields=body.model_dump()))


@routes.get("", operation_id="list_projects", responses=declare(), summary="List projects")
async def list_projects(
    caller: ContactsRead, session: Session, external_id: ExternalIdIs = None, folder_id: InFolder = None,
    q: NameBegins = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page[ProjectOut]:  # fmt: skip
    """List projects, oldest first: all, or those for which everything that is told holds."""
    rows = await queries.page_of_projects(
        session, external_id=external_id, folder_id=folder_id, name=q, after=read_cursor(cursor), limit=limit
    )
    return Page[ProjectOut](**page_of(rows, limit=limit, show=show))


@routes.post(
    "/bulk", operation_id="upsert_projects", responses=declare(ExternalIdTaken),
    summary="Create or change many projects",
)  # fmt: skip
async def upsert_projects(caller: ContactsWrite, session: Session, body: ProjectBulk) -> BulkOut:
    """Create or change up to 10 000 projects by external id, each as by a merge patch and with its own outcome.

    What is wrong with one does not keep the others from being saved. An external id that comes twice is created or
    changed twice, in order.
    """
    return await service.upsert_projects(session, items=body.items)


@routes.get("/{project_id}", operation_id="get_project", responses=declare(ProjectNotFound), summary="Get a project")
async def get_project(caller: ContactsRead, session: Session, project_id: int) -> ProjectOut:
    """Return one project; its members are at `/members`, its mailings at `/activities`."""
    return show(await service.read_project(session, project_id=project_id))


@routes.patch(
    "/{project_id}", operation_id="update_project", responses=declare(ProjectNotFound, ExternalIdTaken),
    summary="Change a project",
)  # fmt: skip
async def update_project(caller: ContactsWrite, session: Session, project_id: int, body: ProjectPatch) -> ProjectOut:
    """Change the fields that are sent; null clears one."""
    fields = body.model_dump(exclude_unset=True)
    return show(await service.change_project(session, project_id=project_id, fields=fields))


@routes.delete(
    "/{project_id}", operation_id="delete_project", status_code=204, responses=declare(ProjectNotFound),
    summary="Delete a project",
)  # fmt: skip
async def delete_project(caller: ContactsWrite, session: Session, project_id: int) -> None:
    """Delete a project. Its persons stay; mailings lose it as a source, and the lists of drafts follow."""
    await service.delete_project(session, project_id=project_id)


@routes.get(
    "/{project_id}/count", operation_id="count_project_members", responses=declare(ProjectNotFound),
    summary="Count a project's members",
)  # fmt: skip
async def count_members(caller: ContactsRead, session: Session, project_id: int) -> ProjectCount:
    """Return how many persons are in the project."""
    await service.read_project(session, project_id=project_id)
    return ProjectCount(persons=await queries.count_members(session, project_id=project_id))


@routes.get(
    "/{project_id}/members", operation_id="list_project_members", responses=declare(ProjectNotFound),
    summary="List the members of a project",
)  # fmt: skip
async def list_members(
    caller: ContactsRead, session: Session, project_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemberOut]:
    """List the persons in the project, in the order in which they came to be."""
    await service.read_project(session, project_id=project_id)
    rows = await queries.page_of_members(session, project_id=project_id, after=read_cursor(cursor), limit=limit)
    return Page[MemberOut](**page_of(rows, limit=limit, show=show_member))


@routes.post(
    "/{project_id}/members", operation_id="add_project_members", responses=declare(ProjectNotFound),
    summary="Add persons to a project",
)  # fmt: skip
async def add_members(
    caller: ContactsWrite, session: Session, project_id: int, body: ProjectMembers
) -> ProjectMembersAdded:
    """Add up to 10 000 persons by id or by external id, or everyone who is in a selection at this moment.

    Members stay members, so that it can be repeated. Ids that are no persons' are skipped and named in the answer.
    """
    return await service.add_members(session, project_id=project_id, who=body)


@routes.post(
    "/{project_id}/members/remove", operation_id="remove_project_members", responses=declare(ProjectNotFound),
    summary="Take persons out of a project",
)  # fmt: skip
async def remove_members(
    caller: ContactsWrite, session: Session, project_id: int, body: ProjectMembers
) -> ProjectMembersRemoved:
    """Take persons out, named as they are when they are added. Those who are no members are counted, and that is all.

    The lists of mailings that have the project as a source follow at their next update.
    """
    return await service.remove_members(session, project_id=project_id, who=body)


@routes.delete(
    "/{project_id}/members/{person_id}", operation_id="remove_project_member", status_code=204,
    responses=declare(ProjectNotFound, MemberNotFound), summary="Take a person out of a project",
)  # fmt: skip
async def remove_member(caller: ContactsWrite, session: Session, project_id: int, person_id: int) -> None:
    """Take a person out of the project."""
    await service.remove_member(session, project_id=project_id, person_id=person_id)


@routes.get(
    "/{project_id}/activities", operation_id="list_project_activities", responses=declare(ProjectNotFound),
    summary="List the activities of a project",
)  # fmt: skip
async def list_activities(
    caller: ContactsRead, session: Session, project_id: int, limit: Limit = 50, cursor: Cursor = None
) -> Page[ActivityOut]:
    """List the mailings that are associated with the project or have it as a source, newest first (D19).

    A mailing that is associated with a selection, too, is listed here although only the selection's persons get it.
    """
    await service.read_project(session, project_id=project_id)
    rows = await queries.page_of_activities(session, project_id=project_id, before=read_cursor(cursor), limit=limit)
    return Page[ActivityOut](**page_of(rows, limit=limit, show=show_activity))
