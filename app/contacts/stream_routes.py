"""Any number of persons or companies as a stream of lines: `/v1/persons/bulk/stream` (api.md rule 7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request, Response
from starlette.types import Receive

from app.contacts import bulk
from app.contacts.bulk import ItemOutcome
from app.contacts.bulk_routes import Upsert
from app.contacts.errors import ExternalIdTaken
from app.contacts.routes import country_of
from app.contacts.schemas import BulkStatus
from app.platform.actor import Actor, acts
from app.platform.auth import ContactsWrite, actor_of
from app.platform.db import Database, is_away, tried_again
from app.platform.errors import InvalidField, Problem, Unavailable, UnsupportedMedia, declare
from app.platform.http import request_id_of, stream_router
from app.platform.ndjson import MEDIA_TYPE, Batch, Disconnected, Exchange, batches, line_of
from app.platform.telemetry import log

routes = stream_router(tag="persons and companies")

_TRIES = 3  # a person with the same external id may be created elsewhere between finding nobody and writing

OnlyFailed = Annotated[bool, Query(description="Answer only the lines that failed, and the summary")]

_LINE = {
    "type": "object",
    "description": "A line's outcome; or at the end the summary; or, where the stream broke off, a problem",
    "properties": {
        "line": {"type": "integer", "description": "Number of the line in the request, from 1"},
        "status": {"$ref": "#/components/schemas/BulkStatus"},
        "id": {"type": ["integer", "null"]},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/InvalidField"}},
        "done": {"type": "boolean", "description": "In the summary, which ends a stream that was read to its end"},
        "created": {"type": "integer"},
        "updated": {"type": "integer"},
        "failed": {"type": "integer"},
        "saved_lines": {"type": "integer", "description": "Up to this line, all that did not fail is saved"},
        "problem": {"$ref": "#/components/schemas/ProblemDocument"},
    },
}


def _streamed(item: str) -> dict[str, Any]:
    """Return what OpenAPI says of a stream of items in, and of outcomes out."""
    lines = {"schema": {"$ref": f"#/components/schemas/{item}"}}
    return {
        "requestBody": {"required": True, "description": "One object per line", "content": {MEDIA_TYPE: lines}},
        "responses": {"200": {"description": "One object per line", "content": {MEDIA_TYPE: {"schema": _LINE}}}},
    }


@routes.post(
    "/v1/persons/bulk/stream", operation_id="stream_persons", responses=declare(UnsupportedMedia),
    openapi_extra=_streamed("PersonBulkItem"), response_class=Response,
    summary="Create or change any number of persons",
)  # fmt: skip
async def stream_persons(
    caller: ContactsWrite,
    request: Request,
    only_failed: OnlyFailed = False,  # noqa: FBT002
) -> Exchange:
    """Create or change persons by external id, one JSON object per line (`application/x-ndjson`), as many as there are.

    Lines are saved in batches of up to 1 000, each in a transaction of its own, while the stream comes in; a line's
    outcome is sent only after its batch is saved. So where the connection breaks, every line with an outcome is saved
    (or has failed), the others may be sent again, and sending a line twice changes nothing more. A line that is no
    JSON, over 1 MiB or invalid fails by itself.

    The last line is the summary, `{"done": true, "created": …}`; where saving has to stop, it is
    `{"problem": …, "saved_lines": …}` instead. A stream takes no Idempotency-Key.
    """
    return _exchange(bulk.upsert_persons, request, actor_of(request, caller), only_failed=only_failed)


@routes.post(
    "/v1/companies/bulk/stream", operation_id="stream_companies", responses=declare(UnsupportedMedia),
    openapi_extra=_streamed("CompanyBulkItem"), response_class=Response,
    summary="Create or change any number of companies",
)  # fmt: skip
async def stream_companies(
    caller: ContactsWrite,
    request: Request,
    only_failed: OnlyFailed = False,  # noqa: FBT002
) -> Exchange:
    """Create or change companies by external id, one JSON object per line, answered as persons are."""
    return _exchange(bulk.upsert_companies, request, actor_of(request, caller), only_failed=only_failed)


def _exchange(upsert: Upsert, request: Request, actor: Actor, *, only_failed: bool) -> Exchange:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise UnsupportedMedia(f"Send one JSON object per line, with Content-Type: {MEDIA_TYPE}.")
    stream = _Stream(
        database=request.app.state.database, upsert=partial(upsert, default_country=country_of(request)), actor=actor,
        only_failed=only_failed, instance=request.url.path, request_id=request_id_of(request),
    )  # fmt: skip
    return Exchange(stream.converse)


@dataclass(slots=True)
class _Stream:
    """One request's lines, and what became of them so far."""

    database: Database
    upsert: Upsert
    actor: Actor
    only_failed: bool
    instance: str
    request_id: str
    saved: int = 0

    async def converse(self, receive: Receive, say: Callable[[bytes], None]) -> None:
        counts = dict.fromkeys(BulkStatus, 0)
        try:
            with acts(self.actor):
                async for batch in batches(receive):
                    outcomes = await self._save(batch)
                    self.saved = batch.numbers[-1]
                    for outcome in outcomes:
                        counts[outcome.status] += 1
                    say(self._lines(batch.numbers, outcomes))
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the answer has begun, so that only its last line can tell
            say(line_of({"problem": self._problem(error), "saved_lines": self.saved}))
        else:
            say(line_of({"done": True, **{status.value: count for status, count in counts.items()}}))

    async def _save(self, batch: Batch) -> list[ItemOutcome]:
        for _ in range(_TRIES):
            try:
                return await tried_again(partial(self._upsert, batch))
            except ExternalIdTaken as error:
                taken = error
        fault = InvalidField(pointer="#/external_id", detail=f"Nothing of this batch is saved. {taken.detail}")
        return [ItemOutcome(BulkStatus.FAILED, None, [fault])] * len(batch.items)

    async def _upsert(self, batch: Batch) -> list[ItemOutcome]:
        async with self.database.begin() as session:
            return await self.upsert(session, items=batch.items)

    def _lines(self, numbers: Sequence[int], outcomes: Sequence[ItemOutcome]) -> bytes:
        lines = []
        for number, (status, item_id, faults) in zip(numbers, outcomes, strict=True):
            if faults:
                errors = [fault.model_dump() for fault in faults]
                lines.append(line_of({"line": number, "status": status.value, "id": None, "errors": errors}))
            elif not self.only_failed:
                lines.append(f'{{"line":{number},"status":"{status.value}","id":{item_id}}}\n'.encode())
        return b"".join(lines)

    def _problem(self, error: Exception) -> dict[str, Any]:
        if isinstance(error, Problem):
            problem = error
        elif is_away(error):
            log.warning("database.away", kind=type(error).__name__)
            problem = Unavailable("The database does not answer; send the lines again that were not answered.")
        else:
            log.error("request.failed", path=self.instance, request_id=self.request_id, exc_info=error)
            problem = Problem("Something went wrong here; the request id finds it in the log.")
        return problem.document(instance=self.instance, request_id=self.request_id)
