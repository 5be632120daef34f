"""What the API takes and shows of blocked addresses."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.consent.models import BlockReason
from app.consent.schemas import Source

_BLOCKED: dict[str, Any] = {"email": "ola@nordlys.example", "origin": "asked by phone"}

Address = Annotated[str, StringConstraints(max_length=500)]


class BlockedAddressIn(BaseModel):
    """An address to block."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_BLOCKED]})

    email: Address
    reason: BlockReason = Field(
        default=BlockReason.MANUAL, description="A complaint also withdraws consent to e-marketing"
    )
    origin: Source = Field(default="manual", description="What led to it")


class BlockedAddressOut(BaseModel):
    """An address no mailing may go to."""

    id: int
    email: str
    reason: BlockReason
    origin: str
    mailing_id: int | None
    created_at: datetime
