"""Answering clicks: responses from memory, and scripts that are asked while the reader waits (D38).

Every process keeps what answers clicks in memory and looks every two seconds whether it has changed, so that a response
costs no query and works while the database is away. Whatever goes wrong with a script, the reader comes to the stored
target, within the script's time.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import answer_queries
from app.actions.kinds import PageText, Response, read_settings
from app.actions.models import ActionKind
from app.actions.scripts import ASKED, filled_target, told
from app.content.merge_tags import Hole
from app.letterhead.frame import Page, written_page
from app.letterhead.languages import choose_language
from app.letterhead.looks import Looks
from app.letterhead.service import refresh
from app.links.targets import TargetError, can_be_tracked, read_library_target
from app.platform.db import DATABASE_AWAY, Database
from app.platform.settings import Settings
from app.platform.telemetry import log
from app.platform.tokens import TokenKey
from app.tracking.models import EventKind, Verdict
from app.tracking.responders import Click, Elsewhere, Responder, TextPage
from app.tracking.verdicts import judge_request
from app.webhooks.messages import signed
from app.webhooks.posting import Answer, post
from app.webhooks.signing import secret_of

LOOK_SECONDS = 2.0
MAX_ASKING = 32
"""Questions to one script that wait at a time in one process. A script that hangs holds so many readers up, each for
its time; the next ones come to the stored target at once."""
READ_WITHIN = 0.3
"""Seconds for what a script is told: some milliseconds, unless the database is away."""
AWAY_SECONDS = 1.0  # how long a database that did not answer is not asked for it, and no script either
MAX_ANSWER = 16_384  # octets of a script's answer; a target has 4 000 characters at most
MAX_TARGET = 4_000


@dataclass(slots=True)
class Asked:
    """A script as a process knows it."""

    id: int
    url: str
    seconds: float
    secret: str
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Answers:
    """How a library link answers clicks: what its script says, else its response, else its target."""

    script: Asked | None = None
    redirect_to: str | None = None
    pages: Sequence[PageText] = field(default=())


class Answering:
    """Keeps the responders of the click path up to date."""

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        tokens: TokenKey,
        looks: Looks,
        responders: dict[int, Responder],
    ) -> None:
        self._settings = settings
        self._database = database
        self._tokens = tokens
        self._looks = looks
        self._responders = responders
        self._mine: set[int] = set()
        self._stamp: str | None = None
        self._away_until = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[str | None]] = set()

    async def startup(self) -> None:
        """Begin to look. Nobody waits for it: until then, clicks come to their targets."""
        self._looking = asyncio.create_task(self._look_on(), name="link answers")

    async def shutdown(self) -> None:
        """Stop looking and asking."""
        tasks = [*self._asking, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except DATABASE_AWAY as error:
                log.warning("answers.not_read", kind=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read what answers clicks, if it has changed; raises what the driver raises."""
        async with self._database.begin() as session:
            await refresh(session, looks=self._looks)  # pages of actions wear it, and a process may show no others
            stamp = await answer_queries.stamp(session)
            if stamp == self._stamp:
                return
            rows = await answer_queries.answers(session)
        known = self._read(rows)
        for link_id in self._mine - known.keys():
            self._responders.pop(link_id, None)
        for link_id, answers in known.items():
            self._responders[link_id] = self._responder(answers)
        self._mine, self._stamp = set(known), stamp

    def _read(self, rows: Sequence[Any]) -> dict[int, Answers]:
        known: dict[int, Answers] = {}
        for row in rows:
            before = known.get(row.library_link_id, Answers())
            if row.kind == ActionKind.SCRIPT:
                if row.script_id is None:
                    continue
                secret = secret_of(self._tokens.secret, webhook_id=row.script_id, salt=row.secret_salt)
                asked = Asked(row.script_id, row.url, row.timeout_ms / 1000, secret)
                known[row.library_link_id] = Answers(asked, before.redirect_to, before.pages)
                continue
            try:
                settings = read_settings(ActionKind.RESPONSE, row.settings)
            except ValidationError:
                log.error("answers.unreadable", library_link_id=row.library_link_id)
                continue
            if isinstance(settings, Response):
                known[row.library_link_id] = Answers(before.script, settings.redirect_to, settings.pages or ())
        return known

    def _responder(self, answers: Answers) -> Responder:
        async def respond(click: Click) -> Elsewhere | TextPage | None:
            if answers.script is not None and _may_be_a_reader(click):
                target = await self._ask(answers.script, click)
                if target is not None:
                    return Elsewhere(target)
            if answers.redirect_to is not None:
                return Elsewhere(answers.redirect_to)
            return TextPage(self._page(answers.pages, click.accept_language)) if answers.pages else None

        return respond

    def _page(self, pages: Sequence[PageText], accept_language: str) -> Page:
        """Return the page in the reader's language, as far as there is one; it takes some 20 µs."""
        wanted = choose_language(person=None, accept_language=accept_language) if accept_language else ""
        text = next((page for page in pages if page.language == wanted), pages[0])
        return written_page(title=text.title, text=text.text, language=text.language, look=self._looks.current)

    async def _ask(self, script: Asked, click: Click) -> str | None:
        """Return where a script leads a reader; None, within its time, for the link's own target."""
        if time.monotonic() < self._away_until:
            return None
        if script.waiting >= MAX_ASKING:
            log.warning("script.too_many", script_id=script.id, waiting=script.waiting)
            return None
        script.waiting += 1
        asking = asyncio.create_task(self._call(script, click))
        self._asking.add(asking)
        asking.add_done_callback(lambda done: self._over(script, done))
        await asyncio.wait({asking}, timeout=script.seconds)
        if not asking.done():
            asking.cancel()  # it ends by itself; nobody waits for that
            log.warning("script.too_slow", script_id=script.id)
            return None
        return asking.result()

    def _over(self, script: Asked, asking: asyncio.Task[str | None]) -> None:
        script.waiting -= 1
        self._asking.discard(asking)

    async def _call(self, script: Asked, click: Click) -> str | None:
        try:
            async with asyncio.timeout(READ_WITHIN), self._database.begin() as session:
                row = await self._facts(session, click)
                url = await filled_target(session, row) if row is not None else ""
            if row is None:
                return None
            message = signed(told(ASKED, row, url=url), message_id=f"ask_{secrets.token_hex(12)}", secret=script.secret)
            answer = await post(
                script.url, body=message.body, headers=message.headers, read=MAX_ANSWER, within=script.seconds,
                allow_private=self._settings.webhook_private_addresses,
            )  # fmt: skip
        except DATABASE_AWAY as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("script.not_asked", script_id=script.id, kind=type(error).__name__)
            return None
        except Exception as error:  # noqa: BLE001 - a reader waits: whatever is wrong, the link's target is right
            log.error("script.failed", script_id=script.id, exc_info=error)
            return None
        return self._target_in(script, answer)

    async def _facts(self, session: AsyncSession, click: Click) -> Any | None:
        return await answer_queries.asked(
            session, recipient_id=click.recipient_id, library_link_id=click.library_link_id,
            mailing_id=click.mailing_id, link_id=click.link_id, track_unknown=self._settings.unknown_tracking_consent,
        )  # fmt: skip

    def _target_in(self, script: Asked, answer: Answer) -> str | None:
        if not answer.is_good:
            log.warning("script.no_answer", script_id=script.id, status=answer.status)
            return None
        if not answer.body.strip():
            return None
        target = target_in(answer.body)
        if target is None:
            log.warning("script.bad_answer", script_id=script.id)
        return target


def target_in(body: bytes) -> str | None:
    """Return the target that a script's answer, `{"redirect_to": "https://…"}`, leads to; None for a bad one.

    The rules are those of a library link's target that clicks can be counted on, and it has no merge tags.
    """
    try:
        said = json.loads(body)
        target = said["redirect_to"]
        if not isinstance(target, str) or len(target) > MAX_TARGET:
            return None
        parts = read_library_target(target, extra_tags=())
    except (ValueError, KeyError, TypeError, RecursionError, TargetError):
        return None
    is_plain = not any(isinstance(part, Hole) for part in parts)
    return target if is_plain and "[[" not in target and can_be_tracked(parts) else None


def _may_be_a_reader(click: Click) -> bool:
    """Tell whether a script is asked: a test's click is nobody's, and machines are not worth a wait."""
    if not click.recipient_id or click.method != "GET":
        return False
    return judge_request(EventKind.CLICK, click.method, click.user_agent).verdict is Verdict.HUMAN
