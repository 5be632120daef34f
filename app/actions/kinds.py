"""The seven kinds of actions and their settings (D38). Pure, and of no trigger's own: what a link has, a form can have.

What settings refer to is checked in `checking`, and again when the action is performed.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.actions.models import ActionKind, Assignment, FollowUpType, Priority
from app.contacts.addresses import InvalidEmail, normalise_email
from app.contacts.schemas import ExtraName, ExtraValue
from app.contacts.texts import Name, Text
from app.content.schemas import Key
from app.letterhead.languages import LANGUAGES

MAX_TARGET = 4000
MAX_PAGE_TEXT = 5000
MAX_INTERESTS = 50
MAX_DURATION = 60 * 24 * 31  # minutes

Target = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TARGET)]
Ids = Annotated[list[Key], Field(max_length=MAX_INTERESTS)]
Paragraphs = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PAGE_TEXT, pattern=r"^[^\x00]*$")
]


def _address(raw: str) -> str:
    try:
        return normalise_email(raw).address
    except InvalidEmail as error:
        raise ValueError(str(error)) from error


Address = Annotated[str, StringConstraints(max_length=254), AfterValidator(_address)]


class Settings(BaseModel):
    """Settings of an action."""

    model_config = ConfigDict(extra="forbid")

    kind: ActionKind
    answers: ClassVar[bool] = False
    """Whether it is part of the answer to the click itself, and of nothing that is done afterwards."""

    def stored(self) -> dict[str, Any]:
        """Return the settings as they are kept beside their kind."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_unset=True)


class PageText(BaseModel):
    """A page in one language."""

    model_config = ConfigDict(extra="forbid")

    language: Literal["en", "nb", "sv", "da", "nl", "de"] = Field(description="One that pages are written in (D49)")
    title: Name
    text: Paragraphs = Field(description="Plain text; an empty line begins a paragraph")


class Response(Settings):
    """Where the reader comes to instead of the link's own target: another target, or a page of one's own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "response",
                    "pages": [{"language": "nb", "title": "Takk!", "text": "Vi ringer deg i løpet av uken."}],
                },
                {"kind": "response", "redirect_to": "https://www.example.com/thanks?name=[[customer.firstname]]"},
            ]
        }
    )

    answers: ClassVar[bool] = True
    kind: Literal[ActionKind.RESPONSE]
    redirect_to: Target | None = Field(default=None, description="A target as a link has it; merge tags are filled")
    pages: Annotated[list[PageText], Field(min_length=1, max_length=len(LANGUAGES))] | None = Field(
        default=None, description="The page by language: the reader's, as the browser says, else the first"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.redirect_to is None) == (self.pages is None):
            raise ValueError("Give either redirect_to or pages.")
        languages = [page.language for page in self.pages or []]
        if len(languages) != len(set(languages)):
            raise ValueError("A language has one page; one of them comes twice.")
        return self


class SetField(Settings):
    """An extra field of the person gets a value."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "set_field", "field": "wants_a_call", "value": True}]}
    )

    kind: Literal[ActionKind.SET_FIELD]
    field: ExtraName = Field(description="The name of an extra field of persons")
    value: ExtraValue = Field(description="As its kind has it; null clears the field")


class Interests(Settings):
    """The person gets interests, or loses them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "interests", "add": [3], "remove": [5]}]})

    kind: Literal[ActionKind.INTERESTS]
    add: Ids = []
    remove: Ids = []

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not (self.add or self.remove):
            raise ValueError("Name at least one interest in add or remove.")
        if both := sorted(set(self.add) & set(self.remove)):
            raise ValueError(f"Interest {both[0]} cannot be added and removed at once.")
        return self


class Membership(Settings):
    """The person comes into a static selection or a project, or leaves it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "membership", "change": "add", "selection_id": 7}]}
    )

    kind: Literal[ActionKind.MEMBERSHIP]
    change: Literal["add", "remove"]
    selection_id: Key | None = Field(default=None, description="A static selection")
    project_id: Key | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.selection_id is None) == (self.project_id is None):
            raise ValueError("Give either selection_id or project_id.")
        return self


class User(BaseModel):
    """One of the CRM's users."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "ola@supplier.example"}]})

    name: Name | None = None
    email: Address


class FollowUpSettings(Settings):
    """A task or an appointment for one of the CRM's users."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "follow_up", "type": "task", "description": "Call about the autumn offer",
                    "our_contact": True, "owner": {"name": "Ola Selger", "email": "ola@supplier.example"},
                    "duration_minutes": 30,
                }
            ]
        }
    )  # fmt: skip

    kind: Literal[ActionKind.FOLLOW_UP]
    type: FollowUpType = FollowUpType.TASK
    description: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]*$")
    ]
    project_id: Key | None = None
    our_contact: bool = Field(default=False, description="The owner is the person's own contact, where there is one")
    owner: User = Field(description="The owner; with `our_contact`, of persons who have no contact")
    duration_minutes: Annotated[int, Field(ge=1, le=MAX_DURATION)] | None = None


class RequestSettings(Settings):
    """A request for the CRM's service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "request", "title": "Wants a demonstration", "priority": "high", "category": "Sales"}]
        }
    )

    kind: Literal[ActionKind.REQUEST]
    title: Name
    priority: Priority = Priority.MEDIUM
    category: Text | None = None
    assignment: Assignment = Field(
        default=Assignment.AUTOMATIC, description="`automatic`: the CRM's own rules choose; `owner` needs an `owner`"
    )
    our_contact: bool = Field(default=False, description="The owner is the person's own contact, where there is one")
    owner: User | None = Field(default=None, description="The owner; with `our_contact`, where there is no contact")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.assignment is Assignment.OWNER and self.owner is None:
            raise ValueError("assignment owner needs an owner.")
        if self.assignment is not Assignment.OWNER and (self.owner is not None or self.our_contact):
            raise ValueError("owner and our_contact go with assignment owner.")
        return self


class ScriptSettings(Settings):
    """A signed webhook is called with what happened."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "script", "script_id": 2, "may_redirect": True}]}
    )

    kind: Literal[ActionKind.SCRIPT]
    script_id: Key
    may_redirect: bool = Field(
        default=False, description="It is asked at each click, too, and its answer may say where the reader comes to"
    )


KINDS: dict[ActionKind, type[Settings]] = {
    ActionKind.RESPONSE: Response, ActionKind.SET_FIELD: SetField, ActionKind.INTERESTS: Interests,
    ActionKind.MEMBERSHIP: Membership, ActionKind.FOLLOW_UP: FollowUpSettings, ActionKind.REQUEST: RequestSettings,
    ActionKind.SCRIPT: ScriptSettings,
}  # fmt: skip
_NAMED = ", ".join(KINDS)


def _dispatch(raw: Any, _: Any) -> Any:
    """Read settings as what their kind says they are, so that faults are told of that kind only, and where they are."""
    if isinstance(raw, Settings):
        return raw
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise PydanticCustomError("action_kind", "{detail}", {"detail": f"An action has a kind, one of: {_NAMED}."})
    return KINDS[ActionKind(kind)].model_validate(raw)


def _kind(raw: Any) -> str | None:
    """Tell OpenAPI that the alternatives exclude each other; `_dispatch` reads."""
    return raw.kind.value if isinstance(raw, Settings) else None


_Any = (
    Annotated[Response, Tag("response")] | Annotated[SetField, Tag("set_field")]
    | Annotated[Interests, Tag("interests")] | Annotated[Membership, Tag("membership")]
    | Annotated[FollowUpSettings, Tag("follow_up")] | Annotated[RequestSettings, Tag("request")]
    | Annotated[ScriptSettings, Tag("script")]
)  # fmt: skip
Action = Annotated[_Any, Discriminator(_kind), WrapValidator(_dispatch)]
_ADAPTER: TypeAdapter[Settings] = TypeAdapter(Action)


def read_settings(kind: ActionKind, stored: dict[str, Any]) -> Settings:
    """Return settings as they were stored; raises ValidationError where they are of another version."""
    return _ADAPTER.validate_python({**stored, "kind": kind})
