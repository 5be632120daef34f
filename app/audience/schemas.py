"""What the API takes and shows of selections and imports."""

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.audience.models import ExistingPersons
from app.consent.models import LegalBasis, Purpose
from app.contacts.addresses import clean_text

MEMBERS_LIMIT = 10_000  # api.md rule 7
TEXT_LIMIT = 500


def _clean(text: str) -> str:
    return clean_text(text, TEXT_LIMIT)


Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT), AfterValidator(_clean)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]


class SelectionIn(BaseModel):
    """A static selection to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Customers in Oslo"}]})

    name: Name
    description: Text | None = None


class SelectionPatch(BaseModel):
    """Changes to a selection (JSON merge patch)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"description": "As of November"}]})

    name: Name = "-"
    description: Text | None = None


class SelectionOut(BaseModel):
    """A saved set of persons."""

    id: int
    name: str
    description: str | None
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


class Criteria(BaseModel):
    """Which persons to add: those for whom everything that is told holds."""

    model_config = ConfigDict(extra="forbid")

    consent: Purpose | None = Field(default=None, description="Consent for this purpose is given, and not withdrawn")
    subscription_type_id: Key | None = Field(default=None, description="Subscribed to this type")
    company_id: Key | None = None
    category: Text | None = Field(default=None, description="Exactly this category")

    @model_validator(mode="after")
    def _something_is_told(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("Tell at least one criterion; an empty one would mean everybody.")
        return self


class MembersIn(BaseModel):
    """Who is added to a selection: persons and companies by id, or all persons that fit criteria at this moment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"person_ids": [1, 2, 3], "company_ids": [4]},
                {"criteria": {"consent": "e_marketing", "subscription_type_id": 1}},
            ]
        },
    )

    person_ids: list[Key] | None = Field(default=None, min_length=1, max_length=MEMBERS_LIMIT)
    company_ids: list[Key] | None = Field(default=None, min_length=1, max_length=MEMBERS_LIMIT)
    criteria: Criteria | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.person_ids is None and self.company_ids is None) == (self.criteria is None):
            raise ValueError("Send either person_ids and company_ids, or criteria.")
        return self


class MembersOut(BaseModel):
    """What adding persons and companies did."""

    added: int
    already: int = Field(description="Those who were members before")
    unknown: list[int] = Field(description="Ids that are no persons'; they were skipped")
    companies_added: int = 0
    companies_already: int = 0
    unknown_companies: list[int] = Field(default=[], description="Ids that are no companies'; they were skipped")


class CountOut(BaseModel):
    """How many persons and companies are in a selection."""

    persons: int
    companies: int


class ImportFields(BaseModel):
    """What is sent beside the file, as fields of the form."""

    model_config = ConfigDict(extra="forbid")

    mapping: dict[Annotated[str, Field(max_length=500)], Annotated[str, Field(max_length=200)]] | None = Field(
        default=None,
        max_length=500,
        description=(
            "JSON object: heading, or column number from 1, to field (`email`, `name`, `cellphone`, `external_id`, "
            "`company`, `consent`, `subscription:<type name>`, `extra.<name>`, … or `ignore`). Found out when left out."
        ),
    )
    existing: ExistingPersons = Field(
        default=ExistingPersons.OVERWRITE,
        description="Of persons who are found: the file overwrites, fills empty fields only, or nothing is done",
    )
    selection_id: Key | None = Field(default=None, description="Every person in the file becomes a member")
    consent_basis: LegalBasis | None = Field(
        default=None, description="States that everyone in the file permits e-marketing, save those whose row says no"
    )
    consent_source: Name | None = Field(default=None, description="Where consent was given")
    consent_date: date | None = Field(default=None, description="When consent was given")

    @model_validator(mode="after")
    def _statement_is_whole(self) -> Self:
        told = [value is not None for value in (self.consent_basis, self.consent_source, self.consent_date)]
        if any(told) and not all(told):
            raise ValueError("A statement of consent has consent_basis, consent_source and consent_date (D20).")
        if self.consent_date is not None and self.consent_date > date.today():  # noqa: DTZ011 - a day, wherever it is
            raise ValueError("consent_date is in the future.")
        return self


class ImportOut(BaseModel):
    """An import. `rows` counts what was done so far; `unchanged` are persons whose row said nothing new."""

    id: int
    operation_id: int = Field(description="Where to watch it: `/v1/operations/{id}`")
    file_name: str
    existing: ExistingPersons
    selection_id: int | None
    mapping: dict[str, str] | None
    consent_basis: LegalBasis | None
    consent_source: str | None
    consent_date: date | None
    detected: dict[str, Any] | None = Field(
        description="What the file turned out to be: its format, encoding, delimiter, heading row and columns"
    )
    rows: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    created_at: datetime


class ImportProblemOut(BaseModel):
    """What is wrong with a row. A `rejected` row became no person; of others, the field was left out or mended."""

    id: int
    row_number: int = Field(description="As a spreadsheet program counts, from 1")
    field: str | None
    code: str
    detail: str
    rejected: bool
