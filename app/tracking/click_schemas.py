"""What the API takes and shows of clicks, clickers, and verdicts judged again."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.platform.clock import Instant
from app.tracking.models import Verdict
from app.tracking.schemas import ClickersOut, ClicksOut


class LinkFigures(BaseModel):
    """How a library link did, over all mailings."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"link_id": 4, "clicks": {"human": 31, "machine": 12}, "clickers": {"human": 22, "machine": 5}}
            ]
        }
    )

    link_id: int
    clicks: ClicksOut
    clickers: ClickersOut = Field(description="Recipients; who clicked in two mailings is one in each")


class ClickOut(BaseModel):
    """A click: who, when, from which mailing, and the verdict on it (D45)."""

    id: int
    occurred_at: datetime
    verdict: Verdict
    reasons: list[str]
    link_id: int = Field(description="The mailing's own link, of `/v1/mailings/{id}/links`")
    mailing_id: int
    mailing_name: str | None = Field(description="null once the mailing is gone")
    recipient_id: int
    person_id: int | None
    company_id: int | None
    name: str | None = Field(description="Empty once the person is erased, null once the line is gone")
    email: str | None


class ClickerOut(BaseModel):
    """A recipient who clicked a link."""

    recipient_id: int
    clicked_at: datetime | None = Field(description="First click of a human; null when only machines clicked")
    machine_clicked_at: datetime | None
    mailing_id: int
    mailing_name: str | None
    person_id: int | None
    company_id: int | None
    name: str
    email: str


class ResetIn(BaseModel):
    """Until when events go."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"before": "2026-11-25T08:00:00Z"}]})

    before: Instant | None = Field(default=None, description="Only what came in before; else all until now")


class RecomputeIn(BaseModel):
    """How verdicts are judged again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = Field(default=False, description="Change nothing, and tell what would change")
