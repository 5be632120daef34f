"""What the API takes and shows of imports."""

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.audience.models import ExistingPersons, ImportState
from app.audience.schemas import Key
from app.consent.models import LegalBasis
from app.contacts.texts import Name

Column = Annotated[str, Field(max_length=500)]
FieldName = Annotated[str, Field(max_length=200)]
Mapping = Annotated[dict[Column, FieldName], Field(max_length=500)]
Encoding = Annotated[str, Field(min_length=1, max_length=40)]
Delimiter = Annotated[str, Field(pattern="^[;,\\t|]$")]
HeadingRow = Annotated[int, Field(ge=0, le=200)]
SheetName = Annotated[str, Field(min_length=1, max_length=200)]

OPTIONS = ("encoding", "delimiter", "heading_row", "sheet_name")
"""Fields that say how the file is to be read, where it was found out wrongly."""


class _Told(BaseModel):
    """What can be told of an import, with the upload and later."""

    model_config = ConfigDict(extra="forbid")

    mapping: Mapping | None = Field(
        default=None,
        description=(
            "JSON object: heading, or column number from 1, to field (`email`, `name`, `cellphone`, `external_id`, "
            "`company`, `consent`, `subscription:<type name>`, `extra.<name>`, … or `ignore`). Found out when left out."
        ),
    )
    encoding: Encoding | None = Field(default=None, description="Such as utf-8, windows-1252; found out when left out")
    delimiter: Delimiter | None = Field(default=None, description="`;`, `,`, tab or `|`; found out when left out")
    heading_row: HeadingRow | None = Field(default=None, description="From 1; 0 = none; found out when left out")
    sheet_name: SheetName | None = Field(default=None, description="Of an XLSX file; the first with anything in it")
    existing: ExistingPersons = Field(
        default=ExistingPersons.OVERWRITE,
        description="Of persons who are found: the file overwrites, fills empty fields only, or nothing is done",
    )
    selection_id: Key | None = Field(default=None, description="Every person in the file becomes a member")
    mailing_id: Key | None = Field(
        default=None,
        description="The rows become recipients of this draft, and no persons (D13, D20); not for documents",
    )
    consent_basis: LegalBasis | None = Field(
        default=None, description="States that everyone in the file permits e-marketing, save those whose row says no"
    )
    consent_source: Name | None = Field(default=None, description="Where consent was given")
    consent_date: date | None = Field(default=None, description="When consent was given")


class ImportFields(_Told):
    """What is sent beside the file, as fields of the form."""

    start: bool = Field(default=True, description="false: the file is looked at, and waits to be corrected and started")
    dry_run: bool = Field(
        default=False, description="Tell what would happen and change nothing; then the import waits for its start"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        fits_together(self)
        return self


class ImportPatch(_Told):
    """Changes to an import that waits (JSON merge patch): null means *found out*, or *not at all*."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"mapping": {"E-post": "email", "Navn": "name", "3": "ignore"}, "delimiter": ";"}]
        },
    )


class ImportStart(BaseModel):
    """How to start an import that waits."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = Field(default=False, description="Tell what would happen and change nothing; then it waits again")


def fits_together(told: _Told) -> None:
    """Raise ValueError for fields that are right by themselves and wrong together."""
    statement = [value is not None for value in (told.consent_basis, told.consent_source, told.consent_date)]
    if any(statement) and not all(statement):
        raise ValueError("A statement of consent has consent_basis, consent_source and consent_date (D20).")
    if told.consent_date is not None and told.consent_date > date.today():  # noqa: DTZ011 - a day, wherever it is
        raise ValueError("consent_date is in the future.")
    if told.selection_id is not None and told.mailing_id is not None:
        raise ValueError("Send selection_id or mailing_id: recipients of a mailing become no persons (D13).")


class ImportColumn(BaseModel):
    """A column of the file and what it is taken for."""

    column: int = Field(description="From 1")
    heading: str | None
    field: str | None = Field(description="What it is read as; null when it is not read")
    confidence: str | None = Field(
        default=None,
        description=(
            "`told` by the mapping, `heading` is a word for the field, `content` looks like it, `unknown` heading kept "
            "as an extra field"
        ),
    )
    samples: list[str] | None = Field(default=None, description="Its first values, while the import waits")


class Detected(BaseModel):
    """What a file turned out to be."""

    format: str
    encoding: str | None
    delimiter: str | None
    sheet_name: str | None
    heading_row: int | None
    columns: list[ImportColumn]


class ImportFault(BaseModel):
    """Why a file cannot be read as told; correct it with PATCH."""

    code: str
    detail: str


class ImportOut(BaseModel):
    """An import. `rows` counts what was done so far; `unchanged` are persons whose row said nothing new.

    After a dry run the counts are what would happen. An import with a `mailing_id` creates recipients, no persons.
    """

    id: int
    operation_id: int = Field(description="Where to watch what it does last: `/v1/operations/{id}`")
    state: ImportState
    dry_run: bool
    file_name: str
    file_kept: bool = Field(description="Whether the file is still there, until `expires_at` at the latest")
    expires_at: datetime | None
    existing: ExistingPersons
    selection_id: int | None
    mailing_id: int | None
    mapping: dict[str, str] | None
    encoding: str | None = Field(description="As told; what was found out is in `detected`. So are the next three")
    delimiter: str | None
    heading_row: int | None
    sheet_name: str | None
    consent_basis: LegalBasis | None
    consent_source: str | None
    consent_date: date | None
    detected: Detected | None = Field(description="What the file turned out to be")
    fault: ImportFault | None = Field(description="Why it cannot be started as it is")
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


def shown_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return an import's columns as `ImportOut` has them, save `unchanged`."""
    options: dict[str, Any] = {**dict.fromkeys(OPTIONS), **values["options"]}
    return {**values, **options, "file_kept": values["file_id"] is not None}
