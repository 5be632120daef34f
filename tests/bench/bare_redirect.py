"""The baseline of clicks: an ASGI application that does nothing but answer as ours does, with the same headers."""

from starlette.types import Receive, Scope, Send

_HEADERS = [
    (b"location", b"https://www.example.com/offers/7?from=news"),
    (b"content-length", b"0"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 302, whatever was asked."""
    await send({"type": "http.response.start", "status": 302, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b""})
