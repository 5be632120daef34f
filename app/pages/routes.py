"""The recipients' pages. GET, HEAD and OPTIONS change nothing, whoever sends them (D46, RFC 8058 §3.2)."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import Message

from app.consent.models import Purpose
from app.delivery.viewing import html_as_sent
from app.letterhead.catalogues import mark, translate
from app.letterhead.frame import AWAY, HEADERS, NOT_FOUND, UNCLEAR, Notice, Page, Templates, notice_page
from app.letterhead.languages import choose_language
from app.letterhead.looks import Looks
from app.letterhead.service import refresh
from app.pages import service
from app.pages.models import LeavingReason
from app.pages.service import TRACKING, TypeChoice, Visitor
from app.platform.actor import Actor
from app.platform.db import name_actor_later, tried_again
from app.platform.http import request_id_of
from app.platform.telemetry import log
from app.platform.tokens import InvalidToken
from app.platform.tokens import Purpose as TokenPurpose
from app.tracking.endpoint import DATABASE_AWAY

MAX_BODY = 65_536  # octets; a form of ours has some 500, with a thousand subscription types 20 000
MAX_FIELDS = 2000

_ID = re.compile(r"[0-9]{1,18}")

ONE_CLICK = ("List-Unsubscribe", "One-Click")

MESSAGE_HEADERS: Mapping[str, str] = {
    # A message is written by the CRM's users: its looks and images may show, nothing in it may run or post.
    "Content-Security-Policy": (
        "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' https:; font-src https: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-popups "
        "allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
    ),
}

routes = APIRouter(include_in_schema=False)

_TEMPLATES = Templates(Path(__file__).parent / "templates")
_TEST_TYPE = mark("Newsletter")
_REASONS = {
    LeavingReason.TOO_MANY: mark("Too many messages"),
    LeavingReason.NOT_FOR_ME: mark("They are not about what interests me"),
    LeavingReason.NEVER_ASKED: mark("I never asked for them"),
    LeavingReason.OTHER: mark("Another reason"),
}
_THANKS = Notice(mark("Thank you"), mark("We will take it to heart. You remain unsubscribed."))
_TOO_LATE = Notice(
    mark("That can no longer be taken back"),
    mark("Follow the link to your settings, in any of our messages, and choose there what you want to receive."),
)
_NOT_KEPT = Notice(
    mark("We no longer keep this message"),
    mark("What we knew about its recipient has been erased, and this version of the message with it."),
)
_OF_A_TEST = Notice(
    mark("Only in the real mailing"),
    mark("This is the “view in browser” link of a test message. In the mailing it opens the recipient’s own version."),
)

Fields = list[tuple[str, str]]
Act = Callable[[AsyncSession, Request, Visitor | None], Awaitable[Response]]


@routes.api_route("/u/{token:path}", methods=["GET", "HEAD"])
async def show_unsubscribe(request: Request, token: str) -> Response:
    """Ask whether to unsubscribe, or say that it is done; changes nothing."""
    return await _for_visitor(request, token, TokenPurpose.UNSUBSCRIBE, _show_unsubscribe)


@routes.post("/u/{token:path}")
async def post_unsubscribe(request: Request, token: str) -> Response:
    """Unsubscribe, from the mailing's type, from everything, or in one click as RFC 8058 has it; or take it back."""
    act = partial(_leave, fields=await _read_fields(request))
    return await _for_visitor(request, token, TokenPurpose.UNSUBSCRIBE, act)


@routes.api_route("/p/{token:path}", methods=["GET", "HEAD"])
async def show_preferences(request: Request, token: str) -> Response:
    """Show what somebody receives and permits, or that the link has run out; changes nothing."""
    return await _for_visitor(request, token, TokenPurpose.PREFERENCES, _show_preferences)


@routes.post("/p/{token:path}")
async def post_preferences(request: Request, token: str) -> Response:
    """Save what somebody wants to receive and permits; or send a fresh link, where this one has run out."""
    act = partial(_save_preferences, fields=await _read_fields(request))
    return await _for_visitor(request, token, TokenPurpose.PREFERENCES, act)


@routes.api_route("/v/{token:path}", methods=["GET", "HEAD"])
async def view_in_browser(request: Request, token: str) -> Response:
    """Show the recipient's own version of the message, as it was sent (D48)."""
    return await _for_visitor(request, token, TokenPurpose.VIEW, _view)


async def _for_visitor(request: Request, token: str, purpose: TokenPurpose, act: Act) -> Response:
    """Find whose page it is and act in one transaction; for a test message the visitor is None."""
    state = request.app.state
    try:
        recipient_id, issued = state.tokens.read_mangled(purpose, token)
    except InvalidToken:
        return _notice(request, NOT_FOUND, status=404)
    request.state.issued = issued

    async def in_transaction() -> Response:
        async with state.database.begin() as session:
            if request.method == "POST":
                name_actor_later(session, Actor(f"recipient:{recipient_id}", request_id=request_id_of(request)))
            await refresh(session, looks=state.looks)
            visitor = await service.find_visitor(session, recipient_id=recipient_id) if recipient_id else None
            if recipient_id and visitor is None:
                return _notice(request, NOT_FOUND, status=404)
            return await act(session, request, visitor)

    try:
        return await tried_again(in_transaction)
    except DATABASE_AWAY as error:
        log.warning("pages.database_away", kind=type(error).__name__)
        return _notice(request, AWAY, status=503, headers={"Retry-After": "60"})


async def _view(session: AsyncSession, request: Request, visitor: Visitor | None) -> Response:
    if visitor is None:
        return _notice(request, _OF_A_TEST)
    if visitor.is_erased:
        return _notice(request, _NOT_KEPT, status=410)
    state = request.app.state
    content = await html_as_sent(
        session, mailing_id=visitor.mailing_id, recipient_id=visitor.recipient_id, settings=state.settings,
        tokens=state.tokens,
    )  # fmt: skip
    if content is None:
        return _notice(request, NOT_FOUND, status=404)
    return HTMLResponse(content, headers={**HEADERS, **MESSAGE_HEADERS})


async def _show_unsubscribe(_session: AsyncSession, request: Request, visitor: Visitor | None) -> Response:
    kind = _type_of(request, visitor)
    if visitor is not None and (visitor.has_left_all or (kind and visitor.has_left_type)):
        return _unsubscribed(request, visitor, kind=None if visitor.has_left_all else kind)
    return _page(request, "unsubscribe.html", visitor, type=kind, preferences=_preferences_path(request, visitor))


def _type_of(request: Request, visitor: Visitor | None) -> str | None:
    """Return the type that can be left; an address alone can only leave everything."""
    if visitor is None:
        return translate(_language(request, None), _TEST_TYPE)
    return visitor.subscription_type if visitor.is_known else None


async def _leave(session: AsyncSession, request: Request, visitor: Visitor | None, *, fields: Fields) -> Response:
    told = dict(fields)
    if ONE_CLICK in fields:
        if visitor is not None:
            await service.unsubscribe(session, visitor=visitor, everything=False, page="one-click unsubscribe")
        return PlainTextResponse("Unsubscribed.\n", headers=dict(HEADERS))
    if told.get("scope") in ("type", "everything"):
        return await _unsubscribe(session, request, visitor, everything=told["scope"] == "everything")
    if told.get("undo") == "yes":
        return await _resubscribe(session, request, visitor)
    if told.get("reason") in set(LeavingReason):
        if visitor is not None:
            await service.say_why(session, visitor=visitor, reason=LeavingReason(told["reason"]))
        return _notice(request, _THANKS, visitor=visitor)
    return _notice(request, UNCLEAR, status=422, visitor=visitor)


async def _unsubscribe(
    session: AsyncSession, request: Request, visitor: Visitor | None, *, everything: bool
) -> Response:  # fmt: skip
    kind = _type_of(request, visitor)
    if visitor is None:
        return _unsubscribed(request, None, kind=None if everything else kind)
    was_all = await service.unsubscribe(session, visitor=visitor, everything=everything, page="unsubscribe page")
    left = await service.find_visitor(session, recipient_id=visitor.recipient_id)
    return _unsubscribed(request, left, kind=None if was_all else kind)


def _unsubscribed(request: Request, visitor: Visitor | None, *, kind: str | None) -> Response:
    reasons = [(reason.value, label) for reason, label in _in_words(_language(request, visitor))]
    return _page(
        request, "unsubscribed.html", visitor, type=kind, preferences=_preferences_path(request, visitor),
        can_undo=visitor is None or visitor.can_undo, asks_why=visitor is None or visitor.can_say_why, reasons=reasons,
    )  # fmt: skip


async def _resubscribe(session: AsyncSession, request: Request, visitor: Visitor | None) -> Response:
    if visitor is not None and not await service.resubscribe(session, visitor=visitor):
        return _notice(request, _TOO_LATE, status=409, visitor=visitor)
    return _page(
        request, "subscribed_again.html", visitor, type=_type_of(request, visitor),
        preferences=_preferences_path(request, visitor),
    )  # fmt: skip


async def _show_preferences(
    session: AsyncSession, request: Request, visitor: Visitor | None, *, saved: bool = False
) -> Response:
    if visitor is not None and _has_run_out(request, visitor):
        return _expired(request, visitor)
    types: Sequence[TypeChoice] | None = None
    granted: frozenset[Purpose] | None = frozenset()
    if visitor is None:
        types = [TypeChoice(0, translate(_language(request, None), _TEST_TYPE), "", subscribed=True)]
    elif visitor.is_known:
        preferences = await service.read_preferences(session, visitor=visitor)
        types, granted = preferences.types, preferences.granted
    return _page(
        request, "preferences.html", visitor, types=types, granted=granted, saved=saved,
        unsubscribe=_unsubscribe_path(request, visitor),
    )  # fmt: skip


async def _save_preferences(
    session: AsyncSession, request: Request, visitor: Visitor | None, *, fields: Fields
) -> Response:  # fmt: skip
    if visitor is not None and _has_run_out(request, visitor):
        if ("fresh", "yes") not in fields:
            return _expired(request, visitor)
        await service.ask_for_link(session, visitor=visitor)
        return _page(request, "link_sent.html", visitor)
    if ("save", "yes") not in fields:
        return _notice(request, UNCLEAR, status=422, visitor=visitor)
    if visitor is not None and visitor.is_known:
        wanted = {int(value) for name, value in fields if name == "type" and _ID.fullmatch(value)}
        tracking = {purpose for purpose in TRACKING if ("tracking", purpose.value) in fields}
        await service.save_preferences(session, visitor=visitor, wanted=wanted, tracking=tracking)
    return await _show_preferences(session, request, visitor, saved=visitor is not None)


def _has_run_out(request: Request, visitor: Visitor) -> bool:
    days: int = request.app.state.settings.preferences_days
    return service.has_run_out(visitor, issued=request.state.issued, days=days)


def _expired(request: Request, visitor: Visitor) -> Response:
    return _page(
        request, "expired.html", visitor, status=410, days=request.app.state.settings.preferences_days,
        unsubscribe=_unsubscribe_path(request, visitor),
    )  # fmt: skip


async def _read_fields(request: Request) -> Fields:
    """Return the fields of a form, in either encoding; what cannot be read has none. One-click posts may be either."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return []
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        try:
            return parse_qsl(body.decode("utf-8").rstrip("\r\n"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:  # too many fields, or no UTF-8
            return []

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, replay).form(max_files=10, max_fields=MAX_FIELDS)
    except (HTTPException, MultiPartException, ValueError):  # the last: a charset whose codec raises
        return []
    fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    await form.close()
    return fields


def _language(request: Request, visitor: Visitor | None) -> str:
    return choose_language(
        person=visitor.language if visitor else None, accept_language=request.headers.get("accept-language")
    )


def _preferences_path(request: Request, visitor: Visitor | None) -> str | None:
    """Return where somebody chooses; an address alone has nothing to choose. It is as old as the message."""
    if visitor is not None and not visitor.is_known:
        return None
    return f"/p/{request.app.state.tokens.make(TokenPurpose.PREFERENCES, visitor.recipient_id if visitor else 0)}"


def _unsubscribe_path(request: Request, visitor: Visitor | None) -> str:
    return f"/u/{request.app.state.tokens.make(TokenPurpose.UNSUBSCRIBE, visitor.recipient_id if visitor else 0)}"


def _page(
    request: Request, template: str, visitor: Visitor | None, *, status: int = 200, **values: object
) -> Response:  # fmt: skip
    looks: Looks = request.app.state.looks
    page = _TEMPLATES.page(
        template, language=_language(request, visitor), look=looks.current, sender=visitor.sender if visitor else "",
        is_test=visitor is None, address=mask(visitor.email if visitor else "you@example.com"), **values,
    )  # fmt: skip
    return _answer(page, status=status)


def _notice(
    request: Request, notice: Notice, *, status: int = 200, visitor: Visitor | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    looks: Looks = request.app.state.looks
    page = notice_page(
        notice, language=_language(request, visitor), look=looks.current, sender=visitor.sender if visitor else ""
    )  # fmt: skip
    return _answer(page, status=status, headers=headers)


def _answer(page: Page, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(page.body, status_code=status, headers={**page.headers, **(headers or {})})


def _in_words(language: str) -> list[tuple[LeavingReason, str]]:
    return [(reason, translate(language, text)) for reason, text in _REASONS.items()]


def mask(email: str) -> str:
    """Return an address that its owner recognises and nobody else can use: `k•••@example.com`."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}•••{at}{domain}" if at else "•••"
