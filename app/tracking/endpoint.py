"""`/c/{token}` and `/o/{token}.gif`: plain ASGI in front of everything else, since every reader passes here.

A click answers 302 to the stored target once its event is committed, and answers all the same, within a second, when
the database is away. It leads nowhere but to a stored target (D37). The pixel is always answered (D42).
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.content.links import fill_target
from app.letterhead.frame import NOT_ALLOWED, NOT_FOUND, TARGET_AWAY
from app.letterhead.looks import Looks
from app.platform.db import Database
from app.platform.settings import Settings
from app.platform.telemetry import Metrics, log
from app.platform.tokens import InvalidToken, Purpose, TokenKey
from app.tracking.answers import header_of, location_of, send_letterhead, send_notice, send_pixel, send_redirect
from app.tracking.client_limits import WRONG_TOKENS, ClientLimits, refuse
from app.tracking.events import CLICK, OPEN, record_of
from app.tracking.keeper import DrainerKeeper
from app.tracking.link_table import Found, LinkTable, is_template, octets_of
from app.tracking.recorder import Recorder
from app.tracking.responders import Click, Elsewhere, Responder, TextPage
from app.tracking.values import read_values

READ_WITHIN = 0.7
"""Seconds that a reader waits for a query: a link not in memory, or what fills its merge tags."""
AWAY_SECONDS = 1.0  # how long a database that did not answer is not asked for what fills merge tags
FILL_AGAIN = 2.0  # seconds until the link table is filled on, when the database went away

_CLICKS, _OPENS = ("/c/", "/c%", "/C/"), ("/o/", "/o%", "/O/")  # with % where a gateway encoded the path twice

DATABASE_AWAY = (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError)


class Tracking:
    """What clicks and opens need: the key of their tokens, the links, and the recorder."""

    def __init__(
        self, settings: Settings, *, database: Database, tokens: TokenKey, metrics: Metrics, drain_apart: bool = False,
        looks: Looks | None = None,
    ) -> None:  # fmt: skip
        self.tokens = tokens
        self.database = database
        self.looks = looks or Looks(time.monotonic)
        self.limits = ClientLimits(settings.public_limits)
        self.links = LinkTable(database)
        self.recorder = Recorder(settings, metrics=metrics)
        self.responders: dict[int, Responder] = {}
        """By library link: see `responders`."""
        self._drainer = DrainerKeeper(settings, metrics=metrics, apart=drain_apart)
        self._away_until = 0.0
        self._reading: set[asyncio.Task[dict[str, str]]] = set()
        self._filling: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Begin to record and to fill the link table. Nobody waits for it: links not in it yet are asked for."""
        await self.recorder.start()
        await self._drainer.start()
        self._filling = asyncio.create_task(self._fill(), name="link table")

    async def shutdown(self) -> None:
        """Write what is waiting. Call when no more requests come in, before the database is closed."""
        await self.recorder.stop()
        await self._drainer.stop()
        tasks = [*self._reading, *([self._filling] if self._filling else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self) -> None:
        while True:
            with suppress(*DATABASE_AWAY):
                await self.links.fill()
                return
            log.warning("links.not_filled", links=len(self.links))
            await asyncio.sleep(FILL_AGAIN)

    async def values(self, recipient_id: int) -> dict[str, str]:
        """Return what fills a target's merge tags; nothing (so their defaults) when the database is away."""
        if time.monotonic() < self._away_until:
            return {}
        reading = asyncio.create_task(self._read_values(recipient_id))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        await asyncio.wait({reading}, timeout=READ_WITHIN)
        if reading.done():
            return reading.result()
        self._away_until = time.monotonic() + AWAY_SECONDS
        return {}

    async def _read_values(self, recipient_id: int) -> dict[str, str]:
        try:
            async with self.database.begin() as session:
                return await read_values(session, recipient_id=recipient_id)
        except DATABASE_AWAY as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("links.no_values", kind=type(error).__name__)
            return {}


class TrackingEndpoint:
    """Answers clicks and opens; everything else goes to the application behind it."""

    def __init__(self, app: ASGIApp, *, tracking: Tracking) -> None:
        self.app = app
        self.tracking = tracking

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. No coroutine of its own: what is returned is the one that answers."""
        if scope["type"] == "http":
            beginning = scope["path"][:3]
            if beginning in _CLICKS:
                return self._click(scope, send) if scope["method"] in ("GET", "HEAD") else self._refuse(scope, send)
            if beginning in _OPENS:
                return self._open(scope, send) if scope["method"] in ("GET", "HEAD") else self._refuse(scope, send)
        return self.app(scope, receive, send)

    async def _click(self, scope: Scope, send: Send) -> None:
        tracking = self.tracking
        try:
            recipient_id, link_id = tracking.tokens.read_mangled(Purpose.CLICK, scope["path"][3:])
        except InvalidToken:
            if wait := tracking.limits.spend(WRONG_TOKENS, scope):
                await refuse(scope, send, wait, looks=tracking.looks)
            else:
                await send_notice(scope, send, 404, NOT_FOUND, look=tracking.looks.current)
            return
        link = tracking.links.get(link_id)
        if link is None:
            try:
                link = await tracking.links.find(link_id, within=READ_WITHIN)
            except DATABASE_AWAY as error:
                log.warning("links.not_found", kind=type(error).__name__)
                look = tracking.looks.current
                await send_notice(scope, send, 503, TARGET_AWAY, look=look, more=[(b"retry-after", b"30")])
                return
            if link is None:
                await send_notice(scope, send, 404, NOT_FOUND, look=tracking.looks.current)
                return
        mailing_id, library_link_id, target = link
        stored = self._record(scope, CLICK, mailing_id, recipient_id, link_id) if recipient_id else None
        if library_link_id in tracking.responders:
            answer = await tracking.responders[library_link_id](_as_click(scope, recipient_id, link_id, link))
            if isinstance(answer, TextPage):
                if stored is not None:
                    await stored
                await send_letterhead(scope, send, answer.page)
                return
            if isinstance(answer, Elsewhere):
                target = octets_of(answer.target)
        if is_template(target):
            values = await tracking.values(recipient_id) if recipient_id else {}
            target = location_of(fill_target(target.decode(), values))
        if stored is not None:
            await stored
        await send_redirect(send, target)

    async def _open(self, scope: Scope, send: Send) -> None:
        try:
            recipient_id, _ = self.tracking.tokens.read_mangled(Purpose.OPEN, scope["path"][3:])
        except InvalidToken:
            recipient_id = 0
        if recipient_id:  # 0 is a test message: nothing is stored (D15, D42)
            await self._record(scope, OPEN, 0, recipient_id, 0)
        await send_pixel(scope, send)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        look = self.tracking.looks.current
        await send_notice(scope, send, 405, NOT_ALLOWED, look=look, more=[(b"allow", b"GET, HEAD")])

    def _record(self, scope: Scope, kind: int, mailing_id: int, recipient_id: int, link_id: int) -> Awaitable[None]:
        agent = header_of(scope, b"user-agent")
        microseconds = time.time_ns() // 1000
        return self.tracking.recorder.record(
            record_of(kind, mailing_id, recipient_id, link_id, microseconds, scope["method"], agent)
        )


def _as_click(scope: Scope, recipient_id: int, link_id: int, link: Found) -> Click:
    mailing_id, library_link_id, _ = link
    agent, languages = header_of(scope, b"user-agent"), header_of(scope, b"accept-language")
    return Click(
        recipient_id, mailing_id, link_id, library_link_id, datetime.now(UTC), scope["method"],
        agent.decode("latin-1"), languages.decode("latin-1"),
    )  # fmt: skip
