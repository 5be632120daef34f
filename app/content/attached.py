"""Files sent along with a message (D16): what the compiler knows of them, and their octets as base64 (RFC 2045 §6.8).

A compiled message holds names, types and sizes, never the octets: a mailing with 10 MB of attachments is compiled,
stored and checked as quickly as one without. Whoever sends it makes its *tail* once and shares it among all messages.
"""

import binascii
from collections.abc import Iterable
from dataclasses import dataclass

_LINE_OCTETS = 57  # make a base64 line of 76 characters, the longest there may be
_LINE = 76


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file sent along; `key` names its octets (a stored file), `size` is their number.

    With a `content_id` it is an inline image, which the HTML shows by `cid:` (RFC 2392).
    """

    key: int
    filename: str
    content_type: str
    size: int
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A place in a tail for the base64 lines of the file `key`, which has `size` octets."""

    key: int
    size: int


Tail = tuple[str | FilePlace, ...]
"""What follows the HTML of a message: texts, and places of files."""


def tail_size(tail: Iterable[str | FilePlace]) -> int:
    """Return the octets of a tail as it is sent."""
    return sum(len(item) if isinstance(item, str) else encoded_size(item.size) for item in tail)


def encoded_size(size: int) -> int:
    """Return how many octets `size` octets take as base64 lines, without a line end behind the last."""
    characters = -(-size // 3) * 4
    return characters + 2 * max(0, -(-characters // _LINE) - 1)


class Base64Lines:
    """Octets as base64 in lines of 76 characters, fed piece by piece; the last line has no line end."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, octets: bytes) -> bytes:
        """Return the lines that `octets` complete."""
        octets = self._rest + octets
        whole = len(octets) - len(octets) % _LINE_OCTETS
        self._rest = octets[whole:]
        return self._lines(octets[:whole])

    def end(self) -> bytes:
        """Return the last line, if one is left."""
        return self._lines(self._rest)

    def _lines(self, octets: bytes) -> bytes:
        if not octets:
            return b""
        encoded = binascii.b2a_base64(octets, newline=False)
        lines = b"\r\n".join([encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)])
        begun, self._begun = self._begun, True
        return b"\r\n" + lines if begun else lines
