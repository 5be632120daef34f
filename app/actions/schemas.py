"""What the API shows of actions and runs, and takes of scripts, follow-ups and requests."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.actions.kinds import Action
from app.actions.models import ActionKind, Assignment, FollowUpType, Priority, RunState
from app.contacts.texts import Name
from app.content.schemas import Key

Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]
Milliseconds = Annotated[int, Field(ge=50, le=3000)]

MOST_ORDERED = 200


class LinkActionOut(BaseModel):
    """An action of a link."""

    id: int
    link_id: int
    position: int = Field(description="Its place among the link's actions, from 1 on; gaps mean nothing")
    action: Action
    created_at: datetime
    updated_at: datetime


class OrderIn(BaseModel):
    """An order of a link's actions."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"action_ids": [4, 2, 3]}]})

    action_ids: list[Key] = Field(max_length=MOST_ORDERED, description="Every action of the link, once")


class ActionsOut(BaseModel):
    """All actions of a link, in their order."""

    items: list[LinkActionOut]


class RunOut(BaseModel):
    """An action for one recipient."""

    id: int
    action_id: int = Field(description="It may be deleted since")
    kind: ActionKind
    link_id: int = Field(description="The link of the library")
    mailing_id: int
    recipient_id: int
    clicked_at: datetime
    state: RunState = Field(
        description=(
            "`held` until the click's verdict is clear; `waiting` for its turn or another try; `done`; `failed`: mend "
            "what `detail` says and repeat it; `skipped`: nobody to do it for; `dropped`: the click was a machine's"
        )
    )
    attempts: int
    detail: str | None = Field(description="What came of it, or of the last try")
    tried_at: datetime | None
    created_at: datetime


class OutcomeOut(BaseModel):
    """How many runs an action has in each state."""

    action_id: int = Field(description="It may be deleted since")
    kind: ActionKind
    held: int
    waiting: int
    done: int
    failed: int
    skipped: int
    dropped: int


class OutcomesOut(BaseModel):
    """How the actions of a link fare."""

    items: list[OutcomeOut]


class RepeatIn(BaseModel):
    """Which failed runs to repeat: those that fit all that is given; nothing given means every one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"link_id": 4}]})

    link_id: Key | None = None
    mailing_id: Key | None = None
    action_id: Key | None = None


class RepeatedOut(BaseModel):
    """How many runs are done again."""

    repeated: int


_SCRIPT: dict[str, Any] = {"name": "Where next?", "url": "https://crm.example.com/hooks/clicked", "timeout_ms": 800}


class ScriptIn(BaseModel):
    """A new script."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SCRIPT]})

    name: Name
    url: Url
    timeout_ms: Milliseconds = Field(
        default=800, description="How long a reader waits for its answer, where it may redirect"
    )


class ScriptPatch(BaseModel):
    """What is to change of a script."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"timeout_ms": 500}]})

    name: Name = "-"
    url: Url = Field(default_factory=str)  # not in the document: what is not sent stays
    timeout_ms: Milliseconds = 800


class ScriptOut(BaseModel):
    """A script, without its secret."""

    id: int
    name: str
    url: str
    timeout_ms: int
    created_at: datetime
    updated_at: datetime


class ScriptWithSecret(ScriptOut):
    """A script with its secret, which is shown once."""

    secret: str | None = Field(
        description="`whsec_…`, to check signatures with; null where an Idempotency-Key replays the answer"
    )


class OwnerOut(BaseModel):
    """One of the CRM's users."""

    name: str | None
    email: str


class TakeOverIn(BaseModel):
    """That the CRM has it now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"external_id": "task-2093"}]})

    external_id: Name = Field(description="What it is called in the CRM")


class CollectedOut(BaseModel):
    """What follow-ups and requests share."""

    id: int
    link_id: int = Field(description="The link of the library that was clicked")
    mailing_id: int
    recipient_id: int
    person_id: int | None = Field(description="null for a company's own line, and for a person who is gone")
    person_external_id: str | None
    company_id: int | None = Field(description="For a company's own line")
    company_external_id: str | None
    owner: OwnerOut | None
    taken_over_at: datetime | None
    external_id: str | None = Field(description="What it is called in the CRM, since it was taken over")
    created_at: datetime


class FollowUpOut(CollectedOut):
    """A task or an appointment for one of the CRM's users."""

    type: FollowUpType
    description: str
    project_id: int | None
    project_external_id: str | None
    duration_minutes: int | None


class RequestOut(CollectedOut):
    """A request for the CRM's service."""

    title: str
    priority: Priority
    category: str | None
    assignment: Assignment = Field(description="`automatic`: the CRM's own rules choose the owner")
