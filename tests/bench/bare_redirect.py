"""The baseline of clicks and opens: an ASGI application that only answers as ours does, with the same headers."""

from starlette.types import Receive, Scope, Send

_PIXEL = bytes(43)
_PRIVATE = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
]
_REDIRECT = [(b"location", b"https://www.example.com/offers/7?from=news"), (b"content-length", b"0"), *_PRIVATE]
_GIF = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"43"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
    *_PRIVATE,
]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an open with as many octets as the pixel has, and all else with 302."""
    opened = scope["path"].startswith("/o/")
    status, headers = (200, _GIF) if opened else (302, _REDIRECT)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": _PIXEL if opened else b""})
