"""Sending domains as the API takes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

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


class DomainOut(BaseModel):
    """A sending domain."""

    id: int
    domain: str = Field(description="As DNS has it: A-labels, lower case")
    display: str = Field(description="As people write it")
    trusted: bool = Field(description="An administrator vouches for it")
    verdict: Verdict = Field(description="What the last checks came to")
    approved: bool = Field(description="Trusted, or passing: contacts' addresses in it may stand in From")
    checked_at: datetime | None
    created_at: datetime
