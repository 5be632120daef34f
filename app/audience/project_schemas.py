"""What the API takes and shows of projects."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from app.audience.schemas import MEMBERS_LIMIT, Key
from app.contacts.addresses import clean_text
from app.contacts.texts import Name, Text
from app.platform.bulk import AS_IT_CAME, BULK_LIMIT

DESCRIPTION_LIMIT = 4000


def _clean(text: str) -> str:
    return clean_text(text, DESCRIPTION_LIMIT)


Description = Annotated[str, StringConstraints(max_length=DESCRIPTION_LIMIT), AfterValidator(_clean)]

_PROJECT: dict[str, Any] = {"external_id": "P-2026-7", "name": "Office move", "number": "2026-7"}


class ProjectPatch(BaseModel):
    """Changes to a project (JSON merge patch): what is left out stays, null clears."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"description": "Postponed"}]})

    external_id: Name | None = Field(default=None, description="What the CRM knows it by")
    name: Name = "-"
    number: Text | None = None
    description: Description | None = None
    folder_id: Key | None = Field(default=None, description="A folder for projects")


class ProjectIn(ProjectPatch):
    """A project to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_PROJECT]})

    name: Name


class ProjectBulkItem(ProjectPatch):
    """A project to create or change, found by its external id; `name` may be left out when it exists."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_PROJECT]})

    external_id: Name


class ProjectBulk(BaseModel):
    """Projects to create or change. Each item is checked by itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"items": [_PROJECT]}]})

    items: list[Annotated[ProjectBulkItem, AS_IT_CAME]] = Field(min_length=1, max_length=BULK_LIMIT)


class ProjectOut(BaseModel):
    """A project of the CRM's."""

    id: int
    external_id: str | None
    name: str
    number: str | None
    description: str | None
    folder_id: int | None
    created_at: datetime
    updated_at: datetime


class ProjectMembers(BaseModel):
    """Which persons: by id, by external id, or all who are in a selection at this moment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"person_ids": [1, 2, 3]}, {"external_ids": ["CRM-100001"]}, {"selection_id": 4}]
        },
    )

    person_ids: list[Key] | None = Field(default=None, min_length=1, max_length=MEMBERS_LIMIT)
    external_ids: list[Name] | None = Field(default=None, min_length=1, max_length=MEMBERS_LIMIT)
    selection_id: Key | None = Field(default=None, description="Its persons; companies are in no project")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(told is not None for told in (self.person_ids, self.external_ids, self.selection_id)) != 1:
            raise ValueError("Send exactly one of person_ids, external_ids and selection_id.")
        return self


class ProjectMembersAdded(BaseModel):
    """What adding persons to a project did."""

    added: int
    already: int = Field(description="Those who were members before")
    unknown: list[int] = Field(description="Ids that are no persons'; they were skipped")
    unknown_external_ids: list[str] = Field(description="External ids that no person has; they were skipped")


class ProjectMembersRemoved(BaseModel):
    """What taking persons out of a project did."""

    removed: int
    absent: int = Field(description="Persons who were no members")
    unknown: list[int] = Field(description="Ids that are no persons'")
    unknown_external_ids: list[str] = Field(description="External ids that no person has")


class ProjectCount(BaseModel):
    """How many persons are in a project."""

    persons: int


class ActivityOut(BaseModel):
    """A mailing among a project's activities (D19)."""

    id: int = Field(description="The mailing's id")
    name: str
    type: str
    state: str
    subject: str
    associated: bool = Field(
        description="Whether it is associated with the project; else the project is a source of it"
    )
    recipients: int = Field(description="Lines of its list")
    sent: int = Field(description="Messages that left")
    created_at: datetime
    started_at: datetime | None = Field(description="When sending began")
    finished_at: datetime | None
