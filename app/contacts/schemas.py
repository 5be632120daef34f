"""What the API takes and shows of persons and companies."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.contacts.addresses import clean_text
from app.platform.errors import InvalidField

BULK_LIMIT = 10_000  # api.md rule 7
TEXT_LIMIT = 500
EXTRA_LIMIT = 100  # extra fields of one person
EXTRA_TEXT_LIMIT = 2000
INTERESTS_LIMIT = 200  # of one person

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_EXTRA_NAME = r"^[a-z][a-z0-9_]{0,59}$"


def _clean(text: str) -> str:
    return clean_text(text, TEXT_LIMIT)


def _clean_extra(value: Any) -> Any:
    return clean_text(value, EXTRA_TEXT_LIMIT) if isinstance(value, str) else value


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError(f"{text!r} is no language tag; write one such as nb, en or pt-BR (BCP 47).")
    return text


def _time_zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError(f"{text!r} is no time zone; write an IANA name such as Europe/Oslo.")
    return text


Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT), AfterValidator(_clean)]
ExternalId = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)
]
Language = Annotated[str, AfterValidator(_language)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
InterestName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)
]
ExtraName = Annotated[str, StringConstraints(pattern=_EXTRA_NAME)]
ExtraText = Annotated[str, StringConstraints(max_length=EXTRA_TEXT_LIMIT)]
ExtraValue = Annotated[ExtraText | int | float | bool | None, AfterValidator(_clean_extra)]
Extra = Annotated[dict[ExtraName, ExtraValue], Field(max_length=EXTRA_LIMIT)]

_COMPANY: dict[str, Any] = {"external_id": "C-17", "name": "Nordlys Bygg AS", "city": "Tromsø", "country": "NO"}
_PERSON: dict[str, Any] = {
    "external_id": "CRM-100001", "first_name": "Kari", "last_name": "Nordmann", "email": "kari@nordlys.example",
    "cellphone": "+4791234567", "language": "nb", "extra": {"shoe_size": 38},
}  # fmt: skip


class CompanyPatch(BaseModel):
    """Changes to a company (JSON merge patch): what is left out stays, null clears, `extra` is merged by field."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"city": "Bodø", "extra": {"old": None}}]}
    )

    external_id: ExternalId | None = None
    name: Annotated[Text, StringConstraints(min_length=1)] = "-"
    department: Text | None = None
    country: Text | None = None
    phone: Text | None = None
    url: Text | None = None
    category: Text | None = None
    business: Text | None = None
    number: Text | None = None
    city: Text | None = None
    extra: Extra = {}


class CompanyIn(CompanyPatch):
    """A company to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_COMPANY]})

    name: Annotated[Text, StringConstraints(min_length=1)]


class CompanyBulkItem(CompanyPatch):
    """A company to create or change, found by its external id; `name` may be left out when it exists."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_COMPANY]})

    external_id: ExternalId


class CompanyOut(BaseModel):
    """A company."""

    id: int
    external_id: str | None
    name: str
    department: str | None
    country: str | None
    phone: str | None
    url: str | None
    category: str | None
    business: str | None
    number: str | None
    city: str | None
    extra: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class PersonPatch(BaseModel):
    """Changes to a person (JSON merge patch): what is left out stays, null clears, `extra` is merged by field."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "CTO", "direct": None}]})

    external_id: ExternalId | None = None
    company_id: int | None = Field(default=None, ge=1, le=2**63 - 1)
    name: Text = Field(default="", description="The full name, as addressed; first and last name when left out")
    first_name: Text | None = None
    last_name: Text | None = None
    salutation: Text | None = None
    title: Text | None = None
    email: str | None = Field(default=None, max_length=TEXT_LIMIT, description="Must be a valid address")
    cellphone: str | None = Field(default=None, max_length=100, description="A phone number; kept as E.164")
    direct: str | None = Field(default=None, max_length=100, description="A phone number; kept as E.164")
    category: Text | None = None
    business: Text | None = None
    number: Text | None = None
    position: Text | None = None
    city: Text | None = None
    country: Text | None = None
    language: Language | None = Field(default=None, description="BCP 47")
    time_zone: TimeZone | None = Field(default=None, description="IANA")
    former_employee: bool = False
    extra: Extra = {}


class PersonIn(PersonPatch):
    """A person to create: with a name, an email address, a mobile number or an external id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_PERSON]})


class PersonBulkItem(PersonPatch):
    """A person to create or change, found by the external id.

    The company may be named by `company_id`, by `company_external_id` or by `company_name`; a company that is not known
    is created when its name is given. `interests` are names, and all that the person has from then on; those that are
    not known are created.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_PERSON | {"company_name": "Nordlys Bygg AS"}]}
    )

    external_id: ExternalId
    company_external_id: ExternalId | None = None
    company_name: Text | None = None
    interests: list[InterestName] = Field(default=[], max_length=INTERESTS_LIMIT)


class PersonOut(BaseModel):
    """A person."""

    id: int
    external_id: str | None
    company_id: int | None
    name: str
    first_name: str | None
    last_name: str | None
    salutation: str | None
    title: str | None
    email: str | None = Field(description="As mail is sent to it; what was imported when that is no valid address")
    email_valid: bool = Field(description="Whether mail can be sent to the address")
    cellphone: str | None = Field(description="E.164; what was imported when that is no valid number")
    direct: str | None
    category: str | None
    business: str | None
    number: str | None
    position: str | None
    city: str | None
    country: str | None
    language: str | None
    time_zone: str | None
    former_employee: bool
    extra: dict[str, Any]
    created_at: datetime
    updated_at: datetime


def _as_it_came(item: Any, _check: ValidatorFunctionWrapHandler) -> Any:
    return item  # each item is checked by itself in `bulk`, so that a bad one does not refuse the whole request


class PersonBulk(BaseModel):
    """Persons to create or change. Each item is checked by itself."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"items": [{"external_id": "CRM-1", "name": "Kari Nordmann", "email": "kari@example.com"}]}]
        },
    )

    items: list[Annotated[PersonBulkItem, WrapValidator(_as_it_came)]] = Field(min_length=1, max_length=BULK_LIMIT)


class CompanyBulk(BaseModel):
    """Companies to create or change. Each item is checked by itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": [{"external_id": "C-1", "name": "Nordlys Bygg AS"}]}]}
    )

    items: list[Annotated[CompanyBulkItem, WrapValidator(_as_it_came)]] = Field(min_length=1, max_length=BULK_LIMIT)


class BulkStatus(StrEnum):
    """What became of one item; an item that changed nothing is `updated`, too."""

    CREATED = "created"
    UPDATED = "updated"
    FAILED = "failed"


class BulkOutcome(BaseModel):
    """What became of one item."""

    index: int = Field(description="Place of the item in the request, from 0")
    status: BulkStatus
    id: int | None = Field(description="The person's or company's id; null when the item failed")
    errors: list[InvalidField] | None = Field(default=None, description="What is wrong, by JSON pointer")


class BulkOut(BaseModel):
    """What became of each item, in the order of the request."""

    created: int
    updated: int
    failed: int
    items: list[BulkOutcome]


class InterestIn(BaseModel):
    """An interest to create, or its new name."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Product news"}]})

    name: InterestName


class InterestOut(BaseModel):
    """A tag that persons have."""

    id: int
    name: str
    created_at: datetime


class PersonInterestsIn(BaseModel):
    """All interests that a person has from now on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"interest_ids": [1, 4]}]})

    interest_ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(max_length=INTERESTS_LIMIT)


class PersonInterestsOut(BaseModel):
    """The interests that a person has, in the order of their names."""

    items: list[InterestOut]
