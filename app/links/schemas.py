"""What the API takes and shows of the link library."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.content.schemas import Key, Name

MAX_TARGET = 4_000  # characters; browsers and servers take 8 000 octets at most, and a character may be two of them

Target = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TARGET, pattern=r"^[^\x00]*$")]
Description = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")]

_TARGET = (
    "Where it leads, kept byte for byte; merge tags are filled for who clicks. `http` and `https` are tracked; "
    "`mailto`, `tel`, `sms` and the like may be linked to, but clicks on it are not counted. Other schemes are refused"
)
_EXAMPLE: dict[str, Any] = {
    "name": "Price list", "target": "https://www.nordlys.example/prices?lang=nb&c=[[customer.number]]#top",
    "description": "The one on the web, always up to date", "folder_id": 3,
}  # fmt: skip


class LibraryLinkIn(BaseModel):
    """A link to put into the library."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    target: Target = Field(description=_TARGET)
    description: Description = ""
    folder_id: Key | None = Field(default=None, description="A folder for links")


class LibraryLinkPatch(BaseModel):
    """Changes to a link of the library (JSON merge patch): what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"folder_id": 4}]})

    name: Name = "-"
    target: Target = Field(default="-", description=_TARGET)
    description: Description = ""
    folder_id: Key | None = Field(default=None, description="A folder for links; null: in none")


class LinkSort(StrEnum):
    """The order of the library."""

    OLDEST = "oldest"
    NAME = "name"


class LinkUse(BaseModel):
    """A mailing or a template that uses a link of the library."""

    kind: Literal["mailing", "template"]
    id: int
    name: str
    state: str | None = Field(description="A mailing's state; null for a template")
    sent: bool = Field(
        description="Frozen with the target the link had then; otherwise it refers to the link as it is now"
    )


class LibraryLinkOut(BaseModel):
    """A link of the library."""

    id: int
    name: str
    description: str
    folder_id: int | None
    target: str
    trackable: bool = Field(description="Whether clicks are counted: only http and https targets can be tracked")
    reference: str = Field(description="The merge tag by which content refers to it, as the address of a link")
    version: int
    created_at: datetime
    updated_at: datetime
