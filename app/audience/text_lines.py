"""Text files as lines: which encoding, and what to do with a line that is in another one.

Decoding is by row. Files are glued together from several systems, so a file that changes its encoding half-way is read
all the same: a line that is not in the file's encoding is read in the other likely one and carries the warning
`mixed_encoding`. Memory stays flat: one block of lines at a time.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.audience.file_kinds import refuse_binary
from app.audience.sheet_row import MAX_ROW_BYTES, RowFault, UnreadableFile

_BLOCK = 256 * 1024

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"})
_NARROW_FAMILIES = ("utf-8", "ascii", "iso8859", "cp", "mac", "koi8")

# What is left when a file is not UTF-8: Windows, then the DOS and Mac exports still met. The one that turns most of its
# bytes into letters of our languages wins; Windows-1252 wins ties (it contains ISO-8859-1's letters).

_LEGACY = ("cp1252", "cp850", "mac_roman")
_LETTERS = frozenset("æøåäöüßéèêëáàâãíìîïóòôõúùûñçðþýÿœšžÆØÅÄÖÜÉÈÊËÁÀÂÃÍÌÎÏÓÒÔÕÚÙÛÑÇÐÞÝŸŒŠŽ")
_UTF8_SEQUENCE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]")


@dataclass(frozen=True, slots=True)
class TextForm:
    """How a text file is written: `encoding` (a Python codec), octets of its byte order mark, and its line end."""

    encoding: str
    mark: int
    line_end: bytes


class LineBlock:
    """Some hundred kilobytes of whole lines, without their line ends; `faults` by index of the line."""

    __slots__ = ("faults", "lines")

    def __init__(self, lines: list[str], faults: dict[int, RowFault]) -> None:
        self.lines = lines
        self.faults = faults


def text_form(path: Path, head: bytes, *, encoding: str | None) -> TextForm:
    """Return how the file, which begins with `head`, is written; a given `encoding` is taken instead of a guess.

    Raises UnreadableFile for binary data, an encoding nobody knows, and a first row without an end.
    """
    mark, chosen = next(((len(bom), name) for bom, name in _BOMS if head.startswith(bom)), (0, None))
    chosen = _known(encoding) if encoding is not None else chosen or _wide_without_mark(head)
    if chosen not in _WIDE:
        refuse_binary(head)
    line_end = _first_line_end(path, TextForm(chosen or "utf-8", mark, b"\n"))
    return TextForm(chosen or _narrow_encoding(path), mark, line_end)


def _known(encoding: str) -> str:
    refused = UnreadableFile(
        "unknown_encoding",
        f"{encoding!r} is not a text encoding we read. Name one such as utf-8, windows-1252 or iso-8859-1.",
    )
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise refused from None
    # UTF-16 and -32 without a byte order in their name: Windows', which wrote nearly all of them.
    name = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(name, name)
    if name not in _WIDE and (not name.startswith(_NARROW_FAMILIES) or "\r\n;".encode(name) != b"\r\n;"):
        raise refused  # EBCDIC and the codecs that are no character sets: their lines end elsewhere
    return name


def _first_line_end(path: Path, form: TextForm) -> bytes:
    start = b""
    with path.open("rb") as file:
        for piece in _narrow_bytes(file, form):
            start += piece
            if b"\n" in start:
                return b"\n"
            if b"\r" in start:
                return b"\r"  # the Macintosh's, before 2001
            if len(start) > MAX_ROW_BYTES:
                raise UnreadableFile(
                    "row_too_long",
                    f"The first row does not end within {MAX_ROW_BYTES // 1024**2} MB. "
                    "Send a file with one person per row.",
                )
    return b"\n"


def _wide_without_mark(head: bytes) -> str | None:
    """Return UTF-16 where every other byte of western text is zero, and the rest is not."""
    head = head[: len(head) // 2 * 2]
    if len(head) < 4:
        return None
    half = len(head) // 2
    high_first, high_second = head[0::2].count(0), head[1::2].count(0)
    if high_second > half * 0.6 and high_first < half * 0.05:
        return "utf-16-le"
    if high_first > half * 0.6 and high_second < half * 0.05:
        return "utf-16-be"
    return None


def _narrow_encoding(path: Path) -> str:
    """Judge by the first megabyte with anything beyond ASCII: UTF-8 where at least half of such lines are."""
    with path.open("rb") as file:
        while (block := file.read(4 * _BLOCK)).isascii():
            if not block:
                return "utf-8"
        block += file.readline(MAX_ROW_BYTES)
    lines = [line for line in block.splitlines() if not line.isascii()]
    others = [line for line in lines if not _is_utf8(line)]
    if len(others) * 2 <= len(lines):
        return "utf-8"
    beyond = bytes(byte for line in others for byte in line if byte >= 0x80)
    return max(_LEGACY, key=lambda name: sum(char in _LETTERS for char in beyond.decode(name, "replace")))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def line_blocks(path: Path, form: TextForm) -> Iterator[LineBlock]:
    """Yield the file's lines in blocks. A line beyond 1 MB is cut and carries the fault `row_too_long`."""
    with path.open("rb") as file:
        rest, skipping = b"", False
        for piece in _narrow_bytes(file, form):
            block = rest + piece
            if skipping:
                end = block.find(form.line_end)
                if end < 0:
                    rest = b""
                    continue
                block, skipping = block[end + 1 :], False
            end = block.rfind(form.line_end)
            whole, rest = (block[:end], block[end + 1 :]) if end >= 0 else (None, block)
            if whole is not None:
                yield _decode(whole, form)
            if len(rest) > MAX_ROW_BYTES:
                yield _too_long(rest[:200], form)
                rest, skipping = b"", True
        if rest:
            yield _decode(rest, form)


def _narrow_bytes(file: BinaryIO, form: TextForm) -> Iterator[bytes]:
    """Yield the file after its mark; UTF-16 and UTF-32 as UTF-8, so that lines are cut in one way only."""
    file.seek(form.mark)
    if form.encoding not in _WIDE:
        while piece := file.read(_BLOCK):
            yield piece
        return
    decoder = codecs.getincrementaldecoder(form.encoding)("replace")
    while piece := file.read(_BLOCK):
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _decode(block: bytes, form: TextForm) -> LineBlock:
    encoding = "utf-8" if form.encoding in _WIDE else form.encoding
    faults: dict[int, RowFault] = {}
    if encoding == "utf-8" or not _UTF8_SEQUENCE.search(block):
        try:
            text = block.decode(encoding)
        except UnicodeDecodeError:
            pass
        else:
            lines = _lines(text, form)
            if form.encoding in _WIDE and "\ufffd" in text:
                faults = {index: _damaged(form) for index, line in enumerate(lines) if "\ufffd" in line}
            return LineBlock(lines, faults)
    lines = []
    for index, raw in enumerate(block.split(form.line_end)):
        line, expected = _decode_line(raw, encoding)
        lines.append(_lines(line, form)[0])
        if not expected:
            faults[index] = RowFault(
                "mixed_encoding",
                f"The row is not in the file's encoding ({form.encoding}). It was read in the likeliest other one: "
                "check its letters.",
                rejected=False,
            )
    return LineBlock(lines, faults)


def _decode_line(raw: bytes, encoding: str) -> tuple[str, bool]:
    """Return the line and whether it was in the expected encoding; latin-1 reads whatever is left."""
    if raw.isascii():
        return raw.decode("ascii"), True
    for name in ("utf-8", "cp1252" if encoding == "utf-8" else encoding):
        try:
            return raw.decode(name), name == encoding
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), False


def _lines(text: str, form: TextForm) -> list[str]:
    if form.line_end == b"\r":
        return text.split("\r")
    if "\r" in text:
        # What is left after CRLF is a stray carriage return inside a value, which becomes white space like any other.
        text = text.replace("\r\n", "\n").removesuffix("\r").replace("\r", " ")
    return text.split("\n")


def _too_long(start: bytes, form: TextForm) -> LineBlock:
    encoding = "utf-8" if form.encoding in _WIDE else form.encoding
    fault = RowFault(
        "row_too_long",
        f"The row is longer than {MAX_ROW_BYTES // 1024**2} MB and was left out: a line break is missing.",
        rejected=True,
    )
    return LineBlock([start.decode(encoding, "replace")], {0: fault})


def _damaged(form: TextForm) -> RowFault:
    return RowFault(
        "mixed_encoding",
        f"The row has bytes that are not {form.encoding}. They show as \ufffd: correct them.",
        rejected=False,
    )
