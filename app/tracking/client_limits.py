"""How much one network address may ask of the public addresses, without hurting those whom a proxy hides together.

A click or an open whose token is ours is never refused, nor is an unsubscription: gateways, providers and whole firms
come from one address. What is limited is guessing tokens, and the pages, whose answers take queries. Addresses are kept
in memory only, for as long as there is room.
"""

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.letterhead.frame import HEADERS, TOO_MANY
from app.letterhead.looks import LOGO_PATH, Looks
from app.platform.tokens import InvalidToken, Purpose, TokenKey
from app.tracking.answers import send_notice

MOST_CLIENTS = 50_000  # budgets kept; some 10 MB. The one that was used least lately is forgotten: it is whole by then


class Budget(NamedTuple):
    """What one client may do: so many at once, and then so many a second."""

    name: str
    at_once: int
    per_second: float


WRONG_TOKENS = Budget("wrong tokens", 60, 1.0)
LOOKS = Budget("looks", 600, 20.0)
CHANGES = Budget("changes", 120, 2.0)

_PRIVATE = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in HEADERS.items()]
_PRIVATE.append((b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))

_PAGES = {"/u/": Purpose.UNSUBSCRIBE, "/p/": Purpose.PREFERENCES, "/v/": Purpose.VIEW}


@dataclass(slots=True)
class ClientLimits:
    """The budgets of all clients of one process. `factor` widens every budget; 0 lifts them."""

    factor: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _whole_at: dict[tuple[str, str | bytes], float] = field(default_factory=dict)
    """By budget and client, when it is whole again; in the order of use."""

    def spend(self, budget: Budget, scope: Scope) -> float:
        """Take one from a client's budget. Return 0, or in how many seconds there will be another."""
        if not self.factor:
            return 0.0
        key, now = (budget.name, client_of(scope)), self.clock()
        gap = 1 / (budget.per_second * self.factor)
        whole_at = max(self._whole_at.pop(key, now), now)
        wait = whole_at - now - (max(budget.at_once * self.factor, 1) - 1) * gap
        self._whole_at[key] = whole_at if wait > 0 else whole_at + gap
        if len(self._whole_at) > MOST_CLIENTS:
            del self._whole_at[next(iter(self._whole_at))]
        return max(wait, 0.0)

    def __len__(self) -> int:
        return len(self._whole_at)


def client_of(scope: Scope) -> str | bytes:
    """Return whom a request is counted to: an IPv4 address, or the network (/64) of an IPv6 one, which one site has.

    Behind proxies it is the address that the last trusted one was asked from: the server reads X-Forwarded-For.
    """
    host: str = (scope.get("client") or ("", 0))[0]
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped) if address.ipv4_mapped else address.packed[:8]


class LimitedPages:
    """In front of the recipients' pages: answers 429 instead of them, and lets everything else through.

    What the framework answers at their addresses (a method they do not have, a failure) is as private as they are.
    """

    def __init__(self, app: ASGIApp, *, limits: ClientLimits, tokens: TokenKey, looks: Looks) -> None:
        self.app, self.limits, self.tokens, self.looks = app, limits, tokens, looks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        purpose = _PAGES.get(scope["path"][:3]) if scope["type"] == "http" else None
        if purpose is not None and (wait := self._wait(scope, purpose)):
            await refuse(scope, send, wait, looks=self.looks)
        else:
            is_public = purpose is not None or (scope["type"] == "http" and scope["path"].startswith(LOGO_PATH))
            await self.app(scope, receive, _privately(send) if is_public else send)

    def _wait(self, scope: Scope, purpose: Purpose) -> float:
        try:
            self.tokens.read_mangled(purpose, scope["path"][3:])
        except InvalidToken:
            return self.limits.spend(WRONG_TOKENS, scope)
        if scope["method"] != "POST":
            return self.limits.spend(LOOKS, scope)
        # Providers send the unsubscriptions of all their users from few addresses (RFC 8058).
        return 0.0 if purpose is Purpose.UNSUBSCRIBE else self.limits.spend(CHANGES, scope)


def _privately(send: Send) -> Send:
    """Return a `send` that adds those headers of privacy that an answer does not have."""

    async def send_privately(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            given = {name.lower() for name, _ in headers}
            message = {**message, "headers": headers + [header for header in _PRIVATE if header[0] not in given]}
        await send(message)

    return send_privately


async def refuse(scope: Scope, send: Send, wait: float, *, looks: Looks) -> None:
    """Answer 429 with a page, and with how many seconds to wait (RFC 9110 §10.2.3)."""
    more = [(b"retry-after", str(ceil(wait)).encode("ascii"))]
    await send_notice(scope, send, 429, TOO_MANY, look=looks.current, more=more)
