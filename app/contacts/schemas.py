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
)

from app.contacts.addresses import clean_text
from app.contacts.texts import TEXT_LIMIT, Name, Text
from app.platform.bulk import AS_IT_CAME, BULK_LIMIT
from app.platform.errors import InvalidField

EXTRA_LIMIT = 100  # extra fields of one person
EXTRA_TEXT_LIMIT = 2000
INTERESTS_LIMIT = 200  # of one person
EMAILS_LIMIT = 20  # of one person

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_EXTRA_NAME = r"^[a-z][a-z0-9_]{0,59}$"


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


Language = Annotated[str, AfterValidator(_language)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
ExtraName = Annotated[str, StringConstraints(pattern=_EXTRA_NAME)]
ExtraText = Annotated[str, StringConstraints(max_length=EXTRA_TEXT_LIMIT)]
ExtraValue = Annotated[ExtraText | int | float | bool | None, AfterValidator(_clean_extra)]
Extra = Annotated[dict[ExtraName, ExtraValue], Field(max_length=EXTRA_LIMIT)]
EmailText = Annotated[str, StringConstraints(max_length=TEXT_LIMIT)]
"""An address as it came; `service.normalised` judges it, since its verdict comes with the forms that are kept."""

_COMPANY: dict[str, Any] = {
    "external_id": "C-17", "name": "Nordlys Bygg AS", "email": "post@nordlys.example", "city": "Tromsø",
    "country": "NO",
}  # fmt: skip
_PERSON: dict[str, Any] = {
    "external_id": "CRM-100001", "first_name": "Kari", "last_name": "Nordmann", "email": "kari@nordlys.example",
    "cellphone": "+4791234567", "language": "nb", "interests": ["Product news"],
    "our_contact": {"name": "Ola Selger", "email": "ola@supplier.example"}, "extra": {"shoe_size": 38},
}  # fmt: skip


class CompanyPatch(BaseModel):
    """Changes to a company (JSON merge patch): what is left out stays, null clears, `extra` is merged by field."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"city": "Bodø", "extra": {"old": None}}]}
    )

    external_id: Name | None = None
    name: Annotated[Text, StringConstraints(min_length=1)] = "-"
    department: Text | None = None
    email: EmailText | None = Field(default=None, description="Of the company itself; must be a valid address")
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

    external_id: Name


class CompanyOut(BaseModel):
    """A company."""

    id: int
    external_id: str | None
    name: str
    department: str | None
    email: str | None = Field(description="Of the company itself, such as post@")
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


class ContactIn(BaseModel):
    """Somebody of ours who looks after a person: the sender where a mailing says so (D5)."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None
    email: EmailText | None = Field(default=None, description="Must be a valid address")


class ContactOut(BaseModel):
    """Somebody of ours who looks after a person."""

    name: str | None
    email: str | None


class PersonPatch(BaseModel):
    """Changes to a person (JSON merge patch): what is left out stays, null clears, `extra` is merged by field."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "CTO", "direct": None}]})

    external_id: Name | None = None
    company_id: int | None = Field(default=None, ge=1, le=2**63 - 1)
    name: Text = Field(default="", description="The full name, as addressed; first and last name when left out")
    first_name: Text | None = None
    last_name: Text | None = None
    salutation: Text | None = None
    title: Text | None = None
    email: EmailText | None = Field(
        default=None,
        description="The preferred address, which mail goes to; must be valid. It takes the place of the present one, "
        "or changes places with it when the person has it already. Null: the next one is preferred",
    )
    emails: list[EmailText] | None = Field(
        default=None,
        max_length=EMAILS_LIMIT,
        description="All addresses from now on, the preferred one first (or that in `email`); must be valid. "
        "Other persons may have them, too",
    )
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
    our_contact: ContactIn | None = Field(default=None, description="Who sells to the person; null clears both fields")
    support_contact: ContactIn | None = Field(default=None, description="Who supports the person")
    former_employee: bool = Field(default=False, description="Gets no mailing (D24)")
    interests: list[Name] | None = Field(
        default=None,
        max_length=INTERESTS_LIMIT,
        description="Names of all interests from now on; those that are not known are created",
    )
    extra: Extra = {}


class PersonIn(PersonPatch):
    """A person to create: with a name, an email address, a mobile number or an external id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_PERSON]})


class PersonBulkItem(PersonPatch):
    """A person to create or change, found by the external id.

    The company may be named by `company_id`, by `company_external_id` or by `company_name`; a company that is not known
    is created when its name is given.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_PERSON | {"company_name": "Nordlys Bygg AS"}]}
    )

    external_id: Name
    company_external_id: Name | None = None
    company_name: Text | None = None


class PersonEmailIn(BaseModel):
    """An address that a person has."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": "kari@home.example", "preferred": True}]}
    )

    email: EmailText = Field(description="Must be a valid address")
    preferred: bool = Field(default=False, description="Mail goes to it from now on")


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
    emails: list[str] = Field(description="All valid addresses: the preferred one first, as mail goes to it")
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
    our_contact: ContactOut | None
    support_contact: ContactOut | None
    former_employee: bool
    interests: list[str] = Field(description="Names, in alphabetical order")
    extra: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class PersonBulk(BaseModel):
    """Persons to create or change. Each item is checked by itself."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"items": [{"external_id": "CRM-1", "name": "Kari Nordmann", "email": "kari@example.com"}]}]
        },
    )

    items: list[Annotated[PersonBulkItem, AS_IT_CAME]] = Field(min_length=1, max_length=BULK_LIMIT)


class CompanyBulk(BaseModel):
    """Companies to create or change. Each item is checked by itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": [{"external_id": "C-1", "name": "Nordlys Bygg AS"}]}]}
    )

    items: list[Annotated[CompanyBulkItem, AS_IT_CAME]] = Field(min_length=1, max_length=BULK_LIMIT)


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

    name: Name


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
