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
from app.pages.service import TRACKING, Visitor, find_visitor, read_preferences, save_preferences, unsubscribe
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
_OF_A_TEST = Notice(
    mark("Only in the real mailing"),
    mark("This is the “view in browser” link of a test message. In the mailing it opens the recipient’s own version."),
)

Fields = list[tuple[str, str]]
Act = Callable[[AsyncSession, Request, Visitor | None], Awaitable[Response]]


@routes.api_route("/u/{token}", methods=["GET", "HEAD"])
async def show_unsubscribe(request: Request, token: str) -> Response:
    """Ask whether to unsubscribe; changes nothing."""
    return await _for_visitor(request, token, TokenPurpose.UNSUBSCRIBE, _show_unsubscribe)


@routes.post("/u/{token}")
async def post_unsubscribe(request: Request, token: str) -> Response:
    """Unsubscribe: from the mailing's type, from everything, or in one click as RFC 8058 has it."""
    act = partial(_unsubscribe, fields=await _read_fields(request))
    return await _for_visitor(request, token, TokenPurpose.UNSUBSCRIBE, act)


@routes.api_route("/p/{token}", methods=["GET", "HEAD"])
async def show_preferences(request: Request, token: str) -> Response:
    """Show what the person receives and permits; changes nothing."""
    return await _for_visitor(request, token, TokenPurpose.PREFERENCES, _show_preferences)


@routes.post("/p/{token}")
async def post_preferences(request: Request, token: str) -> Response:
    """Save what the person wants to receive and permits."""
    act = partial(_save_preferences, fields=await _read_fields(request))
    return await _for_visitor(request, token, TokenPurpose.PREFERENCES, act)


@routes.api_route("/v/{token}", methods=["GET", "HEAD"])
async def view_in_browser(request: Request, token: str) -> Response:
    """Show the recipient's own version of the message, as it was sent (D48)."""
    return await _for_visitor(request, token, TokenPurpose.VIEW, _view)


async def _for_visitor(request: Request, token: str, purpose: TokenPurpose, act: Act) -> Response:
    """Find whose page it is and act in one transaction; for a test message the visitor is None."""
    try:
        recipient_id, _ = request.app.state.tokens.read(purpose, token)
    except InvalidToken:
        return _notice(request, NOT_FOUND, status=404)

    async def in_transaction() -> Response:
        async with request.app.state.database.begin() as session:
            if request.method == "POST":
                name_actor_later(session, Actor(f"recipient:{recipient_id}", request_id=request_id_of(request)))
            visitor = await find_visitor(session, recipient_id=recipient_id) if recipient_id else None
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
    state = request.app.state
    content = await html_as_sent(
        session, mailing_id=visitor.mailing_id, recipient_id=visitor.recipient_id, settings=state.settings,
        tokens=state.tokens,
    )  # fmt: skip
    if content is None:
        return _notice(request, NOT_FOUND, status=404)
    return HTMLResponse(content, headers={**HEADERS, **MESSAGE_HEADERS})


async def _show_unsubscribe(_session: AsyncSession, request: Request, visitor: Visitor | None) -> Response:
    known = visitor is not None and (visitor.person_id is not None or visitor.company_id is not None)
    kind = visitor.subscription_type if visitor and known else None
    if visitor is None:
        kind = translate(_language(request, None), _TEST_TYPE)
    return _page(request, "unsubscribe.html", visitor, type=kind, preferences=_preferences_path(request, visitor))


async def _unsubscribe(
    session: AsyncSession, request: Request, visitor: Visitor | None, *, fields: Fields
) -> Response:  # fmt: skip
    scope = dict(fields).get("scope")
    one_click = ONE_CLICK in fields
    if not one_click and scope not in ("type", "everything"):
        return _notice(request, UNCLEAR, status=422, visitor=visitor)
    everything = True
    if visitor is not None:
        everything = await unsubscribe(
            session, visitor=visitor, everything=scope == "everything" and not one_click,
            page="one-click unsubscribe" if one_click else "unsubscribe page",
        )  # fmt: skip
    if one_click:
        return PlainTextResponse("Unsubscribed.\n", headers=dict(HEADERS))
    kind = visitor.subscription_type if visitor and not everything else None
    return _page(request, "unsubscribed.html", visitor, type=kind, preferences=_preferences_path(request, visitor))


async def _show_preferences(
    session: AsyncSession, request: Request, visitor: Visitor | None, *, saved: bool = False
) -> Response:
    types: Sequence[tuple[int, str, bool]] | None = None
    granted: frozenset[Purpose] = frozenset()
    if visitor is None:
        types = [(0, translate(_language(request, None), _TEST_TYPE), True)]
    elif visitor.person_id is not None:
        preferences = await read_preferences(session, person_id=visitor.person_id)
        types, granted = preferences.types, preferences.granted
    tokens = request.app.state.tokens
    path = f"/u/{tokens.make(TokenPurpose.UNSUBSCRIBE, visitor.recipient_id if visitor else 0)}"
    return _page(
        request, "preferences.html", visitor, types=types, granted=granted, saved=saved, unsubscribe=path
    )  # fmt: skip


async def _save_preferences(
    session: AsyncSession, request: Request, visitor: Visitor | None, *, fields: Fields
) -> Response:  # fmt: skip
    if ("save", "yes") not in fields:
        return _notice(request, UNCLEAR, status=422, visitor=visitor)
    if visitor is not None and visitor.person_id is not None:
        wanted = {int(value) for name, value in fields if name == "type" and _ID.fullmatch(value)}
        tracking = {purpose for purpose in TRACKING if ("tracking", purpose.value) in fields}
        await save_preferences(
            session, visitor=visitor, person_id=visitor.person_id, wanted=wanted, tracking=tracking
        )  # fmt: skip
    return await _show_preferences(session, request, visitor, saved=visitor is not None)


async def _read_fields(request: Request) -> Fields:
    """Return the fields of a form, in either encoding; what cannot be read has none. One-click posts may be either."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return []
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        try:
            return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:  # too many fields, or no UTF-8
            return []

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, replay).form(max_files=10, max_fields=MAX_FIELDS)
    except (HTTPException, MultiPartException):
        return []
    fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    await form.close()
    return fields


def _language(request: Request, visitor: Visitor | None) -> str:
    return choose_language(
        person=visitor.language if visitor else None, accept_language=request.headers.get("accept-language")
    )


def _preferences_path(request: Request, visitor: Visitor | None) -> str | None:
    """Return where the person chooses; a recipient who matches no person has nothing to choose."""
    if visitor is not None and visitor.person_id is None:
        return None
    return f"/p/{request.app.state.tokens.make(TokenPurpose.PREFERENCES, visitor.recipient_id if visitor else 0)}"


def _page(request: Request, template: str, visitor: Visitor | None, **values: object) -> Response:
    looks: Looks = request.app.state.looks
    page = _TEMPLATES.page(
        template, language=_language(request, visitor), look=looks.current, sender=visitor.sender if visitor else "",
        is_test=visitor is None, address=mask(visitor.email if visitor else "you@example.com"), **values,
    )  # fmt: skip
    return _answer(page)


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


def mask(email: str) -> str:
    """Return an address that its owner recognises and nobody else can use: `k•••@example.com`."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}•••{at}{domain}" if at else "•••"
