"""Limits of destinations, and destinations that asked for less, as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.delivery.account_schemas import is_domain
from app.delivery.pace_models import ANYWHERE


def _destination(value: str) -> str:
    return value if value == ANYWHERE else is_domain(value)


Destination = Annotated[
    str,
    Path(
        min_length=1, max_length=255, examples=["example.com"],
        description="A domain of recipients' addresses; `*` for every domain without a limit of its own",
    ),
    AfterValidator(_destination),
]  # fmt: skip


class DestinationLimitIn(BaseModel):
    """How much may go to a destination, by all workers together."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"max_per_second": 5, "max_per_hour": 10000}]}
    )

    max_per_second: float | None = Field(
        default=None, ge=0.01, le=100_000, description="Messages in any second; 0.1 is one in ten seconds"
    )
    max_per_hour: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Messages in any hour, spread evenly but for a twentieth"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.max_per_second is None and self.max_per_hour is None:
            raise ValueError("give max_per_second, max_per_hour or both; delete the limit to have none")
        return self


class DestinationLimitOut(BaseModel):
    """The limit of a destination."""

    domain: str = Field(description="In A-labels; `*` for every domain without a limit of its own")
    max_per_second: float | None
    max_per_hour: int | None
    created_at: datetime


class SlowedDestinationOut(BaseModel):
    """A destination that asked for less."""

    domain: str
    since: datetime = Field(description="When it first asked for less")
    asked_at: datetime = Field(description="When it did so last; its rate was halved then")
    times: int = Field(description="How often its rate was halved")
    max_per_second: float = Field(description="What may be sent to it now, by all workers together")
    free_at: datetime = Field(description="When it is at full speed again, unless it asks for less once more")
    code: int | None = Field(description="The server's reply code")
    words: str = Field(description="The server's words")
