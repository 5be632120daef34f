"""What the API takes and shows of templates and merge tags."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.contacts.addresses import clean_text

MAX_CONTENT = 2_000_000  # characters; mail over 102 kB is clipped by readers, ten times that is a mistake

MAX_MJML = 1_000_000


def _named(text: str) -> str:
    name = clean_text(text, 200)
    if not name:
        raise ValueError("A name has at least one visible character.")
    return name


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_named)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]
Subject = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\r\n\x00]*$")]
Content = Annotated[str, StringConstraints(max_length=MAX_CONTENT, pattern=r"^[^\x00]*$")]
Mjml = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MJML, pattern=r"^[^\x00]*$")]
MJML = "Written in MJML instead of HTML, with merge tags; the HTML is what it compiles to. No `mj-include`"

_EXAMPLE: dict[str, Any] = {
    "name": "Monthly news",
    "subject": 'News for [[customer.firstname|default("you")]]',
    "html": "<p>Hi!</p>",
}


class Written(BaseModel):
    """What content is written in: HTML or MJML, never both."""

    model_config = ConfigDict(extra="forbid")

    html: Content = Field(default="", description="HTML with merge tags such as `[[customer.firstname]]`")
    mjml: Mjml | None = Field(default=None, description=MJML)
    text: Content | None = Field(default=None, description="The text part; derived from the HTML when null")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.html and self.mjml is not None:
            raise ValueError("give `html` or `mjml`, not both: MJML is compiled to HTML")
        return self


class TemplateIn(Written):
    """A template to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    folder_id: Key | None = Field(default=None, description="A folder for templates")
    subject: Subject = ""


class TemplatePatch(Written):
    """Changes to a template (JSON merge patch): what is left out stays. HTML takes the place of MJML, and back."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"subject": "New subject"}]})

    name: Name = "-"
    folder_id: Key | None = None
    subject: Subject = ""


class TemplateOut(BaseModel):
    """A template."""

    id: int
    name: str
    folder_id: int | None
    subject: str
    html: str
    mjml: str | None = Field(description="The source the HTML was compiled from")
    text: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class MergeTagOut(BaseModel):
    """A merge tag that content may use."""

    tag: str
    description: str
