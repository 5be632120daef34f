"""What the API takes and shows of selections and imports."""

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.audience.models import ExistingPersons
from app.consent.models import LegalBasis
from app.contacts.addresses import clean_text

MEMBERS_LIMIT = 10_000  # api.md rule 7
TEXT_LIMIT = 500


def _clean(text: str) -> str:
    return clean_text(text, TEXT_LIMIT)


Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT), AfterValidator(_clean)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]


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
