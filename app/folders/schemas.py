"""What the API takes and shows of folders."""

import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.folders.models import FolderKind


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("A folder's name is one line of visible characters.")
    return unicodedata.normalize("NFC", name)


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_printable)
]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]


class FolderIn(BaseModel):
    """A folder to create."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"kind": "mailing", "name": "2026", "parent_id": 1}]}
    )

    kind: FolderKind = Field(description="What it is for; each kind has a tree of its own")
    name: Name
    parent_id: Key | None = Field(default=None, description="null: at the top of its kind")


class FolderPatch(BaseModel):
    """A new name, a new place, or both (JSON merge patch): what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"parent_id": None}]})

    name: Name = "-"
    parent_id: Key | None = Field(default=None, description="Where it moves, with all that is in it; null: to the top")


class FolderOut(BaseModel):
    """A folder."""

    id: int
    kind: FolderKind
    name: str
    parent_id: int | None = Field(description="null at the top of its kind")
    created_at: datetime


class FolderNode(BaseModel):
    """A folder in the tree, with the folders in it."""

    id: int
    name: str
    folders: list["FolderNode"] = Field(description="By name")


class FolderTree(BaseModel):
    """Every folder of a kind."""

    kind: FolderKind
    folders: list[FolderNode] = Field(description="Those at the top, by name")


class Contents(StrEnum):
    """What becomes of what is in a folder that is deleted."""

    REFUSE = "refuse"
    MOVE_UP = "move_up"
