"""Which lines of a list are meant: for reading, and for what is done with many of them (D23, D66)."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.recipients.models import BlockedReason, RecipientStatus

Search = Annotated[str, StringConstraints(min_length=2, max_length=100)]
Email = Annotated[str, StringConstraints(min_length=3, max_length=254)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Mark(StrEnum):
    """What happened to a message that was sent (D24); opens and clicks are those of humans unless they say so."""

    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    MACHINE_OPENED = "machine_opened"
    MACHINE_CLICKED = "machine_clicked"


class BounceKind(StrEnum):
    """How a message bounced (D58)."""

    HARD = "hard"
    SOFT = "soft"


class RecipientFilter(BaseModel):
    """The lines for which everything that is told holds; of several values, one is enough."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"status": ["blocked"], "reason": ["no_consent"]}]}
    )

    status: list[RecipientStatus] = Field(default=[], max_length=20, description="One of these statuses")
    reason: list[BlockedReason] = Field(default=[], max_length=20, description="Blocked for one of these reasons")
    mark: list[Mark] = Field(default=[], max_length=10, description="Has each of these marks")
    without_mark: list[Mark] = Field(default=[], max_length=10, description="Has none of these marks")
    bounce: BounceKind | None = Field(default=None, description="Bounced in this way")
    source_id: Key | None = Field(default=None, description="Brought by this source")
    person_id: Key | None = Field(default=None, description="The line of this person")
    company_id: Key | None = Field(default=None, description="The company's own line, and those of its persons")
    email: Email | None = Field(
        default=None,
        description="Exact address, in any case: lines of the persons and companies that have it now, and of strangers",
    )
    q: Search | None = Field(default=None, description="Part of the name or address, in any case")
