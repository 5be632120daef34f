"""Reading the MIME structure of mail from strangers, within limits: hostile mail costs little and never raises.

A report says what it has to say at its start: words for people, then for machines, then what was returned
(RFC 6522 §3). So it is enough to read the start.
"""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from email.policy import Compat32
from itertools import islice
from typing import Final

READ_LIMIT: Final = 128 * 1024  # octets; reports with 100 recipients stay under 64 KiB before what they return
LINES_LIMIT: Final = 4000  # twice as many as 128 KiB of encoded text have; each line may begin a part
PART_LIMIT: Final = 20  # containers that are read; real reports have up to six, forwarded ones ten
FIELD_LINES_LIMIT: Final = 10  # of 1000 octets; the email package's work on parameters grows with the square
LINE_LIMIT: Final = 300  # characters of a line of text; heuristics search each line with patterns that backtrack
TEXT_LIMIT: Final = 32 * 1024  # characters of all text parts together

# What nests. Every container costs the parser a frame of its stack and a look at every following line.
_CONTAINER = re.compile(rb"(?:multipart|message)/", re.IGNORECASE)

# RFC 6533 §3: the same blocks, with UTF-8 addresses. The email package knows the older name only.
_GLOBAL_STATUS = re.compile(rb"message/global-delivery-status", re.IGNORECASE)


class _Reading(Compat32):
    """Long fields are cut; a value is always text, where the package gives an object for octets that are not ASCII."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        return super().header_source_parse([line[:1000] for line in sourcelines[:FIELD_LINES_LIMIT]])

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - the package's signature
        return _text(value.encode("utf-8", "surrogateescape"))


_READING: Final = _Reading()


def read_message(octets: bytes) -> Message | None:
    """Return the message as far as it is worth reading; None when its structure is beyond the parser."""
    lines = octets[:READ_LIMIT].splitlines(keepends=True)
    head = _GLOBAL_STATUS.sub(b"message/delivery-status", b"".join(lines[:LINES_LIMIT]))
    one_too_many = next(islice(_CONTAINER.finditer(head), PART_LIMIT, None), None)
    if one_too_many:
        head = head[: one_too_many.start()]
    try:
        return message_from_bytes(head, policy=_READING)
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def outer_parts(message: Message) -> Iterator[Message]:
    """Yield the message and its parts in order, but nothing that lies inside a returned or forwarded message."""
    yield message
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from outer_parts(part)


def header(message: Message, name: str) -> str:
    """Return a field's value as one line, empty when it is missing."""
    return " ".join(str(message.get(name, "")).split())


def text_of(message: Message) -> str:
    """Return what a reader sees first: the outer text/plain parts, decoded, in lines and as a whole of limited length.

    HTML counts where there is no plain text, with its tags taken out.
    """
    parts = [part for part in outer_parts(message) if not part.is_multipart()]
    plain = [_decoded(part) for part in parts if part.get_content_type() == "text/plain"]
    if not any(plain):
        plain = [_TAG.sub(" ", _decoded(part)) for part in parts if part.get_content_type() == "text/html"]
    return clip("\n".join(plain))


def simplify(message: Message) -> Message:
    """Change the message into one that heuristics can take.

    Text is decoded and clipped, every other part is emptied, and the two fields that are read for addresses hold plain
    addresses: the package's parser of addresses recurses, and a report without an author must not end the search.
    """
    author, failed = (_ADDRESS.findall(header(message, name)) for name in ("From", "X-Failed-Recipients"))
    for name, addresses in (("From", author[:1] or ["nobody@invalid"]), ("X-Failed-Recipients", failed)):
        del message[name]
        if addresses:
            message[name] = ", ".join(addresses)
    for part in outer_parts(message):
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            continue
        text = clip(_decoded(part)) if part.get_content_maintype() == "text" else ""
        del part["Content-Transfer-Encoding"]
        part.set_payload(text)
    return message


_ADDRESS = re.compile(r"[^\s,;:<>()\[\]\"\\@]{1,64}@[^\s,;:<>()\[\]\"\\@]{1,255}")
_TAG = re.compile(r"<[^<>]{0,1000}>")


def clip(text: str) -> str:
    """Return text with its lines and its length cut to what heuristics can take."""
    return "\n".join(line[:LINE_LIMIT] for line in text[:TEXT_LIMIT].splitlines())


def _decoded(part: Message) -> str:
    try:
        payload = part.get_payload(decode=True)
    except (MessageError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return _text(payload) if isinstance(payload, bytes) else ""


def _text(octets: bytes) -> str:
    """Decode without asking the charset that is claimed: UTF-8 where it fits, else Latin-1, which always does."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
