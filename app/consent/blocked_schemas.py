"""What the API takes and shows of blocked addresses."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from app.consent.models import BlockReason
from app.contacts.texts import Name
from app.platform.bulk import AS_IT_CAME, BULK_LIMIT
from app.platform.errors import InvalidField

_BLOCKED: dict[str, Any] = {"email": "ola@nordlys.example", "reason": "manual", "origin": "asked by phone"}

Address = Annotated[str, StringConstraints(max_length=500)]
BlockedId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class BlockedAddressIn(BaseModel):
    """An address to block."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_BLOCKED]})

    email: Address
    reason: BlockReason = Field(
        default=BlockReason.MANUAL, description="A complaint also withdraws consent to e-marketing"
    )
    origin: Name = Field(default="manual", description="What led to it")


class BlockedAddressOut(BaseModel):
    """An address no mailing may go to."""

    id: int
    email: str
    reason: BlockReason
    origin: str
    mailing_id: int | None
    created_at: datetime


class BlockedBulkIn(BaseModel):
    """Addresses to block. Each item is checked by itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"items": [_BLOCKED]}]})

    items: list[Annotated[BlockedAddressIn, AS_IT_CAME]] = Field(min_length=1, max_length=BULK_LIMIT)


class UnblockIn(BaseModel):
    """Blocked addresses to let mailings go to again: `emails` in whatever way they are written, or `ids`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"emails": ["ola@nordlys.example"]}]})

    emails: list[Address] = Field(default=[], max_length=BULK_LIMIT)
    ids: list[BlockedId] = Field(default=[], max_length=BULK_LIMIT)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.emails) == bool(self.ids):
            raise ValueError("Send emails or ids, and at least one of them.")
        return self


class BlockedStatus(StrEnum):
    """What became of one item."""

    BLOCKED = "blocked"
    CHANGED = "changed"
    UNBLOCKED = "unblocked"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class BlockedOutcome(BaseModel):
    """What became of one item."""

    index: int = Field(description="Place of the item in the request, from 0")
    status: BlockedStatus = Field(
        description="changed: a harder reason took the place of an unsubscription; unchanged: it was so already"
    )
    errors: list[InvalidField] | None = Field(default=None, description="What is wrong, by JSON pointer")


class BlockedBulkOut(BaseModel):
    """What became of each item, in the order of the request."""

    blocked: int
    changed: int
    unblocked: int
    unchanged: int
    failed: int
    items: list[BlockedOutcome]


class BlockedIds(BaseModel):
    """Blocked addresses, by the ids of their rows."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [17, 18]}]})

    ids: list[BlockedId] = Field(min_length=1, max_length=BULK_LIMIT)


class CorrectionIn(BaseModel):
    """The address that is right."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "ola.n@nordlys.example"}]})

    email: Address


class HoldersChanged(BaseModel):
    """How many persons and companies were changed."""

    persons: int
    companies: int


class HolderOut(BaseModel):
    """A person who has the blocked address."""

    id: int
    external_id: str | None
    name: str
    email: str | None = Field(description="The preferred address")
    company_id: int | None
    former_employee: bool
    preferred: bool = Field(description="The blocked address is the preferred one; else a further one")
