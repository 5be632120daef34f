"""What a file is, judged by its first bytes: never by its name, which anybody can change."""

import re
import zipfile
from pathlib import Path

from app.audience.sheet_row import UnreadableFile

MAX_WORKBOOK_BYTES = 1024**3
"""A million rows of ten columns unpack to about half of this."""

MAX_WORKBOOK_RATIO = 250
"""Honest sheets shrink 5 to 50 times, a million equal rows some 150 times; a deflate bomb does so 1 032 times."""

MAX_WORKBOOK_PARTS = 10_000

# A ratio says nothing about a few kilobytes.
_RATIO_MATTERS_FROM = 16 * 1024**2

_WHAT_WOULD_BE_RIGHT = "Send a CSV, TXT or XLSX file with one person per row."

_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"{\\rtf", "an RTF document"),
    (b"BEGIN:VCARD", "a vCard file"),
)
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|table|head|body|script|svg)\b", re.IGNORECASE)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PART = "EncryptedPackage".encode("utf-16-le")
# Control characters that text files do contain: tab, line ends, form feed, the end-of-file mark of old systems, and the
# NULs that some exports pad fields with. Everything else makes it binary when more than one byte in a hundred is such.
_CONTROL = bytes(set(range(32)) - {0x00, 0x09, 0x0A, 0x0C, 0x0D, 0x1A}) + b"\x7f"


def is_workbook(path: Path, head: bytes) -> bool:
    """Whether the file is an XLSX workbook (else it is text, as far as its first bytes tell).

    `head` is the file's beginning, some 64 KiB. Raises UnreadableFile for everything that is neither.
    """
    if not head.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n\x1a"):
        raise UnreadableFile("empty_file", "The file is empty. Send a file with at least one person in it.")
    if head.startswith(b"PK\x03\x04"):
        _check_workbook(path)
        return True
    if head.startswith(_OLE):
        raise _ole_refusal(path)
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise UnreadableFile("not_a_sheet", f"The file is {what}. {_WHAT_WOULD_BE_RIGHT}")
    if _MARKUP.match(head):
        raise UnreadableFile("not_a_sheet", f"The file is a web page or XML. {_WHAT_WOULD_BE_RIGHT}")
    return False


def refuse_binary(head: bytes) -> None:
    """Refuse bytes of a single-byte or UTF-8 encoding that no text is made of. Raises UnreadableFile."""
    controls = len(head) - len(head.translate(None, _CONTROL))
    nulls = head.count(0)
    if controls * 100 > len(head) or nulls * 5 > len(head):
        raise UnreadableFile("not_a_sheet", f"The file is binary data, not text. {_WHAT_WOULD_BE_RIGHT}")


def _ole_refusal(path: Path) -> UnreadableFile:
    with path.open("rb") as file:
        directory = file.read(1024 * 1024)
    if _ENCRYPTED_PART in directory:
        return UnreadableFile("encrypted_file", "The workbook has a password. Save it without one and send it again.")
    return UnreadableFile(
        "not_a_sheet",
        "The file is of an old Office format (such as .xls). Save it as XLSX or CSV and send it again.",
    )


def _check_workbook(path: Path) -> None:
    """Check the zip directory before anything is unpacked: a workbook, of a size that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as refusal:
        raise UnreadableFile(
            "damaged_file",
            "The workbook is damaged or was not sent completely. Save it again and send the whole file.",
        ) from refusal
    names = {part.filename for part in parts}
    if "xl/workbook.bin" in names:
        raise UnreadableFile("not_a_sheet", "The file is a binary workbook (.xlsb). Save it as XLSX and send it again.")
    if not any(name.lower().startswith("xl/workbook") for name in names):
        what = "a Word document" if "word/document.xml" in names else "a zip archive without a workbook in it"
        if "mimetype" in names and "content.xml" in names:
            what = "an OpenDocument file"
        raise UnreadableFile("not_a_sheet", f"The file is {what}. {_WHAT_WOULD_BE_RIGHT}")
    packed = sum(part.compress_size for part in parts)
    unpacked = sum(part.file_size for part in parts)
    bomb = unpacked > _RATIO_MATTERS_FROM and unpacked > packed * MAX_WORKBOOK_RATIO
    if bomb or unpacked > MAX_WORKBOOK_BYTES or len(parts) > MAX_WORKBOOK_PARTS:
        raise UnreadableFile(
            "too_large",
            f"The workbook unpacks to {unpacked // 1024**2} MB in {len(parts)} parts, more than is read "
            f"({MAX_WORKBOOK_BYTES // 1024**2} MB, {MAX_WORKBOOK_RATIO} times its packed size). Save the sheet as CSV.",
        )
