"""What the API takes and shows of templates and merge tags."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.contacts.addresses import clean_text

MAX_CONTENT = 2_000_000  # characters; mail over 102 kB is clipped by readers, ten times that is a mistake


def _named(text: str) -> str:
    name = clean_text(text, 200)
    if not name:
        raise ValueError("A name has at least one visible character.")
    return name


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_named)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]
Subject = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\r\n\x00]*$")]
Content = Annotated[str, StringConstraints(max_length=MAX_CONTENT, pattern=r"^[^\x00]*$")]

_EXAMPLE: dict[str, Any] = {
    "name": "Monthly news",
    "subject": 'News for [[customer.firstname|default("you")]]',
    "html": "<p>Hi!</p>",
}


class TemplateIn(BaseModel):
    """A template to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    folder_id: Key | None = Field(default=None, description="A folder for templates")
    subject: Subject = ""
    html: Content = Field(default="", description="HTML with merge tags such as `[[customer.firstname]]`")
    text: Content | None = Field(default=None, description="The text part; derived from the HTML when null")


class TemplatePatch(BaseModel):
    """Changes to a template (JSON merge patch): what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"subject": "New subject"}]})

    name: Name = "-"
    folder_id: Key | None = None
    subject: Subject = ""
    html: Content = ""
    text: Content | None = None


class TemplateOut(BaseModel):
    """A template."""

    id: int
    name: str
    folder_id: int | None
    subject: str
    html: str
    text: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class MergeTagOut(BaseModel):
    """A merge tag that content may use."""

    tag: str
    description: str
