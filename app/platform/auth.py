"""API keys with scopes (api.md rule 8). An endpoint's signature reads as policy: `caller: MailingsWrite`."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, cast

import sqlalchemy as sa
from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from sqlalchemy import text
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.actor import Actor
from app.platform.db import DATABASE_AWAY, Database, name_actor, name_actor_later, run
from app.platform.errors import Forbidden, TooManyRequests, Unauthenticated
from app.platform.tables import Row, moment
from app.platform.tokens import hash_api_key, new_api_key


class Scope(StrEnum):
    """What an API key may do. `admin` may everything; `…:write` includes `…:read`."""

    CONTACTS_READ = "contacts:read"
    CONTACTS_WRITE = "contacts:write"
    MAILINGS_READ = "mailings:read"
    MAILINGS_WRITE = "mailings:write"
    MAILINGS_SEND = "mailings:send"
    TRACKING_READ = "tracking:read"
    ADMIN = "admin"


class ApiKey(Row, table=True):
    """A key: only its hash is kept."""

    __tablename__ = "api_key"

    name: str
    hash: bytes = Field(unique=True)
    scopes: list[str] = Field(sa_type=sa.ARRAY(sa.Text))
    expires_at: datetime | None = moment(nullable=True)
    last_used_at: datetime | None = moment(nullable=True)
    revoked_at: datetime | None = moment(nullable=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    key_id: int
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Tell whether the key has the scope, or one that includes it."""
        wider = scope.replace(":read", ":write")
        return bool(self.scopes & {scope.value, wider, Scope.ADMIN.value})


async def add_api_key(
    session: AsyncSession, *, name: str, scopes: list[Scope], expires_at: datetime | None = None
) -> tuple[str, ApiKey]:
    """Add an API key and return it with its row; it cannot be shown again."""
    api_key = new_api_key()
    row = ApiKey(name=name, hash=hash_api_key(api_key), scopes=[s.value for s in scopes], expires_at=expires_at)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return api_key, row


async def create_api_key(
    session: AsyncSession, *, name: str, scopes: list[Scope], expires_at: datetime | None = None
) -> str:
    """Add an API key and return it; it cannot be shown again."""
    api_key, _ = await add_api_key(session, name=name, scopes=scopes, expires_at=expires_at)
    return api_key


_USE = text("""
    -- The live key of a hash, by api_key_hash_key. Locks nothing: a key must be revocable while it uploads.
    SELECT id, name, scopes FROM api_key
    WHERE hash = :hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
""")

_NOTE = text("UPDATE api_key SET last_used_at = now() WHERE id = :id")

REMEMBER_SECONDS = 5.0  # a revoked key works this much longer at most; saves a query on most requests


class Callers:
    """The keys a process has seen lately, and how much each has asked for in the current minute."""

    def __init__(self, *, per_minute: int) -> None:
        self.per_minute = per_minute
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._used: dict[int, tuple[int, int]] = {}
        self._noted: dict[int, int] = {}

    def remembers(self, api_key: str) -> bool:
        """Tell whether `identify` needs no statement."""
        known = self._known.get(hash_api_key(api_key))
        return known is not None and known[0] > time.monotonic()

    async def identify(self, session: AsyncSession, api_key: str) -> Caller | None:
        """Return the caller of a key, or None for a key that is unknown, expired or revoked."""
        digest = hash_api_key(api_key)
        known = self._known.get(digest)
        if known and known[0] > time.monotonic():
            return known[1]
        row = (await run(session, _USE, hash=digest)).one_or_none()
        if row is None:
            self._known.pop(digest, None)
            return None
        caller = Caller(key_id=row.id, name=row.name, scopes=frozenset(row.scopes))
        self._known[digest] = (time.monotonic() + REMEMBER_SECONDS, caller)
        return caller

    async def note(self, database: Database, caller: Caller) -> None:
        """Note a key's use, at most once a minute and process, in a transaction of its own."""
        minute = int(time.time() // 60)
        if self._noted.get(caller.key_id) == minute:
            return
        self._noted[caller.key_id] = minute
        async with database.begin() as session:
            await run(session, _NOTE, id=caller.key_id)

    def forget(self, key_id: int) -> None:
        """Ask the database about a key at its next use."""
        self._known = {digest: known for digest, known in self._known.items() if known[1].key_id != key_id}

    def count(self, caller: Caller) -> tuple[int, int]:
        """Count one request; return (requests left in this minute, seconds until the next); -1 left is over."""
        minute, second = divmod(int(time.time()), 60)
        window, used = self._used.get(caller.key_id, (minute, 0))
        used = used + 1 if window == minute else 1
        self._used[caller.key_id] = (minute, used)
        return max(self.per_minute - used, -1), 60 - second


_READS = ("GET", "HEAD", "OPTIONS")
_bearer = HTTPBearer(auto_error=False, description="An API key, `bsk_…`", scheme_name="ApiKey")


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    """Return the caller of a request; raises Unauthenticated or TooManyRequests."""
    if known := getattr(request.state, "caller", None):
        return cast("Caller", known)
    if credentials is None:
        raise Unauthenticated(
            "Send your API key as `Authorization: Bearer bsk_…`.", headers={"WWW-Authenticate": "Bearer"}
        )
    callers: Callers = request.app.state.callers
    session: AsyncSession = request.state.session
    remembered = callers.remembers(credentials.credentials)
    caller = await callers.identify(session, credentials.credentials)
    if caller is None:
        raise Unauthenticated(
            "This API key is unknown, expired or revoked.", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
        )
    left, seconds = callers.count(caller)
    request.state.rate_limit = f'"key";r={max(left, 0)};t={seconds}'
    if left < 0:
        raise TooManyRequests(
            f"This key may ask {callers.per_minute} times a minute; wait {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
    request.state.caller = caller
    if request.method not in _READS:
        actor = actor_of(request, caller)
        if remembered:  # the session may not have connected yet, and a body may be still to come
            name_actor_later(session, actor)
        else:
            await name_actor(session, actor)
    return caller


def actor_of(request: Request, caller: Caller) -> Actor:
    """Return who acts in a request, for transactions that it does not share."""
    return Actor(f"api-key:{caller.key_id}", caller.name, getattr(request.state, "request_id", None))


async def note_use(request: Request) -> None:
    """Note that the request's key was used, if one was found; a database that is away keeps nobody waiting."""
    caller = getattr(request.state, "caller", None)
    if caller is not None:
        with suppress(*DATABASE_AWAY):
            await request.app.state.callers.note(request.app.state.database, caller)


async def check_key(request: Request) -> None:
    """Raise Unauthenticated or TooManyRequests before anything else is looked at."""
    await authenticate(request, await _bearer(request))


def require(scope: Scope) -> Any:
    """Return the dependency of a caller whose key has the scope."""

    async def allowed(caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        if not caller.may(scope):
            raise Forbidden(f"This key lacks the scope {scope.value}; it has: {', '.join(sorted(caller.scopes))}.")
        return caller

    return Depends(allowed)


ContactsRead = Annotated[Caller, require(Scope.CONTACTS_READ)]
ContactsWrite = Annotated[Caller, require(Scope.CONTACTS_WRITE)]
MailingsRead = Annotated[Caller, require(Scope.MAILINGS_READ)]
MailingsWrite = Annotated[Caller, require(Scope.MAILINGS_WRITE)]
MailingsSend = Annotated[Caller, require(Scope.MAILINGS_SEND)]
TrackingRead = Annotated[Caller, require(Scope.TRACKING_READ)]
Admin = Annotated[Caller, require(Scope.ADMIN)]
AnyCaller = Annotated[Caller, Depends(authenticate)]
