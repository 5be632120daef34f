"""`POST /v1/persons/bulk/stream` and its twin for companies: lines in, outcomes out (api.md rule 7)."""

import asyncio
import json

import pytest
from sqlalchemy import text

from app.platform.ndjson import BATCH_LINES, LINE_LIMIT
from tests.contacts.declaring import declare

NDJSON = {"Content-Type": "application/x-ndjson; charset=utf-8"}


def lines_of(*items) -> bytes:
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items)


async def stream(client, body, *, kind="persons", **params) -> list[dict]:
    answer = await client.post(f"/v1/{kind}/bulk/stream", content=body, headers=NDJSON, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def persons(count: int, *, start: int = 0) -> list[dict]:
    return [{"external_id": str(number), "name": f"Person {number}"} for number in range(start, start + count)]


async def test_each_line_has_its_outcome_and_the_last_line_sums_up(client):
    *first, end = await stream(client, lines_of(*persons(2)))
    assert [(line["line"], line["status"]) for line in first] == [(1, "created"), (2, "created")]
    assert end == {"done": True, "created": 2, "updated": 0, "failed": 0}
    *second, end = await stream(client, lines_of(*persons(3)))
    assert [line["id"] for line in second[:2]] == [line["id"] for line in first]
    assert end == {"done": True, "created": 1, "updated": 2, "failed": 0}
    [person] = (await client.get("/v1/persons", params={"external_id": "2"})).json()["items"]
    assert (person["id"], person["name"]) == (second[2]["id"], "Person 2")


async def test_a_bad_line_does_not_lose_the_others(client):
    await declare(client, "shoe_size", "number")
    body = lines_of(
        {"external_id": "1"},
        b'{"external_id": "2", ',
        b"",
        {"external_id": "4", "email": "no address"},
        {"external_id": "5", "extra": {"shoe_size": "big", "hat": 1}},
        b"[]",
        b'{"external_id": "7", "name": "\xff"}',
        b'{"external_id": "8", "extra": {"shoe_size": NaN}}',
        b"[" * 100_000,
        b'{"name": "' + b"x" * LINE_LIMIT + b'"}',
        {"external_id": "11"},
    )
    *lines, end = await stream(client, body.removesuffix(b"\n"))
    failed = {line["line"]: [error["pointer"] for error in line["errors"]] for line in lines if "errors" in line}
    assert [line["line"] for line in lines if line["status"] == "created"] == [1, 11]
    assert failed == {
        2: ["#"], 4: ["#/email"], 5: ["#/extra/shoe_size", "#/extra/hat"], 6: ["#"], 7: ["#"], 8: ["#"], 9: ["#"],
        10: ["#"],
    }  # fmt: skip
    assert "too long" in next(line for line in lines if line["line"] == 10)["errors"][0]["detail"]
    assert end == {"done": True, "created": 2, "updated": 0, "failed": 8}


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
async def test_lines_are_read_however_the_body_is_cut(client, size):
    body = b"\xef\xbb\xbf" + lines_of(*persons(BATCH_LINES + 5)).replace(b"\n", b"\r\n")
    body = body if size > 1 else body[: body.index(b"\r\n", 2000)]

    async def pieces():
        for start in range(0, len(body), size):
            yield body[start : start + size]

    *lines, end = await stream(client, pieces())
    assert [line["line"] for line in lines] == list(range(1, end["created"] + 1))
    assert end["created"] == body.count(b"external_id")


async def test_only_what_failed_is_answered_when_asked_for(client):
    answer = await stream(client, lines_of({"external_id": "1"}, {"external_id": "2", "email": "x"}), only_failed=True)
    assert [line.get("line") for line in answer] == [2, None]
    assert answer[-1]["created"] == 1


async def test_companies_stream_too(client):
    *lines, end = await stream(
        client, lines_of({"external_id": "1", "name": "Nordlys"}, {"external_id": "2"}), kind="companies"
    )
    assert [line["status"] for line in lines] == ["created", "failed"]
    assert end == {"done": True, "created": 1, "updated": 0, "failed": 1}


async def test_an_empty_stream_is_summed_up(client):
    assert await stream(client, b"\n\n") == [{"done": True, "created": 0, "updated": 0, "failed": 0}]


async def test_what_is_no_ndjson_is_refused_and_so_is_a_key(client):
    wrong = await client.post("/v1/persons/bulk/stream", json={"items": []})
    assert wrong.status_code == 415
    assert "application/x-ndjson" in wrong.json()["detail"]
    keyed = await client.post("/v1/persons/bulk/stream", content=b"", headers=NDJSON | {"Idempotency-Key": "1"})
    assert keyed.status_code == 422
    assert keyed.json()["errors"][0]["pointer"] == "header:Idempotency-Key"


async def test_entries_of_the_audit_log_name_the_key(client, database):
    """D76."""
    await stream(client, lines_of(*persons(2)))
    async with database.begin() as session:
        found = await session.exec(text("SELECT DISTINCT actor_name FROM audit_log WHERE entity = 'person'"))
        assert [row.actor_name for row in found] == ["tests"]


class Wire:
    """The server's side of a connection, driven by hand."""

    def __init__(self, app, key: str) -> None:
        self.app = app
        self.scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/persons/bulk/stream", "root_path": "",
            "query_string": b"", "scheme": "http", "server": ("test", 80), "client": ("test", 1),
            "headers": [(b"content-type", b"application/x-ndjson"), (b"authorization", key.encode())],
        }  # fmt: skip
        self.incoming: asyncio.Queue = asyncio.Queue()
        self.all_taken = asyncio.Event()
        self.readable = asyncio.Event()
        self.first_batch = asyncio.Event()
        self.answered = b""

    def send(self, body: bytes, *, more: bool = True) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def _write(self, message) -> None:
        await self.readable.wait()
        self.answered += message.get("body", b"")
        if self.answered.count(b"\n") >= BATCH_LINES:
            self.first_batch.set()

    async def _read(self) -> dict:
        message = await self.incoming.get()
        if not message.get("more_body"):
            self.all_taken.set()
        return message

    async def run(self) -> None:
        await self.app(self.scope, self._read, self._write)


@pytest.fixture
def wire(app, client) -> Wire:
    return Wire(app, client.headers["authorization"])


async def test_a_client_that_reads_nothing_before_all_is_sent_gets_its_answer(wire):
    running = asyncio.create_task(wire.run())
    for start in range(0, 5 * BATCH_LINES, BATCH_LINES):
        wire.send(lines_of(*persons(BATCH_LINES, start=start)))
    wire.send(b"", more=False)
    await wire.all_taken.wait()
    assert wire.answered == b""
    wire.readable.set()
    await running
    lines = wire.answered.splitlines()
    assert len(lines) == 5 * BATCH_LINES + 1
    assert json.loads(lines[-1])["created"] == 5 * BATCH_LINES


async def test_after_a_break_every_line_that_was_answered_is_saved_and_no_other(wire, client):
    wire.readable.set()
    running = asyncio.create_task(wire.run())
    wire.send(lines_of(*persons(BATCH_LINES + 10)) + b'{"external_id": "half')
    await wire.first_batch.wait()
    wire.hang_up()
    await running
    answered = [json.loads(line) for line in wire.answered.splitlines()]
    assert [line["line"] for line in answered] == list(range(1, BATCH_LINES + 1))
    page = (await client.get("/v1/persons", params={"external_id": str(BATCH_LINES - 1)})).json()["items"]
    assert [person["id"] for person in page] == [answered[-1]["id"]]
    assert (await client.get("/v1/persons", params={"external_id": str(BATCH_LINES)})).json()["items"] == []


_SHUT_DOWN = """
    CREATE FUNCTION shut_down() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'terminating connection due to administrator command' USING ERRCODE = '57P01'; END$$;
"""
_AT_LAST = """
    CREATE TRIGGER shut_down BEFORE INSERT ON person FOR EACH ROW WHEN (new.external_id = 'last')
    EXECUTE FUNCTION shut_down();
"""


async def test_a_stream_that_cannot_go_on_ends_with_a_problem_that_says_what_is_saved(client, database):
    async with database.begin() as session:
        for statement in (_SHUT_DOWN, _AT_LAST):
            await session.exec(text(statement))
    *lines, end = await stream(client, lines_of(*persons(BATCH_LINES + 10), {"external_id": "last"}))
    assert len(lines) == BATCH_LINES
    assert end["saved_lines"] == BATCH_LINES
    assert end["problem"]["status"] == 503
    [_] = (await client.get("/v1/persons", params={"external_id": str(BATCH_LINES - 1)})).json()["items"]
    assert (await client.get("/v1/persons", params={"external_id": str(BATCH_LINES)})).json()["items"] == []


async def test_the_contract_names_the_fields_of_a_line(client):
    document = (await client.get("/openapi.json")).json()
    told = document["paths"]["/v1/persons/bulk/stream"]["post"]
    lines = {"schema": {"$ref": "#/components/schemas/PersonBulkItem"}}
    assert told["requestBody"]["content"] == {"application/x-ndjson": lines}
    assert set(told["responses"]["200"]["content"]) == {"application/x-ndjson"}
