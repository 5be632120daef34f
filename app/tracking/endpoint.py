"""`/c/{token}` and `/o/{token}.gif`: plain ASGI in front of everything else, since every reader passes here.

A click answers 302 to the stored target once its event is committed, and answers all the same, within a second, when
the database is away. It leads nowhere but to a stored target (D37). The pixel is always answered (D42).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.content.links import fill_target
from app.platform.db import Database
from app.platform.settings import Settings
from app.platform.telemetry import Metrics, log
from app.platform.tokens import InvalidToken, Purpose, TokenKey
from app.tracking.link_table import LinkTable, location_of
from app.tracking.models import EventKind
from app.tracking.recorder import Event, Recorder
from app.tracking.values import read_values

READ_WITHIN = 0.7
"""Seconds that a reader waits for a query: a link not in memory, or what fills its merge tags."""
FILL_WITHIN = 30.0
"""Seconds that starting waits for the link table; a million links take some 5. The rest comes link by link."""

DATABASE_AWAY = (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError)

PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)  # a transparent GIF of one pixel, 43 octets

Headers = list[tuple[bytes, bytes]]

_PRIVATE: Headers = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
]
_REDIRECT: Headers = [(b"content-length", b"0"), *_PRIVATE]
_GIF: Headers = [(b"content-type", b"image/gif"), (b"content-length", str(len(PIXEL)).encode()), *_PRIVATE]
_HTML: Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    *_PRIVATE,
]
_EMPTY = {"type": "http.response.body", "body": b""}

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<main><h1>{title}</h1><p>{text}</p></main></html>
"""
NOT_FOUND = _PAGE.format(
    title="This link leads nowhere", text="It may have been cut off on its way. Open the message and try again."
).encode()
LATER = _PAGE.format(
    title="Just a moment", text="The link is good, but cannot be looked up right now. Try again in a minute."
).encode()
NOT_ALLOWED = _PAGE.format(title="Not possible here", text="This address can only be read.").encode()


class Tracking:
    """What clicks and opens need: the key of their tokens, the links, and the recorder."""

    def __init__(self, settings: Settings, *, database: Database, tokens: TokenKey, metrics: Metrics) -> None:
        self.tokens = tokens
        self.database = database
        self.links = LinkTable(database)
        self.recorder = Recorder(settings, metrics=metrics)
        self._reading: set[asyncio.Task[dict[str, str]]] = set()

    async def startup(self) -> None:
        """Begin to record and fill the link table; a database that is away delays nothing but the first clicks."""
        await self.recorder.start()
        try:
            async with asyncio.timeout(FILL_WITHIN):
                await self.links.fill()
        except DATABASE_AWAY as error:
            log.warning("links.not_filled", kind=type(error).__name__, links=len(self.links))

    async def shutdown(self) -> None:
        """Write what is waiting. Call when no more requests come in, before the database is closed."""
        await self.recorder.stop()
        for reading in self._reading:
            reading.cancel()

    async def values(self, recipient_id: int) -> dict[str, str]:
        """Return what fills a target's merge tags; nothing (so their defaults) when the database is away."""
        if self.recorder.away:
            return {}
        reading = asyncio.create_task(self._read_values(recipient_id))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        await asyncio.wait({reading}, timeout=READ_WITHIN)
        return reading.result() if reading.done() else {}

    async def _read_values(self, recipient_id: int) -> dict[str, str]:
        try:
            async with self.database.begin() as session:
                return await read_values(session, recipient_id=recipient_id)
        except DATABASE_AWAY as error:
            log.warning("links.no_values", kind=type(error).__name__)
            return {}


class TrackingEndpoint:
    """Answers clicks and opens; everything else goes to the application behind it."""

    def __init__(self, app: ASGIApp, *, tracking: Tracking) -> None:
        self.app = app
        self.tracking = tracking
        self.recorder = tracking.recorder
        self.links = tracking.links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            answer: Callable[[Scope, Send, str], Awaitable[None]] | None = None
            path: str = scope["path"]
            if path.startswith("/c/"):
                answer = self._click
            elif path.startswith("/o/"):
                answer = self._open
            if answer is not None:
                if scope["method"] in ("GET", "HEAD"):
                    await answer(scope, send, path[3:])
                else:
                    await _page(scope, send, 405, NOT_ALLOWED, [(b"allow", b"GET, HEAD")])
                return
        await self.app(scope, receive, send)

    async def _click(self, scope: Scope, send: Send, token: str) -> None:
        try:
            recipient_id, link_id = self.tracking.tokens.read(Purpose.CLICK, token)
        except InvalidToken:
            await _page(scope, send, 404, NOT_FOUND)
            return
        link = self.links.get(link_id)
        if link is None:
            try:
                link = await self.links.find(link_id, within=READ_WITHIN)
            except DATABASE_AWAY as error:
                log.warning("links.not_found", kind=type(error).__name__)
                await _page(scope, send, 503, LATER, [(b"retry-after", b"30")])
                return
            if link is None:
                await _page(scope, send, 404, NOT_FOUND)
                return
        stored = self._record(scope, EventKind.CLICK, link.mailing_id, recipient_id, link_id) if recipient_id else None
        location = link.location
        if location is None:
            values = await self.tracking.values(recipient_id) if recipient_id else {}
            location = location_of(fill_target(link.target, values))
        if stored is not None:
            await stored
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", location), *_REDIRECT]})
        await send(_EMPTY)

    async def _open(self, scope: Scope, send: Send, token: str) -> None:
        try:
            recipient_id, _ = self.tracking.tokens.read(Purpose.OPEN, token.removesuffix(".gif"))
        except InvalidToken:
            recipient_id = 0
        if recipient_id:  # 0 is a test message: nothing is stored (D15, D42)
            await self._record(scope, EventKind.OPEN, None, recipient_id, None)
        await send({"type": "http.response.start", "status": 200, "headers": _GIF})
        await send({"type": "http.response.body", "body": PIXEL if scope["method"] == "GET" else b""})

    def _record(
        self, scope: Scope, kind: EventKind, mailing_id: int | None, recipient_id: int, link_id: int | None
    ) -> Awaitable[None]:
        user_agent = ""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                user_agent = value.decode("latin-1").replace("\0", "")
                break
        now = datetime.now(UTC)
        return self.recorder.record(Event(kind, mailing_id, recipient_id, link_id, now, scope["method"], user_agent))


async def _page(scope: Scope, send: Send, status: int, page: bytes, more: Headers | None = None) -> None:
    headers = [(b"content-length", str(len(page)).encode()), *_HTML, *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page})
