"""Escaping a value for where it lands (D12), and quoted-printable (RFC 2045 §6.7) with places left open.

The literal text of a body is encoded once per mailing; what is filled in per recipient is encoded by itself. That works
because of how the places are laid out: a token has a known width and never needs escaping, so it stands in its line
like a word; a value begins on a line of its own and ends with a soft line break, so nothing around it depends on it.
"""

import binascii
import html
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from app.content.pieces import TOKEN_WIDTH, Mode, Piece, Pixel, Token, Value

LINE = 76
"""Longest line, with the `=` of a soft line break (RFC 2045 §6.7 rule 5)."""

_SOFT_BREAK = "=\r\n"
_OCTETS = tuple(chr(n) if (32 <= n < 127 and n != ord("=")) or n == ord("\t") else f"={n:02X}" for n in range(256))
_LINE_BREAK = re.compile(r"\r\n?|\n")
# All control characters but tab and line feed, and lone surrogates, which no encoding can carry.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Plain words that fit into a line need neither escaping nor encoding; "From" may begin a line if no space follows.
_UNCHANGED = re.compile(r"(?!From )[A-Za-z0-9][A-Za-z0-9 ,\-]{0,73}")
_OFTEN = 200  # characters
_LINKABLE = re.compile("(?:https?://|mailto:|tel:)[^/]", re.IGNORECASE)
_URL_RESERVED = ":/?#[]@!$&'()*+,;=%"


def clean(value: str) -> str:
    """Give `value` with line breaks as a line feed and without any other control character but tab."""
    return value if value.isprintable() else _UNPRINTABLE.sub("", _LINE_BREAK.sub("\n", value))


def escape(mode: Mode, value: str) -> str:
    """Escape a value for where it lands, so that it is read as itself and can change nothing around it (D12).

    "url_start" is a URL as a whole: unless the value is an http, https, mailto or tel URL, it becomes "#", since a
    `javascript:` from the CRM may not become a link.
    """
    value = clean(value)
    if mode == "html":
        return html.escape(value)
    if mode == "comment":
        return html.escape(value).replace("-", "&#45;")  # or the value's last "--" and a ">" after it end the comment
    if mode == "url":
        return quote(value, safe="")
    if mode == "url_start":
        value = value.strip()
        return html.escape(quote(value, safe=_URL_RESERVED)) if _LINKABLE.match(value) else "#"
    return value


def encode_value(mode: Mode, value: str) -> str:
    """Escape and encode a value for its place in a body.

    Short ones are cached, since cities, titles and first names repeat: a miss costs 2 µs, a hit 0.1. Long ones hardly
    do, and 8192 of 2 000 characters would fill a sender's memory.
    """
    return _encode_often(mode, value) if len(value) <= _OFTEN else _encode(mode, value)


@lru_cache(maxsize=8192)
def _encode_often(mode: Mode, value: str) -> str:
    return _encode(mode, value)


def _encode(mode: Mode, value: str) -> str:
    if _UNCHANGED.fullmatch(value) and mode in ("html", "text"):
        return value + _SOFT_BREAK
    return encode_alone(escape(mode, value))


def encode_alone(text: str) -> str:
    """Encode a text that begins a line; the soft line break at its end lets anything follow."""
    encoded = binascii.b2a_qp(text.encode(), istext=True).decode("ascii")
    if len(encoded) < LINE and "\n" not in encoded and not encoded.startswith((".", "From ")):
        return encoded + _SOFT_BREAK
    return "".join(piece for piece in (*lay_out([text]), _SOFT_BREAK) if isinstance(piece, str))


def lay_out(pieces: Iterable[Piece]) -> list[Piece]:
    """Encode the literal text of a body and leave its places open; line breaks become CRLF.

    No line is longer than `LINE`, ends with white space, starts with a full stop (which SMTP would have to stuff), or
    starts with "From " (which mailbox files escape, breaking signatures).
    """
    page = _Page()
    for piece in pieces:
        if isinstance(piece, str):
            for number, line in enumerate(_LINE_BREAK.split(piece)):
                if number:
                    page.end_line()
                page.write(line)
        elif isinstance(piece, Token):
            page.place(piece)
        else:
            page.open(piece)
    return page.finish()


class _Page:
    """Where the next character goes: the column, and what has been written."""

    def __init__(self) -> None:
        self.done: list[Piece] = []
        self.written: list[str] = []
        self.column = 0

    def write(self, line: str) -> None:
        data = line.encode("utf-8", "replace")
        for index, octet in enumerate(data):
            unit = _OCTETS[octet]
            if self.column + len(unit) >= LINE:
                self.written.append(_SOFT_BREAK)
                self.column = 0
            if self.column == 0 and (octet == ord(".") or data.startswith(b"From ", index)):
                unit = f"={octet:02X}"
            self.written.append(unit)
            self.column += len(unit)

    def end_line(self) -> None:
        if self.column and self.written and self.written[-1] in (" ", "\t"):
            self.written.append(_SOFT_BREAK)
        self.written.append("\r\n")
        self.column = 0

    def place(self, token: Token) -> None:
        if self.column + TOKEN_WIDTH >= LINE:
            self.written.append(_SOFT_BREAK)
            self.column = 0
        self.put(token)
        self.column += TOKEN_WIDTH

    def open(self, place: Value | Pixel) -> None:
        if self.column:
            self.written.append(_SOFT_BREAK)
        self.put(place)
        self.column = 0

    def put(self, place: Piece) -> None:
        self.done += "".join(self.written), place
        self.written.clear()

    def finish(self) -> list[Piece]:
        if self.column and self.written and self.written[-1] in (" ", "\t"):
            self.written.append(_SOFT_BREAK)
        return [*self.done, "".join(self.written)]
