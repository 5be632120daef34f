"""Clickers of a library link, added to selections and projects (D40)."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import projects, service
from app.audience.membership import Membership
from app.audience.project_queries import change_by_membership
from app.audience.schemas import Key
from app.audience.selection_queries import Whom, add_whom
from app.contacts.texts import Name
from app.recipients.clicker_queries import CLICKERS_OF, strangers_among
from app.tracking.click_queries import library_link_exists
from app.tracking.errors import LinkNotFound


class _Clickers(BaseModel):
    name: Name | None = Field(default=None, description="Of a new one to make")
    mailing_id: Key | None = Field(default=None, description="Only clickers in this mailing")
    machines: bool = Field(default=False, description="Also those for whom only machines clicked")

    @property
    def of_whom(self) -> dict[str, Any]:
        """Return the parameters of CLICKERS_OF, but for the link."""
        return {"m_mailing": self.mailing_id, "m_machines": self.machines}


class ClickersToSelection(_Clickers):
    """Which clickers, and the selection: `selection_id` of a static one, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Clicked the offer"}]})

    selection_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.selection_id is None) == (self.name is None):
            raise ValueError("Send either selection_id, or the name of a new selection.")
        return self


class ClickersToProject(_Clickers):
    """Which clickers, and the project: `project_id`, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"project_id": 3}]})

    project_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.project_id is None) == (self.name is None):
            raise ValueError("Send either project_id, or the name of a new project.")
        return self


class ClickersAdded(BaseModel):
    """How many clickers were added to what."""

    id: int = Field(description="Of the selection or project")
    added: int = Field(description="Persons")
    already: int = Field(description="Persons who were in it before")
    companies_added: int = Field(description="To selections only; projects have persons")
    skipped: int = Field(description="Lines of clickers who are nobody in the address book (any more)")


async def add_to_selection(session: AsyncSession, *, link_id: int, told: ClickersToSelection) -> ClickersAdded:
    """Add everyone who clicked a link to a static selection, or to a new one.

    Raises LinkNotFound, SelectionNotFound and WrongSelectionKind.
    """
    await _check_link(session, link_id)
    if told.selection_id is None:
        selection = await service.create_selection(session, fields={"name": told.name}, criteria=None, combination=None)
    else:
        selection = await service.read_static(session, selection_id=told.selection_id)
    params = told.of_whom | {"m_link": link_id}
    done = await add_whom(session, selection_id=selection.id, whom=Whom(CLICKERS_OF, params))
    return ClickersAdded(
        id=selection.id, added=done.persons, already=done.all_persons - done.persons, companies_added=done.companies,
        skipped=await strangers_among(session, **params),
    )  # fmt: skip


async def add_to_project(session: AsyncSession, *, link_id: int, told: ClickersToProject) -> ClickersAdded:
    """Add every person who clicked a link to a project, or to a new one; raises LinkNotFound and ProjectNotFound."""
    await _check_link(session, link_id)
    if told.project_id is None:
        project = await projects.create_project(session, fields={"name": told.name})
    else:
        project = await projects.read_project(session, project_id=told.project_id)
    params = told.of_whom | {"m_link": link_id}
    members = Membership(f"SELECT 0 AS selection_id, person_id, company_id FROM ({CLICKERS_OF}) AS c", params)
    done = await change_by_membership(session, project_id=project.id, members=members, add=True)
    return ClickersAdded(
        id=project.id, added=done.changed, already=done.known - done.changed, companies_added=0,
        skipped=await strangers_among(session, **params),
    )  # fmt: skip


async def _check_link(session: AsyncSession, link_id: int) -> None:
    if not await library_link_exists(session, link_id=link_id):
        raise LinkNotFound(f"There is no link {link_id} in the library.")
