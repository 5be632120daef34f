"""The selection or project that persons are added to: one that is there, or a new one by name (D40, D60)."""

from typing import Self

from pydantic import BaseModel, Field, model_validator
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import projects, service
from app.audience.models import Project, Selection
from app.audience.schemas import Key
from app.contacts.texts import Name


class _New(BaseModel):
    name: Name | None = Field(default=None, description="Of a new one to make")


class IntoSelection(_New):
    """`selection_id` of a static one, or the `name` of a new one."""

    selection_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.selection_id is None) == (self.name is None):
            raise ValueError("Send either selection_id, or the name of a new selection.")
        return self


class IntoProject(_New):
    """`project_id`, or the `name` of a new one."""

    project_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.project_id is None) == (self.name is None):
            raise ValueError("Send either project_id, or the name of a new project.")
        return self


async def selection_of(session: AsyncSession, told: IntoSelection) -> Selection:
    """Return the selection that was chosen; raises SelectionNotFound and WrongSelectionKind."""
    if told.selection_id is None:
        return await service.create_selection(session, fields={"name": told.name}, criteria=None, combination=None)
    return await service.read_static(session, selection_id=told.selection_id)


async def project_of(session: AsyncSession, told: IntoProject) -> Project:
    """Return the project that was chosen; raises ProjectNotFound."""
    if told.project_id is None:
        return await projects.create_project(session, fields={"name": told.name})
    return await projects.read_project(session, project_id=told.project_id)
