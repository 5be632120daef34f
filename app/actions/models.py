"""Link actions, their runs, the scripts they call, and the follow-ups and requests they make."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field

from app.platform.tables import Row, choice, json_field, moment, reference


class ActionKind(StrEnum):
    """What an action does (D38)."""

    RESPONSE = "response"
    SET_FIELD = "set_field"
    INTERESTS = "interests"
    MEMBERSHIP = "membership"
    FOLLOW_UP = "follow_up"
    REQUEST = "request"
    SCRIPT = "script"


class LinkAction(Row, table=True):
    """An action of a library link. Its settings are those of its kind (`kinds`)."""

    __tablename__ = "link_action"
    __table_args__ = (sa.Index("link_action_order_idx", "library_link_id", "position"),)

    library_link_id: int = reference("library_link.id", index=False)
    position: int = Field(description="1 is done first")
    kind: ActionKind = choice(ActionKind, name="kind")
    settings: dict[str, Any] = json_field()
    updated_at: datetime = moment(default_now=True)


class RunState(StrEnum):
    """How a run fares."""

    HELD = "held"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    DROPPED = "dropped"


class ActionRun(Row, table=True):
    """One action for one recipient, once (D39); written in the transaction that commits the click.

    No foreign keys: the row is written in the click path, and what became of an action is readable when the action, the
    link or the mailing are gone.
    """

    __tablename__ = "action_run"
    __table_args__ = (
        sa.Index("action_run_once_idx", "recipient_id", "action_id", unique=True),
        sa.Index("action_run_link_idx", "library_link_id", "id"),
        sa.Index("action_run_outcomes_idx", "library_link_id", "action_id", "kind", "state"),
        sa.Index("action_run_mailing_idx", "mailing_id", "id"),
        sa.Index("action_run_due_idx", "due_at", postgresql_where=sa.text("state IN ('held', 'waiting')")),
        sa.Index("action_run_failed_idx", "id", postgresql_where=sa.text("state = 'failed'")),
    )

    action_id: int = Field(sa_type=sa.BigInteger)
    kind: ActionKind = choice(ActionKind, name="kind")
    library_link_id: int = Field(sa_type=sa.BigInteger)
    recipient_id: int = Field(sa_type=sa.BigInteger)
    mailing_id: int = Field(sa_type=sa.BigInteger)
    link_id: int = Field(sa_type=sa.BigInteger, description="the tracked link that was clicked")
    clicked_at: datetime = moment()
    state: RunState = choice(RunState, name="state", default=RunState.HELD)
    due_at: datetime = moment(default_now=True)
    """When it may be done; of what is held, when the hold began."""
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    detail: str | None = Field(default=None, description="what came of it, in words without personal data")
    tried_at: datetime | None = moment(nullable=True)


class Script(Row, table=True):
    """A signed webhook that actions call. Its secret is in no table: see `webhooks.signing`."""

    name: str
    url: str
    timeout_ms: int = Field(default=800, sa_column_kwargs={"server_default": "800"})
    secret_salt: bytes
    updated_at: datetime = moment(default_now=True)


class FollowUpType(StrEnum):
    """What a follow-up is."""

    TASK = "task"
    APPOINTMENT = "appointment"


class Priority(StrEnum):
    """How urgent a request is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Assignment(StrEnum):
    """Whose request it is: its owner's, nobody's, or of whom the CRM's own rules choose."""

    OWNER = "owner"
    UNASSIGNED = "unassigned"
    AUTOMATIC = "automatic"


class Collected(Row):
    """What follow-ups and requests share: where they come from, whose they are, and whether the CRM has them."""

    run_id: int = Field(sa_type=sa.BigInteger, unique=True, description="the run that made it, once")
    library_link_id: int = Field(sa_type=sa.BigInteger)
    mailing_id: int = Field(sa_type=sa.BigInteger)
    recipient_id: int = Field(sa_type=sa.BigInteger)
    owner_name: str | None = None
    owner_email: str | None = None
    taken_over_at: datetime | None = moment(nullable=True)
    external_id: str | None = Field(default=None, description="what the CRM calls it since it was taken over")


class FollowUp(Collected, table=True):
    """A task or an appointment for one of the CRM's users."""

    __tablename__ = "follow_up"
    __table_args__ = (
        sa.Index("follow_up_waiting_idx", "id", postgresql_where=sa.text("taken_over_at IS NULL")),
        sa.Index("follow_up_mailing_idx", "mailing_id", "id"),
    )

    person_id: int | None = reference("person.id", on_delete="SET NULL", nullable=True)
    company_id: int | None = reference("company.id", on_delete="SET NULL", nullable=True)
    type: FollowUpType = choice(FollowUpType, name="type")
    description: str
    project_id: int | None = reference("project.id", on_delete="SET NULL", nullable=True)
    duration_minutes: int | None = None


class ServiceRequest(Collected, table=True):
    """A request for the CRM's service."""

    __tablename__ = "request"
    __table_args__ = (
        sa.Index("request_waiting_idx", "id", postgresql_where=sa.text("taken_over_at IS NULL")),
        sa.Index("request_mailing_idx", "mailing_id", "id"),
    )

    person_id: int | None = reference("person.id", on_delete="SET NULL", nullable=True)
    company_id: int | None = reference("company.id", on_delete="SET NULL", nullable=True)
    title: str
    priority: Priority = choice(Priority, name="priority")
    category: str | None = None
    assignment: Assignment = choice(Assignment, name="assignment")
