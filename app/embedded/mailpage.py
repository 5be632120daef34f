"""The page that shows caught mail: a small ASGI application, mounted at /dev/mail in embedded mode.

Mail is hostile content: everything is escaped by the templates, nothing but our own style sheet is allowed by the
Content-Security-Policy, and a message's HTML is shown in a sandboxed frame without scripts, forms or remote images (so
looking at a message does not count as opening it). Works without JavaScript.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.embedded import caught

_HTML = "text/html; charset=utf-8"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_TEMPLATES = Path(__file__).with_name("templates")
_STYLE = (_TEMPLATES / "mail.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes
    policy: str = _PAGE_POLICY
    headers: tuple[tuple[str, str], ...] = ()


def mail_page(maildir: Path) -> Application:
    """Return the application for a Maildir; it links to itself under the `root_path` it is mounted at.

    `/` is the list, `/NAME` a message, `/NAME/html` its HTML part, `/NAME/source` the caught file as a download.
    """

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"the mail page answers http, not {scope['type']}")
        root = scope.get("root_path", "").rstrip("/")
        answer = await asyncio.to_thread(_answer, maildir, root, scope)
        await _send(answer, send, with_body=scope["method"] != "HEAD")

    return application


def _answer(maildir: Path, root: str, scope: Scope) -> _Answer:
    if scope["method"] not in {"GET", "HEAD"}:
        return _problem(root, 405, "This page can only be read.", headers=(("allow", "GET, HEAD"),))
    # Starlette passes the whole path, other servers only what follows the prefix.
    path: str = scope["path"]
    local = path.removeprefix(root) if path.startswith(f"{root}/") or path == root else path
    match local.strip("/").split("/"):
        case [""]:
            return _list(maildir, root, scope.get("query_string", b""))
        case [name]:
            return _message(maildir, root, name)
        case [name, "html"]:
            return _html_part(maildir, root, name)
        case [name, "source"]:
            return _source(maildir, root, name)
    return _problem(root, 404, "There is no such page.")


def _list(maildir: Path, root: str, query: bytes) -> _Answer:
    asked = parse_qs(query.decode("ascii", "replace")).get("page", ["1"])[0]
    number = int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else 1
    return _page("mail_list.html", root, page=caught.list_page(maildir, number=number))


def _message(maildir: Path, root: str, name: str) -> _Answer:
    message = caught.message(maildir, name)
    if message is None:
        return _problem(root, 404, "There is no such message; it may have been deleted.")
    return _page("mail_message.html", root, message=message)


def _html_part(maildir: Path, root: str, name: str) -> _Answer:
    message = caught.message(maildir, name)
    if message is None or message.html is None:
        return _problem(root, 404, "There is no such HTML part.")
    return _Answer(200, _HTML, message.html.encode("utf-8", "replace"), policy=_FRAME_POLICY)


def _source(maildir: Path, root: str, name: str) -> _Answer:
    raw = caught.source(maildir, name)
    if raw is None:
        return _problem(root, 404, "There is no such message; it may have been deleted.")
    disposition = f'attachment; filename="{quote(name)}.eml"'
    return _Answer(200, "message/rfc822", raw, headers=(("content-disposition", disposition),))


def _problem(root: str, status: int, what: str, *, headers: tuple[tuple[str, str], ...] = ()) -> _Answer:
    return replace(_page("mail_problem.html", root, what=what), status=status, headers=headers)


def _page(template: str, root: str, **values: object) -> _Answer:
    text = _environment.get_template(template).render(root=quote(root), style=_STYLE, **values)
    return _Answer(200, _HTML, text.encode("utf-8", "replace"))


async def _send(answer: _Answer, send: Send, *, with_body: bool) -> None:
    headers = {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body)),
        "content-security-policy": answer.policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        **dict(answer.headers),
    }
    encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
