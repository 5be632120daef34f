"""What the API takes and shows of selections."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.audience.criteria import And, Criteria, Not, Or, SelectionCriterion
from app.audience.criteria_values import Key, Node
from app.audience.criteria_values import Text as ShortText
from app.audience.models import SelectionKind
from app.audience.schemas import MEMBERS_LIMIT
from app.contacts.texts import Name, Text

MAX_COMBINED = 100

_CRITERIA: Any = {
    "and": [
        {"consent": "e_marketing", "is": "given"},
        {"or": [{"person": "city", "operator": "eq", "value": "Oslo"}, {"engagement": "opened"}]},
        {"not": {"person": "former_employee", "operator": "eq", "value": True}},
    ]
}


class CombinationOperation(StrEnum):
    """How selections are put together: in any of them; in all; in the first and in none of the others."""

    UNION = "union"
    INTERSECTION = "intersection"
    EXCEPT = "except"


class Combination(BaseModel):
    """Selections put together."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"operation": "union", "selection_ids": [1, 2]}]}
    )

    operation: CombinationOperation
    selection_ids: Annotated[list[Key], Field(min_length=2, max_length=MAX_COMBINED)]

    def criteria(self) -> Node:
        """Return the criteria that mean the same persons."""
        first, *others = (SelectionCriterion(selection=each) for each in self.selection_ids)
        match self.operation:
            case CombinationOperation.UNION:
                return Or(or_=[first, *others])
            case CombinationOperation.INTERSECTION:
                return And(and_=[first, *others])
        return And(and_=[first, *(Not(not_=other) for other in others)])


class SelectionIn(BaseModel):
    """A selection to create: static, or dynamic with criteria or a combination of others."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "Customers in Oslo"},
                {"name": "Readers in Oslo", "criteria": _CRITERIA},
                {"name": "Either", "combination": {"operation": "union", "selection_ids": [1, 2]}},
            ]
        },
    )

    name: Name
    description: Text | None = None
    folder_id: Key | None = None
    criteria: Criteria | None = Field(default=None, description="Makes it dynamic: evaluated whenever it is asked")
    combination: Combination | None = Field(default=None, description="Makes it dynamic too: short for criteria")

    @model_validator(mode="after")
    def _criteria_once(self) -> Self:
        if self.criteria is not None and self.combination is not None:
            raise ValueError("Send either criteria or combination.")
        return self


class SelectionPatch(BaseModel):
    """Changes to a selection (JSON merge patch)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"description": "As of November"}]})

    name: Name = "-"
    description: Text | None = None
    folder_id: Key | None = None
    criteria: Criteria = Field(default=SelectionCriterion(selection=1), description="New ones of a dynamic selection")


class SelectionOut(BaseModel):
    """A saved set of persons and companies."""

    id: int
    name: str
    description: str | None
    kind: SelectionKind
    criteria: dict[str, Any] | None = Field(description="Of a dynamic one: who is in it, in the language of `criteria`")
    folder_id: int | None
    created_at: datetime
    updated_at: datetime


class MemberOut(BaseModel):
    """A person in a selection."""

    person_id: int
    external_id: str | None
    name: str
    email: str | None


class CompanyMemberOut(BaseModel):
    """A company in a selection."""

    company_id: int
    external_id: str | None
    name: str
    email: str | None


Keys = Annotated[list[Key], Field(min_length=1, max_length=MEMBERS_LIMIT)]
Texts = Annotated[list[ShortText], Field(min_length=1, max_length=MEMBERS_LIMIT)]


class MembersIn(BaseModel):
    """Who is added to a static selection, or taken out of it.

    Either a list (ids, external ids and addresses may come together), or all who at this moment fit criteria, are in
    another selection, or in a combination of selections.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"person_ids": [1, 2, 3], "company_ids": [4]},
                {"external_ids": ["C-1042"], "emails": ["kari@example.com"]},
                {"criteria": _CRITERIA},
                {"selection_id": 7},
                {"combination": {"operation": "except", "selection_ids": [1, 2]}},
            ]
        },
    )

    person_ids: Keys | None = None
    company_ids: Keys | None = None
    external_ids: Texts | None = Field(default=None, description="Persons by their `external_id`")
    emails: Texts | None = Field(default=None, description="Persons by address, preferred or further")
    criteria: Criteria | None = None
    selection_id: Key | None = None
    combination: Combination | None = None

    @property
    def is_list(self) -> bool:
        """Whether it names persons and companies one by one."""
        return any(each is not None for each in (self.person_ids, self.company_ids, self.external_ids, self.emails))

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        others = [each is not None for each in (self.criteria, self.selection_id, self.combination)]
        if self.is_list + sum(others) != 1:
            raise ValueError(
                "Send either a list (person_ids, company_ids, external_ids, emails), or criteria, or selection_id, "
                "or combination."
            )
        return self


class UnknownOut(BaseModel):
    """What was named and is nobody's; it was skipped."""

    unknown: list[int] = Field(description="Ids that are no persons'; they were skipped")
    unknown_companies: list[int] = Field(description="Ids that are no companies'")
    unknown_external_ids: list[str] = Field(description="External ids that no person has")
    unknown_emails: list[str] = Field(description="Addresses that no person has, and what is no address")


class MembersOut(UnknownOut):
    """What adding persons and companies did."""

    added: int
    already: int = Field(description="Those who were members before")
    companies_added: int
    companies_already: int


class RemovedOut(UnknownOut):
    """What taking persons and companies out did."""

    removed: int
    absent: int = Field(description="Those who were no members")
    companies_removed: int
    companies_absent: int


class CountOut(BaseModel):
    """How many persons and companies are in a selection."""

    persons: int
    companies: int


class PreviewIn(BaseModel):
    """Criteria that are saved nowhere."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"criteria": _CRITERIA}]})

    criteria: Criteria


class PreviewOut(BaseModel):
    """Whom criteria mean at this moment."""

    persons: int = Field(description="How many")
    sample: list[MemberOut] = Field(description="The first 20, in the order in which they came to be")


class SelectionMailingOut(BaseModel):
    """A mailing that a selection is associated with, or a source of (D19)."""

    id: int
    name: str
    type: str
    state: str
    subject: str
    associated: bool
    source: bool = Field(description="It brings recipients of the mailing")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
