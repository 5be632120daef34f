"""Sending domains as the API takes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.domains.findings import Check, Severity
from app.domains.models import Verdict

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=r"^[^\x00]*$")]


class DomainIn(BaseModel):
    """A domain to send from."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"domain": "news.example.com"}]})

    domain: Name = Field(description="In A-labels or as people write it (`blåbær.no`)")
    trusted: bool = Field(default=False, description="Approved whatever DNS says: an administrator vouches for it")


class DomainPatch(BaseModel):
    """What is to change of a sending domain."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"trusted": True}]})

    trusted: bool


class RightOut(BaseModel):
    """A record as it should be published."""

    name: str
    type: str
    value: str


class FindingOut(BaseModel):
    """One thing that the checks found."""

    check: Check
    code: str = Field(description="For programs, such as `spf_lookups`")
    severity: Severity = Field(description="A domain with an `error` is not approved, unless it is trusted")
    detail: str
    found: str | None = Field(default=None, description="What DNS has")
    right: RightOut | None = Field(default=None, description="What it should have")


class DomainOut(BaseModel):
    """A sending domain."""

    id: int
    domain: str = Field(description="As DNS has it: A-labels, lower case")
    display: str = Field(description="As people write it")
    trusted: bool = Field(description="An administrator vouches for it")
    verdict: Verdict = Field(description="What the last checks came to")
    approved: bool = Field(description="Trusted, or passing: contacts' addresses in it may stand in From")
    findings: list[FindingOut] = Field(description="What the last checks found, one by one")
    checked_at: datetime | None
    check_due_at: datetime = Field(description="When it is checked again by itself")
    created_at: datetime
