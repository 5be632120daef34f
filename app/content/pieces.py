"""The parts a message body is made of before it is encoded: text, tokens, and merge values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

TOKEN_WIDTH = 32
"""Characters of a link token: base64url of 24 octets, so none of them is ever escaped in quoted-printable."""

Mode = Literal["html", "comment", "text", "url", "url_start"]
"""Where a value lands: HTML text or a quoted attribute; the same in a comment; plain text; in a URL; a whole URL."""

TokenKind = Literal["link", "open", "unsubscribe", "view", "preferences"]


@dataclass(frozen=True, slots=True)
class Token:
    """A place for one of the recipient's tokens, always `TOKEN_WIDTH` characters; `position` tells links apart."""

    kind: TokenKind
    position: int = 0


@dataclass(frozen=True, slots=True)
class Value:
    """A place for a merge value, escaped for where it lands (D12)."""

    tag: str
    default: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Pixel:
    """The place of the open pixel, which is filled, or left empty for those who are not tracked (D43)."""


Piece = str | Token | Value | Pixel


@dataclass(frozen=True, slots=True)
class Edit:
    """Pieces that replace `text[start:end]`."""

    start: int
    end: int
    pieces: list[Piece]


def apply_edits(text: str, edits: Iterable[Edit]) -> list[Piece]:
    """Replace stretches of a text by pieces; the edits come in order and do not overlap."""
    pieces: list[Piece] = []
    position = 0
    for edit in edits:
        pieces += text[position : edit.start], *edit.pieces
        position = edit.end
    return [*pieces, text[position:]]
