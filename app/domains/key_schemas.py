"""DKIM keys as the API takes and shows them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domains.models import Algorithm, KeyState


class KeyIn(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"algorithm": "rsa"}]})

    algorithm: Algorithm = Field(description="`rsa` (2048 bits) is verified everywhere, `ed25519` by some")


class Activation(BaseModel):
    """How to activate a key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"force": False}]})

    force: bool = Field(default=False, description="Though its record was not seen in DNS")


class Retirement(BaseModel):
    """How to retire a key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"at_once": False}]})

    at_once: bool = Field(
        default=False, description="Mail on its way may lose its signature: for a key that was stolen"
    )


class Record(BaseModel):
    """A record to publish in DNS."""

    name: str
    type: Literal["TXT"] = "TXT"
    text: str = Field(description="The whole text, for forms that take it in one piece")
    strings: list[str] = Field(description="The same in strings of at most 255 octets, as DNS keeps it")
    zone_line: str = Field(description="The same as a line of a zone file")


class KeyOut(BaseModel):
    """A DKIM key, without its private half."""

    id: int
    domain: str
    selector: str
    algorithm: Algorithm
    state: KeyState = Field(description="It signs while it is `active`; its record is needed until it is `retired`")
    record: Record
    seen_at: datetime | None = Field(description="When its record was last found in DNS as it should be")
    activated_at: datetime | None
    retires_at: datetime | None = Field(description="Until when a retiring key's record has to stay")
    retired_at: datetime | None
    created_at: datetime
