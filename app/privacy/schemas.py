"""Exports and erasures as the API shows them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Line = dict[str, Any]


class PersonExport(BaseModel):
    """Everything about a person. Each line has the columns of its table, by the names of the API."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "exported_at": "2026-11-24T09:30:00Z", "person_id": 17,
                    "person": {"id": 17, "name": "Kari Nordmann", "email": "kari@example.com", "city": "Oslo"},
                    "company": None, "emails": [], "interests": [{"id": 4, "name": "Product news"}], "selections": [],
                    "projects": [], "subscriptions": [], "consents": [], "mailings": [], "engagement": [],
                    "action_runs": [], "follow_ups": [], "requests": [],
                    "bounces": [], "blocked_addresses": [], "pasted_addresses": [], "import_problems": [],
                    "events": [], "audit_log": [],
                }
            ]
        }
    )  # fmt: skip

    exported_at: datetime
    person_id: int
    person: Line | None = Field(description="null for one who was deleted: what is left are the lists' own lines")
    company: Line | None
    emails: list[Line] = Field(description="Further addresses")
    interests: list[Line]
    selections: list[Line] = Field(description="Static ones; a dynamic selection keeps no list")
    projects: list[Line]
    subscriptions: list[Line]
    consents: list[Line] = Field(description="The whole ledger of the person and of the person's addresses")
    mailings: list[Line] = Field(description="Lines of recipient lists: what was sent when, opened, clicked, bounced")
    engagement: list[Line] = Field(description="Every click and open, with the link and the verdict on it")
    action_runs: list[Line] = Field(description="What actions of links did when the person clicked")
    follow_ups: list[Line] = Field(description="Tasks and appointments that clicks made")
    requests: list[Line] = Field(description="Service requests that clicks made")
    bounces: list[Line]
    blocked_addresses: list[Line]
    pasted_addresses: list[Line] = Field(description="Lines of sources that name one of the person's addresses")
    import_problems: list[Line] = Field(description="Those whose text names the person")
    events: list[Line]
    audit_log: list[Line]


class ErasureGround(StrEnum):
    """Why a person is erased: GDPR article 17 (1)."""

    NO_LONGER_NEEDED = "no_longer_needed"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    OBJECTED = "objected"
    UNLAWFUL = "unlawful"
    LEGAL_OBLIGATION = "legal_obligation"


class ErasureIn(BaseModel):
    """Why a person is to be erased. No free text: whatever it said would be about the person."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "consent_withdrawn"}]})

    reason: ErasureGround
