"""Sending one message by itself: tests, and whatever else belongs to no mailing's list."""

from dataclasses import dataclass, replace

from app.delivery.replies import Outcome, SendResult, decided_here
from app.delivery.smtp.account import SmtpAccount
from app.delivery.smtp.connection import open_connection
from app.delivery.smtp.feed import Envelope


@dataclass(slots=True)
class _One:
    """A feed of one message."""

    waiting: Envelope | None
    message: bytes
    result: SendResult | None = None

    def next(self) -> Envelope | None:
        envelope, self.waiting = self.waiting, None
        return envelope

    def content(self, _: Envelope) -> bytes:
        return self.message

    def start(self, _: Envelope) -> bool:
        return True

    def settle(self, _: Envelope, result: SendResult) -> None:
        self.result = result


async def send_one(account: SmtpAccount, *, sender: str, recipient: str, message: bytes) -> SendResult:
    """Send one message over a connection of its own and return what became of it."""
    feed = _One(Envelope(key=None, sender=sender, recipient=recipient), message)
    connection = await open_connection(replace(account, max_messages=1), feed)
    if isinstance(connection, SendResult):
        return connection
    await connection.closed
    return feed.result or decided_here(Outcome.UNKNOWN, "the connection ended without a result")
