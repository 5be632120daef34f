"""Adding the persons who have blocked addresses to selections and projects (D60)."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.chosen import IntoProject, IntoSelection, project_of, selection_of
from app.audience.project_queries import change_by_ids
from app.audience.schemas import Key
from app.audience.selection_queries import add_named
from app.consent.registry import holders_of
from app.platform.bulk import BULK_LIMIT

_IDS: dict[str, Any] = {"ids": [17, 18]}


class _Blocked(BaseModel):
    ids: list[Key] = Field(min_length=1, max_length=BULK_LIMIT, description="Of blocked addresses")


class BlockedToSelection(IntoSelection, _Blocked):
    """Which blocked addresses, and the selection: `selection_id` of a static one, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_IDS | {"name": "To be called"}]})


class BlockedToProject(IntoProject, _Blocked):
    """Which blocked addresses, and the project: `project_id`, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_IDS | {"project_id": 3}]})


class HoldersAdded(BaseModel):
    """How many persons were added to what."""

    id: int = Field(description="Of the selection or project")
    added: int
    already: int = Field(description="Who were in it before")


async def add_to_selection(session: AsyncSession, *, told: BlockedToSelection) -> HoldersAdded:
    """Add everyone who has one of the addresses to a static selection, or to a new one.

    Raises BlockedAddressNotFound, SelectionNotFound and WrongSelectionKind.
    """
    person_ids = await holders_of(session, ids=told.ids)
    selection = await selection_of(session, told)
    done = await add_named(session, selection_id=selection.id, table="person", ids=person_ids)
    return _added(selection.id, person_ids, done.added)


async def add_to_project(session: AsyncSession, *, told: BlockedToProject) -> HoldersAdded:
    """Add everyone who has one of the addresses to a project, or to a new one.

    Raises BlockedAddressNotFound and ProjectNotFound.
    """
    person_ids = await holders_of(session, ids=told.ids)
    project = await project_of(session, told)
    done = await change_by_ids(session, project_id=project.id, person_ids=person_ids, add=True)
    return _added(project.id, person_ids, done.changed)


def _added(target_id: int, person_ids: Sequence[int], added: int) -> HoldersAdded:
    return HoldersAdded(id=target_id, added=added, already=len(person_ids) - added)
