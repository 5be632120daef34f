"""What an image is and how large, read from its first octets: no picture is decoded here.

SVG is not taken: it is a document that may run scripts and load others, and a logo is opened by whoever likes to.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """A picture's content type and size in pixels."""

    content_type: str
    width: int
    height: int

    @property
    def suffix(self) -> str:
        """What its file's name ends with."""
        return {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}[self.content_type]


def read_image(octets: bytes) -> Image | None:
    """Return what a PNG, JPEG or WebP is; None for anything else, and for one that ends before its size is known."""
    for content_type, read in (("image/png", _png), ("image/jpeg", _jpeg), ("image/webp", _webp)):
        size = read(octets)
        if size is not None and min(size) > 0:
            return Image(content_type, *size)
    return None


def _png(octets: bytes) -> tuple[int, int] | None:
    """By the IHDR chunk, which is the first (PNG 3rd edition, 11.2.1)."""
    if not octets.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR") or b"IEND" not in octets[-16:]:
        return None
    return int.from_bytes(octets[16:20]), int.from_bytes(octets[20:24])


_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg(octets: bytes) -> tuple[int, int] | None:
    """By the first start of frame (ITU-T T.81, B.2.2)."""
    if not octets.startswith(b"\xff\xd8\xff"):
        return None
    for marker, at in _segments(octets):
        if marker in _START_OF_FRAME and len(octets) >= at + 9:
            return int.from_bytes(octets[at + 7 : at + 9]), int.from_bytes(octets[at + 5 : at + 7])
    return None


def _segments(octets: bytes) -> Iterator[tuple[int, int]]:
    at = 2
    while at + 4 <= len(octets) and octets[at] == 0xFF:
        marker = octets[at + 1]
        yield marker, at
        at += 1 if marker == 0xFF else 2 + int.from_bytes(octets[at + 2 : at + 4])


def _webp(octets: bytes) -> tuple[int, int] | None:
    """By the first chunk: lossy (RFC 6386, 9.1), lossless, or extended (RFC 9649, 2)."""
    if octets[:4] != b"RIFF" or octets[8:12] != b"WEBP" or len(octets) < 30:
        return None
    kind = octets[12:16]
    if kind == b"VP8 " and octets[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(octets[26:28], "little") & 0x3FFF, int.from_bytes(octets[28:30], "little") & 0x3FFF
    if kind == b"VP8L" and octets[20] == 0x2F:
        bits = int.from_bytes(octets[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(octets[24:27], "little") + 1, int.from_bytes(octets[27:30], "little") + 1
    return None
