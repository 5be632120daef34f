"""Selections, projects and imports."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, choice, json_field, moment, reference


class SelectionKind(StrEnum):
    """How a selection knows who is in it: by a list, or by criteria that are evaluated when asked."""

    STATIC = "static"
    DYNAMIC = "dynamic"


class Selection(Row, table=True):
    """A saved set of persons and companies."""

    name: str
    description: str | None = None
    kind: SelectionKind = choice(SelectionKind, name="kind", default=SelectionKind.STATIC)
    criteria: dict[str, Any] | None = json_field(nullable=True)
    folder_id: int | None = reference("folder.id", on_delete="SET NULL", nullable=True)
    updated_at: datetime = moment(default_now=True)


class SelectionMember(SQLModel, table=True):
    """A person in a static selection."""

    __tablename__ = "selection_member"

    selection_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("selection.id", ondelete="CASCADE")]
    )
    person_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        index=True,
        sa_column_args=[sa.ForeignKey("person.id", ondelete="CASCADE")],
    )


class SelectionCompany(SQLModel, table=True):
    """A company in a static selection."""

    __tablename__ = "selection_company"

    selection_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("selection.id", ondelete="CASCADE")]
    )
    company_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        index=True,
        sa_column_args=[sa.ForeignKey("company.id", ondelete="CASCADE")],
    )


class Project(Row, table=True):
    """A CRM project; mailings show up among its activities (D19)."""

    external_id: str | None = Field(default=None, unique=True)
    name: str
    number: str | None = None
    description: str | None = None
    folder_id: int | None = reference("folder.id", on_delete="SET NULL", nullable=True)
    updated_at: datetime = moment(default_now=True)


class ProjectMember(SQLModel, table=True):
    """A person in a project."""

    __tablename__ = "project_member"

    project_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("project.id", ondelete="CASCADE")]
    )
    person_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        index=True,
        sa_column_args=[sa.ForeignKey("person.id", ondelete="CASCADE")],
    )


class ExistingPersons(StrEnum):
    """What an import does with a person it finds."""

    OVERWRITE = "overwrite"
    FILL_EMPTY = "fill_empty"
    SKIP = "skip"


class ImportState(StrEnum):
    """Where an import is."""

    ANALYSING = "analysing"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Import(Row, table=True):
    """A file that becomes persons, or recipients of one mailing.

    `next_row` moves with each committed batch, so a crash repeats no row. While `state` is waiting, what was found out
    about the file can be corrected. `file_id` is empty once the file was deleted, at `expires_at` at the latest.
    """

    file_id: int | None = reference("stored_file.id", on_delete="SET NULL", nullable=True)
    file_name: str
    operation_id: int = reference("operation.id")
    state: ImportState = choice(ImportState, name="state", default=ImportState.RUNNING)
    dry_run: bool = Field(
        default=False, sa_column_kwargs={"server_default": sa.false()}, description="the last run tells, and saves not"
    )
    as_recipients: bool = Field(
        default=False, sa_column_kwargs={"server_default": sa.false()}, description="of a mailing, maybe deleted since"
    )
    mailing_id: int | None = reference("mailing.id", on_delete="SET NULL", nullable=True)
    selection_id: int | None = reference("selection.id", on_delete="SET NULL", nullable=True)
    existing: ExistingPersons = choice(ExistingPersons, name="existing", default=ExistingPersons.OVERWRITE)
    mapping: dict[str, str] | None = json_field(nullable=True)
    options: dict[str, Any] = json_field()
    consent_basis: str | None = Field(default=None, description="the statement that consent was given (D20)")
    consent_source: str | None = None
    consent_date: date | None = None
    detected: dict[str, Any] | None = json_field(nullable=True)
    fault: dict[str, Any] | None = json_field(nullable=True)
    expires_at: datetime | None = moment(nullable=True)
    next_row: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    rows: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    created: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    updated: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    rejected: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class ImportProblem(Row, table=True):
    """What is wrong with one row; `rejected` rows became no person, the others lost a field."""

    __tablename__ = "import_problem"
    __table_args__ = (sa.Index("import_problem_row_idx", "import_id", "row_number"),)

    import_id: int = reference("import.id")
    row_number: int
    field: str | None = None
    code: str
    detail: str
    rejected: bool
