"""What the API takes and shows of extra fields."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.contacts.models import ExtraKind, ExtraOwner
from app.contacts.schemas import ExtraName
from app.contacts.texts import Text

CHOICES_LIMIT = 200

Label = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
Choice = Annotated[Text, StringConstraints(min_length=1, max_length=200)]


def _distinct(choices: list[str]) -> list[str]:
    if twice := sorted({each for each in choices if choices.count(each) > 1}):
        raise ValueError(f"{twice[0]!r} is there twice; name each choice once.")
    return choices


Choices = Annotated[list[Choice], Field(max_length=CHOICES_LIMIT), AfterValidator(_distinct)]


class ExtraFieldIn(BaseModel):
    """An extra field to declare. `label` is what users read; the name when left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"owner": "person", "name": "shoe_size", "label": "Shoe size", "kind": "number"}]
        },
    )

    owner: ExtraOwner
    name: ExtraName = Field(description="The key in `extra` and in merge tags: `customer.extra.shoe_size`")
    label: Label | None = None
    kind: ExtraKind
    choices: Choices = Field(default=[], description="For a choice: the texts that it can be")


class ExtraFieldPatch(BaseModel):
    """Changes to an extra field (JSON merge patch). Owner and name stay: content and values refer to them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"kind": "choice", "choices": ["S", "M"]}]}
    )

    label: Label = "-"
    kind: ExtraKind = ExtraKind.TEXT
    choices: Choices = []


class ExtraFieldOut(BaseModel):
    """A field of persons or companies beyond the built-in ones.

    In JSON its values are: text, choice and date (ISO 8601) a string, number a number, boolean true or false.
    """

    id: int
    owner: ExtraOwner
    name: str
    label: str
    kind: ExtraKind
    choices: list[str]
    created_at: datetime
