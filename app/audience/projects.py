"""Projects of the CRM's, their members, and many of them at once."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import project_queries as queries
from app.audience.errors import MemberNotFound, ProjectNotFound
from app.audience.membership import membership
from app.audience.models import Project
from app.audience.project_schemas import ProjectBulkItem, ProjectMembers, ProjectMembersAdded, ProjectMembersRemoved
from app.audience.queries import find_selection
from app.contacts.merging import Existing, Laid, Outcome, lay
from app.contacts.schemas import BulkOut, BulkOutcome, BulkStatus
from app.folders.models import FolderKind
from app.folders.service import check_folder
from app.platform.bulk import faults_in
from app.platform.clock import now
from app.platform.errors import Invalid, InvalidField

CHUNK = 1000  # items; some 20 ms of Python between two statements, so that other requests get their turn


async def create_project(session: AsyncSession, *, fields: dict[str, Any]) -> Project:
    """Add a project, without members; raises ExternalIdTaken, and Invalid for a folder that is none for projects."""
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.PROJECT)
    project = Project(**fields)
    await queries.save(session, project)
    return project


async def read_project(session: AsyncSession, *, project_id: int) -> Project:
    """Return a project; raises ProjectNotFound."""
    project = await queries.find_project(session, project_id=project_id)
    if project is None:
        raise ProjectNotFound(f"There is no project {project_id}.")
    return project


async def _held(session: AsyncSession, project_id: int, *, to_change: bool) -> Project:
    project = await queries.hold_project(session, project_id=project_id, to_change=to_change)
    if project is None:
        raise ProjectNotFound(f"There is no project {project_id}.")
    return project


async def change_project(session: AsyncSession, *, project_id: int, fields: dict[str, Any]) -> Project:
    """Change a project; raises ProjectNotFound, and what `create_project` raises."""
    project = await _held(session, project_id, to_change=True)
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.PROJECT)
    project.sqlmodel_update(fields)
    project.updated_at = now()
    await queries.save(session, project)
    return project


async def delete_project(session: AsyncSession, *, project_id: int) -> None:
    """Delete a project; its persons stay, mailings lose it as a source, and drafts' lists follow."""
    await session.delete(await _held(session, project_id, to_change=True))


# Members


async def add_members(session: AsyncSession, *, project_id: int, who: ProjectMembers) -> ProjectMembersAdded:
    """Add persons to a project; raises ProjectNotFound, and Invalid for a selection that does not exist."""
    done = await _change_members(session, project_id=project_id, who=who, add=True)
    return ProjectMembersAdded(
        added=done.changed,
        already=done.known - done.changed,
        unknown=done.unknown,
        unknown_external_ids=done.unknown_external_ids,
    )


async def remove_members(session: AsyncSession, *, project_id: int, who: ProjectMembers) -> ProjectMembersRemoved:
    """Take persons out of a project; raises what `add_members` raises."""
    done = await _change_members(session, project_id=project_id, who=who, add=False)
    return ProjectMembersRemoved(
        removed=done.changed,
        absent=done.known - done.changed,
        unknown=done.unknown,
        unknown_external_ids=done.unknown_external_ids,
    )


async def remove_member(session: AsyncSession, *, project_id: int, person_id: int) -> None:
    """Take a person out of a project; raises ProjectNotFound and MemberNotFound."""
    await _held(session, project_id, to_change=False)
    done = await queries.change_by_ids(session, project_id=project_id, person_ids=[person_id], add=False)
    if not done.changed:
        raise MemberNotFound(f"Person {person_id} is not in project {project_id}.")


async def _change_members(session: AsyncSession, *, project_id: int, who: ProjectMembers, add: bool) -> Any:
    await _held(session, project_id, to_change=False)
    if who.person_ids is not None:
        return await queries.change_by_ids(session, project_id=project_id, person_ids=who.person_ids, add=add)
    if who.external_ids is not None:
        return await queries.change_by_external_ids(
            session, project_id=project_id, external_ids=who.external_ids, add=add
        )
    selection_id = who.selection_id or 0
    if await find_selection(session, selection_id=selection_id) is None:
        raise Invalid.field("#/selection_id", f"There is no selection {selection_id}.")
    members = await membership(session, selection_ids=[selection_id])
    return await queries.change_by_membership(session, project_id=project_id, members=members, add=add)


# Many at once


async def upsert_projects(session: AsyncSession, *, items: Sequence[object]) -> BulkOut:
    """Create or change projects by external id; what is wrong with one item stops no other.

    Items are taken as they came and checked here, each by itself. Raises ExternalIdTaken where another request creates
    one of them at the same moment.
    """
    await queries.take_turn(session)
    outcomes: list[BulkOutcome] = []
    for start in range(0, len(items), CHUNK):
        outcomes += await _upsert(session, start, items[start : start + CHUNK])
    counts = {status: sum(outcome.status is status for outcome in outcomes) for status in BulkStatus}
    return BulkOut(
        created=counts[BulkStatus.CREATED], updated=counts[BulkStatus.UPDATED], failed=counts[BulkStatus.FAILED],
        items=outcomes,
    )  # fmt: skip


async def _upsert(session: AsyncSession, start: int, items: Sequence[object]) -> list[BulkOutcome]:
    lines: dict[int, dict[str, Any]] = {}
    faults: dict[int, list[InvalidField]] = {}
    for index, item in enumerate(items, start):
        try:
            lines[index] = ProjectBulkItem.model_validate(item).model_dump(exclude_unset=True)
        except ValidationError as error:
            faults[index] = faults_in(error, under=f"#/items/{index}")
    found = await queries.projects_meant(session, external_ids=sorted({line["external_id"] for line in lines.values()}))
    known = {draft.values["external_id"] for draft in found}
    folder_ids = {line["folder_id"] for line in lines.values() if line.get("folder_id")}
    folders = await queries.project_folders(session, ids=sorted(folder_ids)) if folder_ids else set()
    for index, line in list(lines.items()):
        if line.get("folder_id") and line["folder_id"] not in folders:
            faults[index] = [_fault(index, "folder_id", f"There is no folder {line['folder_id']} for projects.")]
        elif "name" not in line and line["external_id"] not in known:
            faults[index] = [_fault(index, "name", "A new project needs a name.")]
        else:
            known.add(line["external_id"])
            continue
        del lines[index]
    laid = lay(list(lines.values()), found, blank=queries.BLANK_PROJECT, existing=Existing.OVERWRITE, by_address=False)
    await queries.write_projects(
        session, list({id(each.draft): each.draft for each in laid if each.draft.changed}.values())
    )
    return _outcomes(lines, laid, faults)


def _fault(index: int, field: str, detail: str) -> InvalidField:
    return InvalidField(pointer=f"#/items/{index}/{field}".rstrip("/"), detail=detail)


def _outcomes(
    lines: dict[int, dict[str, Any]], laid: Sequence[Laid], faults: dict[int, list[InvalidField]]
) -> list[BulkOutcome]:
    outcomes = [
        BulkOutcome(index=index, status=BulkStatus.FAILED, id=None, errors=found) for index, found in faults.items()
    ]
    for index, each in zip(lines, laid, strict=True):
        status = BulkStatus.CREATED if each.outcome is Outcome.CREATED else BulkStatus.UPDATED
        outcomes.append(BulkOutcome(index=index, status=status, id=each.draft.id))
    return sorted(outcomes, key=lambda outcome: outcome.index)
