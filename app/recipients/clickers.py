"""Clickers of a library link, added to selections and projects (D40)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.chosen import IntoProject, IntoSelection, project_of, selection_of
from app.audience.membership import Membership
from app.audience.project_queries import change_by_membership
from app.audience.schemas import Key
from app.audience.selection_queries import Whom, add_whom
from app.recipients.clicker_queries import CLICKERS_OF, strangers_among
from app.tracking.click_queries import library_link_exists
from app.tracking.errors import LinkNotFound


class _Clickers(BaseModel):
    mailing_id: Key | None = Field(default=None, description="Only clickers in this mailing")
    machines: bool = Field(default=False, description="Also those for whom only machines clicked")

    @property
    def of_whom(self) -> dict[str, Any]:
        """Return the parameters of CLICKERS_OF, but for the link."""
        return {"m_mailing": self.mailing_id, "m_machines": self.machines}


class ClickersToSelection(IntoSelection, _Clickers):
    """Which clickers, and the selection: `selection_id` of a static one, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Clicked the offer"}]})


class ClickersToProject(IntoProject, _Clickers):
    """Which clickers, and the project: `project_id`, or the `name` of a new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"project_id": 3}]})


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
    selection = await selection_of(session, told)
    params = told.of_whom | {"m_link": link_id}
    done = await add_whom(session, selection_id=selection.id, whom=Whom(CLICKERS_OF, params))
    return ClickersAdded(
        id=selection.id, added=done.persons, already=done.all_persons - done.persons, companies_added=done.companies,
        skipped=await strangers_among(session, **params),
    )  # fmt: skip


async def add_to_project(session: AsyncSession, *, link_id: int, told: ClickersToProject) -> ClickersAdded:
    """Add every person who clicked a link to a project, or to a new one; raises LinkNotFound and ProjectNotFound."""
    await _check_link(session, link_id)
    project = await project_of(session, told)
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
