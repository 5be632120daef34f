"""The bytes of SMTP: replies read, envelopes and bodies written, and nothing let through that could break out."""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from app.delivery.replies import Outcome, SendResult, Stage, classify, decided_here
from app.delivery.smtp.feed import Envelope, Stuffed

LINE_LIMIT: Final = 4096  # octets of a reply line; RFC 5321 §4.5.3.1.5 allows 512, real servers exceed it
REPLY_LIMIT: Final = 65536  # octets of a reply with all its lines: an endless one must end somewhere
ADDRESS_LIMIT: Final = 254  # octets; RFC 5321 §4.5.3.1.3 less the angle brackets

JOINED: Final = 256 << 10  # octets up to which one copy is cheaper than handing the kernel several buffers
COMMAND_LIMIT: Final = 512  # octets of a command line with its CRLF (RFC 5321 §4.5.3.1.4)
ENVID_LIMIT: Final = 100  # characters (RFC 3461 §5.4)

END_OF_BODY: Final = 3  # octets of the final dot and its CRLF, which RFC 1870 §3 does not count

_CODES: Final = {b"%d" % code: code for code in range(200, 600)}
_MARKS: Final = frozenset({b" ", b"-", b"\r", b""})
_PLAIN_ADDRESS = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")  # printable ASCII without space, "<" and ">"
_LEADING_DOT = re.compile(rb"\n\.")  # half the time of `in`, which steps through the haystack one byte at a time
_PLAIN_TEXT = re.compile(r"[!-~]*")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_NEVER_IN_ADDRESS = re.compile(r"[\s<>]")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the server's EHLO announced. `size` is its limit in octets, 0 for no limit, None where SIZE is missing."""

    pipelining: bool = False
    size: int | None = None
    smtputf8: bool = False
    eight_bit: bool = False  # 8BITMIME (RFC 6152)
    dsn: bool = False  # RFC 3461


class ReplyReader:
    """Cuts what a server sends into replies: multi-line ones joined, CRLF or LF, in pieces of any size."""

    __slots__ = ("_lines", "_number", "_rest", "_size", "garbled")

    def __init__(self) -> None:
        self.garbled = False  # something was no reply, or had no end: nothing after it can be trusted
        self._rest = b""
        self._number: bytes | None = None  # of the multi-line reply that has begun
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def halfway(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._rest) or self._number is not None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes as they came; return the replies they complete as (code, text), lines joined by LF."""
        replies: list[tuple[int, bytes]] = []
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            number, mark = line[:3], line[3:4]
            code = _CODES.get(number)
            if code is None or mark not in _MARKS or len(line) > LINE_LIMIT:
                self.garbled = True
                return replies
            text = line[4:].rstrip(b"\r")
            if mark == b"-" or self._number is not None:
                if not self._continue(number, text):
                    self.garbled = True
                    return replies
                if mark == b"-":
                    continue
                text = b"\n".join(self._lines)
                self._number, self._lines, self._size = None, [], 0
            replies.append((code, text))
        self.garbled = len(self._rest) > LINE_LIMIT
        return replies

    def _continue(self, number: bytes, text: bytes) -> bool:
        self._lines.append(text)
        self._size += len(text) + 1
        same_code = self._number is None or self._number == number  # RFC 5321 §4.2.1: the same on every line
        self._number = number
        return same_code and self._size <= REPLY_LIMIT


def result_of(stage: Stage, code: int, words: bytes) -> SendResult:
    """Return what a reply means, as `ReplyReader` gave it."""
    return classify(stage, code, words.decode("utf-8", "replace"))


def envelope_commands(envelope: Envelope, prepared: tuple[bytes, ...], offer: Offer) -> tuple[bytes, bytes, bytes]:
    """Write MAIL, RCPT and DATA for an envelope that `refuse` let pass, and its body as `body` made it.

    What the server offers is used: SIZE (RFC 1870), SMTPUTF8 and BODY=8BITMIME where an address or a header needs them
    (RFC 6531, RFC 6152), and DSN (RFC 3461): headers back, of failures and delays, with the envelope's id, which is the
    local part of the return path, and the recipient as we know him.
    """
    options = "" if offer.size is None else f" SIZE={body_size(prepared)}"
    if needs_smtputf8(envelope):
        options += " SMTPUTF8"
        if envelope.smtputf8 and offer.eight_bit:
            options += " BODY=8BITMIME"
    notify = ""
    if offer.dsn and envelope.sender:
        envid = xtext(envelope.sender.rpartition("@")[0])
        options += f" RET=HDRS ENVID={envid}" if len(envid) <= ENVID_LIMIT else " RET=HDRS"
        notify = _notify(envelope.recipient)
    return (
        f"MAIL FROM:<{envelope.sender}>{options}\r\n".encode(),
        f"RCPT TO:<{envelope.recipient}>{notify}\r\n".encode(),
        b"DATA\r\n",
    )


def xtext(value: str) -> str:
    """Encode ASCII as a parameter's value (RFC 3461 §4): `+`, `=` and what is not printable as +XX."""
    if _PLAIN_TEXT.fullmatch(value):
        return value.replace("+", "+2B").replace("=", "+3D")
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", value)


def _notify(recipient: str) -> str:
    """Ask for reports of failures and delays; with ORCPT, unless it is not ASCII or makes the line too long."""
    asked = " NOTIFY=FAILURE,DELAY"
    if not recipient.isascii():  # RFC 6533 has another form for these, which few servers know
        return asked
    named = f"{asked} ORCPT=rfc822;{xtext(recipient)}"
    return named if len("RCPT TO:<>\r\n") + len(recipient) + len(named) <= COMMAND_LIMIT else asked


def needs_smtputf8(envelope: Envelope) -> bool:
    """Tell whether the message can only go to a server that offers RFC 6531."""
    return envelope.smtputf8 or not (envelope.sender.isascii() and envelope.recipient.isascii())


def refuse(envelope: Envelope, offer: Offer) -> SendResult | None:
    """Refuse, without asking the server, an envelope that must not or cannot be written; None lets it pass.

    An address with control characters, spaces or angle brackets could smuggle in a command; no such address is
    written, not even quoted ones that RFC 5321 would allow. A non-ASCII local part cannot be downgraded where SMTPUTF8
    is missing (standards.md): final for this recipient, and no bounce. Attachments that are larger than the server
    takes (RFC 1870) would make every message fail: a fault of ours.
    """
    if offer.size and envelope.shared > offer.size:
        detail = f"the attachments alone have {envelope.shared} octets, the server takes messages of {offer.size}"
        return decided_here(Outcome.SENDER_FAULT, detail)
    plain = _PLAIN_ADDRESS.fullmatch(envelope.recipient) and len(envelope.recipient) <= ADDRESS_LIMIT
    if plain and not envelope.smtputf8 and (not envelope.sender or _PLAIN_ADDRESS.fullmatch(envelope.sender)):
        return None
    if envelope.sender and not _is_writable(envelope.sender):
        return decided_here(Outcome.SENDER_FAULT, "the return path is not an address that can be written in SMTP")
    if not _is_writable(envelope.recipient):
        return decided_here(Outcome.REJECTED, "the address cannot be written in SMTP: no spaces, brackets or controls")
    if needs_smtputf8(envelope) and not offer.smtputf8:
        if not envelope.sender.isascii():
            return decided_here(Outcome.SENDER_FAULT, "the return path needs SMTPUTF8, which the server does not offer")
        return decided_here(Outcome.REJECTED, "the message needs SMTPUTF8, which the server does not offer")
    return None


def refuse_content(envelope: Envelope, prepared: tuple[bytes, ...], offer: Offer) -> SendResult | None:
    """Refuse a body, as `body` made it, that the server announced not to take; None lets it pass.

    Larger than its limit (RFC 1870 §6.2), or with headers in UTF-8 where 8BITMIME is missing (RFC 6531 §3.1).
    """
    if offer.size and (size := body_size(prepared)) > offer.size:
        return decided_here(Outcome.REJECTED, f"the message has {size} octets, the server takes {offer.size}")
    if envelope.smtputf8 and not offer.eight_bit:
        return decided_here(Outcome.REJECTED, "the message has 8-bit octets, and the server offers no 8BITMIME")
    return None


def _is_writable(address: str) -> bool:
    local_part, at, domain = address.rpartition("@")
    if not (local_part and at and domain) or not address.isprintable() or _NEVER_IN_ADDRESS.search(address):
        return False
    return len(address.encode()) <= ADDRESS_LIMIT  # what is printable holds no lone surrogates


def body(content: bytes | Stuffed) -> tuple[bytes, ...]:
    r"""Make content ready for DATA (RFC 5321 §4.5.2), as buffers to be written in order.

    Dots are stuffed, CRLF and a lone dot end it. Not copied for a message without leading dots (the composer writes
    them as =2E), and not even searched if `Stuffed`. A dot after a bare LF is stuffed too: servers that take LF for a
    line end would see the end of the message there.
    """
    if isinstance(content, Stuffed):
        return content.front, content.message, content.tail, b".\r\n"
    if content.startswith(b".") or _LEADING_DOT.search(content):
        content = (b"." + content if content.startswith(b".") else content).replace(b"\n.", b"\n..")
    if not content or content.endswith(b"\r\n"):
        return content, b".\r\n"
    return content, b"\r\n.\r\n"


def hand_over(transport: asyncio.WriteTransport, buffers: tuple[bytes, ...]) -> int:
    """Write buffers in one go and return their octets; large ones, which messages share, are not copied for it."""
    size = sum(map(len, buffers))
    if size <= JOINED:
        transport.write(b"".join(buffers))
    else:
        transport.writelines([buffer for buffer in buffers if buffer])
    return size


def body_size(buffers: tuple[bytes, ...]) -> int:
    """Return the octets of a message that `body` made ready, as RFC 1870 §3 counts them."""
    return sum(map(len, buffers)) - END_OF_BODY
