"""A feed for tests: a list of messages, what was started, and the result of each."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from app.delivery.replies import Outcome, SendResult
from app.delivery.smtp.account import SmtpAccount, Timeouts
from app.delivery.smtp.connection import open_connection
from app.delivery.smtp.dialogue import SmtpConnection
from app.delivery.smtp.feed import ConnectionEnd, Envelope

QUICK = Timeouts(connect=5, command=0.25, data=0.25, pipelined=0.25, body=0.25, dot=0.25, quit=0.25, idle=0.02)


def message(number: int, *, recipient: str | None = None, **more: Any) -> Envelope:
    return Envelope(number, "b+token@bounce.example", recipient or f"r{number}@example.no", **more)


class ListFeed:
    """Gives its messages in order; `settled` proves that each came back exactly once."""

    def __init__(self, *envelopes: Envelope, content: bytes | Callable[[Envelope], bytes] = b"Subject: x\r\n\r\n"):
        self.waiting = deque(envelopes)
        self.body = content
        self.taken: list[Any] = []
        self.started: list[Any] = []
        self.results: dict[Any, SendResult] = {}
        self.times_settled: Counter[Any] = Counter()
        self.refuse_start_of: Any = None
        self.on_start: Callable[[Envelope], None] = lambda _: None

    def next(self) -> Envelope | None:
        if not self.waiting:
            return None
        envelope = self.waiting.popleft()
        self.taken.append(envelope.key)
        return envelope

    def content(self, envelope: Envelope) -> bytes:
        return self.body if isinstance(self.body, bytes) else self.body(envelope)

    def start(self, envelope: Envelope) -> bool:
        if envelope.key == self.refuse_start_of:
            return False
        self.started.append(envelope.key)
        self.on_start(envelope)
        return True

    def settle(self, envelope: Envelope, result: SendResult) -> None:
        self.times_settled[envelope.key] += 1
        self.results[envelope.key] = result

    def outcome(self, key: Any) -> Outcome:
        """The result of a message; one that was never taken from the feed was not started either."""
        return self.results[key].outcome if key in self.results else Outcome.NOT_STARTED


def account(server: Any, **more: Any) -> SmtpAccount:
    settings = {"timeouts": QUICK, "local_hostname": "client.example", **more}
    return SmtpAccount(host=server.host, port=server.port, **settings)


async def connect(server: Any, feed: Any, **more: Any) -> SmtpConnection:
    connection = await open_connection(account(server, **more), feed)
    assert isinstance(connection, SmtpConnection), connection
    return connection


async def send(server: Any, feed: ListFeed, **more: Any) -> ConnectionEnd:
    """Send the whole feed over one connection; check that each message that was taken was settled once."""
    connection = await connect(server, feed, **more)
    async with asyncio.timeout(10):
        end = await connection.closed
    assert feed.times_settled == Counter(feed.taken)
    return end
