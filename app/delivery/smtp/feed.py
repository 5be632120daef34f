"""What a connection asks of the pipeline (messages, leave to start them, a place for results) and how it ends."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.delivery.replies import SendResult


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message on its way. `key` is the feed's own name for it; a connection only hands it back.

    Addresses have A-label domains; an empty sender is the null return path. `smtputf8` says that a header needs
    RFC 6531; a non-ASCII address needs it by itself. `shared` is how many octets of the message are the same for every
    recipient, where that is much: its attachments.
    """

    key: object
    sender: str
    recipient: str
    smtputf8: bool = False
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Stuffed:
    """A message in three buffers, whose maker vouches for them: no line begins with a dot that is not doubled.

    Looking for one takes 15 µs at 30 KB, as much as all the rest of sending a message. The composer knows it from
    compiling, once per mailing; whoever makes one must prove it in a test.

    `front` are the fields that were put before a message when it was done: its signatures. `tail` is its attachments,
    the same object for every message of a mailing, so that no copy of megabytes is made for a recipient. Each that is
    not empty ends with CRLF.
    """

    message: bytes
    front: bytes = b""
    tail: bytes = b""

    def __bytes__(self) -> bytes:
        """Return it in one piece."""
        return self.front + self.message + self.tail


class Feed(Protocol):
    """Where a connection's messages come from. Every envelope given out by `next` comes back to `settle` once.

    All methods are called on the event loop's thread, inside the connection's callbacks: they must be quick and must
    not block. One that raises ends the connection: what it had in hand is settled, and the exception becomes the
    connection's end.
    """

    def next(self) -> Envelope | None:
        """Give the next message this connection may take; None means nothing now (see `SmtpConnection.wake`)."""
        ...

    def content(self, envelope: Envelope) -> bytes | Stuffed:
        """Build the message: CRLF lines, at most 998 octets each, 7-bit unless the envelope says `smtputf8`.

        The connection stuffs dots; `Stuffed` content spares it the search.
        """
        ...

    def start(self, envelope: Envelope) -> bool:
        """Check the lease and record the start, just before the first byte of the body may leave.

        False ends the connection without content: nothing was started.
        """
        ...

    def settle(self, envelope: Envelope, result: SendResult) -> None:
        """Take the result of a message."""
        ...


class EndReason(StrEnum):
    """Why a connection ended."""

    IDLE = "idle"  # nothing to send for a while: QUIT
    DRAINED = "drained"  # as asked by `drain`
    FULL_COUNT = "full_count"  # the account's messages per connection were sent
    ABORTED = "aborted"  # as asked by `abort`
    LEASE_GONE = "lease_gone"  # the feed refused a start: the lease is gone, or the journal is full
    CLOSED_BY_SERVER = "closed_by_server"  # 421, FIN or RST
    TIMED_OUT = "timed_out"
    OUT_OF_STEP = "out_of_step"  # replies that make no sense: nothing on this connection can be trusted
    FEED_FAILED = "feed_failed"  # the feed raised; `ConnectionEnd.error` has it


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """How a connection ended, and what it had done.

    `pending` replies were still awaited; `reply` is the server's farewell where it gave one.
    """

    reason: EndReason
    text: str
    started: int  # bodies written
    accepted: int
    pending: int = 0
    reply: SendResult | None = None
    error: Exception | None = None
