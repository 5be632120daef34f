"""`Idempotency-Key` on POST (api.md rule 5): the key is committed together with what the request did."""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from fastapi import Request, Response
from sqlalchemy import text
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.errors import Conflict, Invalid
from app.platform.tables import json_field, moment

MAX_KEY_LENGTH = 200
REPLAYED = "Idempotency-Replayed"


class IdempotentAnswer(SQLModel, table=True):
    """The first answer to a POST, replayed for 24 hours."""

    __tablename__ = "idempotent_answer"

    key_hash: bytes = Field(primary_key=True)
    request_hash: bytes
    status: int
    headers: dict[str, str] = json_field()
    body: bytes
    created_at: datetime = moment(default_now=True)


_FIND = text("""
    -- The stored answer of a key; older than 24 hours counts as none.
    SELECT request_hash, status, headers, body FROM idempotent_answer
    WHERE key_hash = :key_hash AND created_at > now() - interval '24 hours'
""")

_KEEP = text("""
    -- Keeps the first answer, in the transaction of what it answers; an expired one is replaced.
    INSERT INTO idempotent_answer (key_hash, request_hash, status, headers, body)
    VALUES (:key_hash, :request_hash, :status, cast(:headers AS jsonb), :body)
    ON CONFLICT (key_hash) DO UPDATE
    SET request_hash = excluded.request_hash, status = excluded.status, headers = excluded.headers,
        body = excluded.body, created_at = now()
""").bindparams(sa.bindparam("headers", type_=sa.JSON))

_FORGET = text("""
    -- Answers that are no longer replayed; a seq scan of what a day's POSTs left.
    DELETE FROM idempotent_answer WHERE created_at < now() - interval '24 hours'
""")

_KEPT_HEADERS = ("content-type", "location", "etag")


async def answer_once(
    request: Request, session: AsyncSession, key: str, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Answer a POST once per key and caller.

    Raises Conflict while the first request is still running, Invalid for the same key with another body. Only answers
    that did something (2xx) are kept: a refused request may be mended and sent again under its key.
    """
    if len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise Invalid.field(
            "header:Idempotency-Key", f"Use at most {MAX_KEY_LENGTH} printable characters, such as a UUID."
        )
    caller = request.headers.get("authorization", "")
    key_hash = sha256(f"{caller}\0{request.url.path}\0{key}".encode()).digest()
    await _lock(session, key_hash)
    request_hash = await _fingerprint(request)
    found = (await run(session, _FIND, key_hash=key_hash)).one_or_none()
    if found is not None:
        if found.request_hash != request_hash:
            raise Invalid.field("header:Idempotency-Key", "This key was used with another body; take a new key.")
        return Response(found.body, found.status, {**found.headers, REPLAYED: "true"})
    response = await answer(request)
    if 200 <= response.status_code < 300:
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        body = bytes(response.body)
        if secrets := getattr(request.state, "shown_once", ()):
            body = json.dumps({**json.loads(body), **dict.fromkeys(secrets)}).encode()
        await run(
            session, _KEEP, key_hash=key_hash, request_hash=request_hash, status=response.status_code, headers=headers,
            body=body,
        )  # fmt: skip
    return response


def show_once(request: Request, *fields: str) -> None:
    """Keep fields of the answer out of what is replayed: a secret that is stored hashed must not lie here in clear."""
    request.state.shown_once = fields


async def forget_expired(session: AsyncSession) -> None:
    """Delete the answers that are no longer replayed."""
    await run(session, _FORGET)


async def _lock(session: AsyncSession, key_hash: bytes) -> None:
    lock = int.from_bytes(key_hash[:8], "big", signed=True)
    taken = (await run(session, text("SELECT pg_try_advisory_xact_lock(:lock) AS taken"), lock=lock)).one()
    if not taken.taken:
        raise Conflict("The first request with this Idempotency-Key is still running.", headers={"Retry-After": "1"})


async def _fingerprint(request: Request) -> bytes:
    """Return a hash of the body; of an upload, its size stands in, since it is streamed and not held in memory."""
    kind = request.headers.get("content-type", "").split(";")[0]
    if kind.startswith("multipart/"):
        body = json.dumps([kind, request.headers.get("content-length")]).encode()
    else:
        body = await request.body()
    return sha256(request.url.query.encode() + b"\0" + body).digest()
