"""Adding the persons who have blocked addresses to selections and projects (D60)."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import projects, service
from app.audience.project_queries import change_by_ids
from app.audience.schemas import Key
from app.audience.selection_queries import add_named
from app.consent.registry import holders_of
from app.contacts.texts import Name
from app.platform.bulk import BULK_LIMIT

_IDS: dict[str, Any] = {"ids": [17, 18]}


class _Blocked(BaseModel):
    ids: list[Key] = Field(min_length=1, max_length=BULK_LIMIT, description="Of blocked addresses")
    name: Name | None = Field(default=None, description="Of a new one to make")


class BlockedToSelection(_Blocked):
    """Which blocked addresses, and the selection: `selection_id` of a static one, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_IDS | {"name": "To be called"}]})

    selection_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.selection_id is None) == (self.name is None):
            raise ValueError("Send either selection_id, or the name of a new selection.")
        return self


class BlockedToProject(_Blocked):
    """Which blocked addresses, and the project: `project_id`, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_IDS | {"project_id": 3}]})

    project_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.project_id is None) == (self.name is None):
            raise ValueError("Send either project_id, or the name of a new project.")
        return self


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
    if told.selection_id is None:
        selection = await service.create_selection(session, fields={"name": told.name}, criteria=None, combination=None)
    else:
        selection = await service.read_static(session, selection_id=told.selection_id)
    done = await add_named(session, selection_id=selection.id, table="person", ids=person_ids)
    return _added(selection.id, person_ids, done.added)


async def add_to_project(session: AsyncSession, *, told: BlockedToProject) -> HoldersAdded:
    """Add everyone who has one of the addresses to a project, or to a new one.

    Raises BlockedAddressNotFound and ProjectNotFound.
    """
    person_ids = await holders_of(session, ids=told.ids)
    if told.project_id is None:
        project = await projects.create_project(session, fields={"name": told.name})
    else:
        project = await projects.read_project(session, project_id=told.project_id)
    done = await change_by_ids(session, project_id=project.id, person_ids=person_ids, add=True)
    return _added(project.id, person_ids, done.changed)


def _added(target_id: int, person_ids: Sequence[int], added: int) -> HoldersAdded:
    return HoldersAdded(id=target_id, added=added, already=len(person_ids) - added)
