"""What leaves for a reader: the redirect, the pixel, and the few pages that need no database (D37, D42).

Every answer says that it is private: no cache keeps it, no search engine lists it, and a token goes to nobody as a
referrer.
"""

from starlette.types import Scope, Send

from app.letterhead.frame import Page

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
_HTML: Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    _NOSNIFF,
    *_PRIVATE,
]
_EMPTY = {"type": "http.response.body", "body": b""}
_GIF_START = {"type": "http.response.start", "status": 200, "headers": _GIF}
_GIF_BODY = {"type": "http.response.body", "body": PIXEL}

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

_PRINTABLE = frozenset(range(0x21, 0x7F))


def location_of(target: str) -> bytes:
    """Return a target as the value of a Location header: octets that a URL cannot have are percent-encoded."""
    octets = target.encode()
    if _PRINTABLE.issuperset(octets):
        return octets
    return b"".join(bytes((octet,)) if octet in _PRINTABLE else b"%%%02X" % octet for octet in octets)


async def send_redirect(send: Send, location: bytes) -> None:
    """Answer 302: a redirect that nobody may remember, so that every click comes by here."""
    await send({"type": "http.response.start", "status": 302, "headers": [(b"location", location), *_REDIRECT]})
    await send(_EMPTY)


async def send_pixel(scope: Scope, send: Send) -> None:
    """Answer with the pixel."""
    await send(_GIF_START)
    await send(_GIF_BODY if scope["method"] == "GET" else _EMPTY)


async def send_page(scope: Scope, send: Send, status: int, page: bytes, more: Headers | None = None) -> None:
    """Answer with an HTML page, or its headers when HEAD asks."""
    headers = [(b"content-length", str(len(page)).encode()), *_HTML, *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page})


async def send_letterhead(scope: Scope, send: Send, page: Page) -> None:
    """Answer with a page in the look of all others, or its headers when HEAD asks."""
    await send({"type": "http.response.start", "status": 200, "headers": page.raw_headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})
