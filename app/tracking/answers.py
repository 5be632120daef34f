"""What leaves for a reader: the redirect, the pixel, and the few pages that need no database (D37, D42).

Every answer says that it is private: no cache keeps it, no search engine lists it, and a token goes to nobody as a
referrer.
"""

from functools import lru_cache

from starlette.types import Scope, Send

from app.letterhead.frame import Notice, Page, notice_page
from app.letterhead.languages import choose_language
from app.letterhead.looks import Look

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
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_GIF: Headers = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(PIXEL)).encode()),
    (b"cross-origin-resource-policy", b"cross-origin"),  # the page that shows the message is somebody else's
    _NOSNIFF,
    *_PRIVATE,
]
_EMPTY = {"type": "http.response.body", "body": b""}
_GIF_START = {"type": "http.response.start", "status": 200, "headers": _GIF}
_GIF_BODY = {"type": "http.response.body", "body": PIXEL}

_PRINTABLE = frozenset(range(0x21, 0x7F))


def location_of(target: str) -> bytes:
    """Return a target as the value of a Location header: octets that a URL cannot have are percent-encoded."""
    octets = target.encode()
    if _PRINTABLE.issuperset(octets):
        return octets
    return b"".join(bytes((octet,)) if octet in _PRINTABLE else b"%%%02X" % octet for octet in octets)


def header_of(scope: Scope, name: bytes) -> bytes:
    """Return a request's header, the first of several; nothing where there is none. `name` is in lower case."""
    for found, value in scope["headers"]:
        if found == name:
            return bytes(value)
    return b""


async def send_redirect(send: Send, location: bytes) -> None:
    """Answer 302: a redirect that nobody may remember, so that every click comes by here."""
    await send({"type": "http.response.start", "status": 302, "headers": [(b"location", location), *_REDIRECT]})
    await send(_EMPTY)


async def send_pixel(scope: Scope, send: Send) -> None:
    """Answer with the pixel."""
    await send(_GIF_START)
    await send(_GIF_BODY if scope["method"] == "GET" else _EMPTY)


async def send_notice(
    scope: Scope, send: Send, status: int, notice: Notice, *, look: Look, more: Headers | None = None
) -> None:
    """Answer with a page that says one thing, in the browser's language: who the reader is, only the database knows."""
    accepted = header_of(scope, b"accept-language").decode("latin-1")
    language = choose_language(person=None, accept_language=accepted)
    await send_letterhead(scope, send, _page_of(notice, language, look), status=status, more=more)


@lru_cache(maxsize=64)  # whoever tries out tokens is answered from memory
def _page_of(notice: Notice, language: str, look: Look) -> Page:
    return notice_page(notice, language=language, look=look)


async def send_letterhead(
    scope: Scope, send: Send, page: Page, *, status: int = 200, more: Headers | None = None
) -> None:  # fmt: skip
    """Answer with a page in the look of all others, or its headers when HEAD asks."""
    await send({"type": "http.response.start", "status": status, "headers": [*page.raw_headers, *(more or [])]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})
