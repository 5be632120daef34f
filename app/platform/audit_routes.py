"""`/v1/audit-log` (D76)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.platform.audit import AuditAction, AuditEntry, page_of_entries
from app.platform.auth import Admin
from app.platform.clock import Instant
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/audit-log", tag="audit log")

Word = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
Id = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


class AuditEntryOut(BaseModel):
    """What was written, by whom."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 4711, "occurred_at": "2026-11-24T09:30:00Z", "actor": "api-key:3", "actor_name": "CRM",
                    "request_id": "0f9be7e2c1d04a6f", "action": "changed", "entity": "person", "entity_id": "17",
                    "person_id": 17, "before": {"city": "Oslo"}, "after": {"city": "Bergen"}, "rows": 1,
                }
            ]
        }
    )  # fmt: skip

    id: int
    occurred_at: datetime
    actor: str = Field(description="`api-key:<id>`, `job:<name>`, `recipient:<id>`, or `database:<user>`")
    actor_name: str | None
    request_id: str | None = Field(description="`X-Request-Id` of the request that did it")
    action: AuditAction
    entity: str = Field(description="What was written, such as `person`, `subscription`, `mailing_source`")
    entity_id: str | None
    person_id: int | None = Field(description="The person it is about")
    before: dict[str, Any] | None = Field(description="What changed, as it was; of what was deleted, everything")
    after: dict[str, Any] | None = Field(description="What changed, as it is; of what was created, everything")
    rows: int = Field(description="Over 1: as many rows were written, and only their number is kept")


def show_entry(entry: AuditEntry) -> AuditEntryOut:
    """Return an entry as the API shows it."""
    return AuditEntryOut(**entry.model_dump(exclude={"address", "bulk"}))


@routes.get("", operation_id="list_audit_log", responses=declare(), summary="List the audit log")
async def list_audit_log(
    caller: Admin, session: Session, entity: Word = None, entity_id: Word = None, person_id: Id = None,
    actor: Word = None, request_id: Word = None, action: AuditAction | None = None,
    since: Annotated[Instant | None, Query(description="From this time on")] = None,
    until: Annotated[Instant | None, Query(description="Before this time")] = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page[AuditEntryOut]:  # fmt: skip
    """List what was written, newest first: by whom, and what it was before and after.

    An import, and a request that writes more than 500 rows of a kind at once, have one entry for each kind, with the
    number of rows. Values over 2 000 characters are given by length and checksum. Of erased persons, who did what when
    stays, and the values go.
    """
    equal = {
        "entity": entity, "entity_id": entity_id, "person_id": person_id, "actor": actor, "request_id": request_id,
        "action": action,
    }  # fmt: skip
    rows = await page_of_entries(
        session, equal=equal, since=since, until=until, below=read_cursor(cursor), limit=limit
    )  # fmt: skip
    return Page[AuditEntryOut](**page_of(rows, limit=limit, show=show_entry))
