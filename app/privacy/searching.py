"""Finding out whether a file names an address. Blocking, with flat memory; whatever the file is."""

import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

PIECE = 1 << 20
MOST = 4 << 30
"""Octets of an unpacked workbook that are searched; one that is larger is nothing anybody can import."""
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


def names_any(path: Path, words: Iterable[str]) -> bool:
    """Tell whether one of the words stands in the file, in any case of ASCII letters; True where nobody can tell.

    Texts are searched in every encoding that imports are read in; of a workbook (a ZIP archive) each part is.
    """
    forms = {form for word in words for form in _forms(word)}
    if not forms:
        return False
    wanted = re.compile(b"|".join(re.escape(form) for form in sorted(forms)), re.IGNORECASE)
    overlap = max(map(len, forms)) - 1
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return _stands_in(file, wanted, overlap) is not False
    try:
        with zipfile.ZipFile(path) as archive:
            return _stands_in_a_part(archive, wanted, overlap)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error):
        return True


def _stands_in_a_part(archive: zipfile.ZipFile, wanted: re.Pattern[bytes], overlap: int) -> bool:
    left = MOST
    for part in archive.infolist():
        with archive.open(part) as file:
            if _stands_in(file, wanted, overlap, most=left) is not False:
                return True
        left -= part.file_size
    return False


def _forms(word: str) -> Iterable[bytes]:
    for text in {word, escape(word), escape(word, {'"': "&quot;", "'": "&apos;"})}:
        for encoding in _ENCODINGS:
            try:
                yield text.encode(encoding)
            except UnicodeEncodeError:
                continue


def _stands_in(file: IO[bytes], wanted: re.Pattern[bytes], overlap: int, *, most: int | None = None) -> bool | None:
    """Tell whether what is wanted stands in the file; None where it is longer than `most` octets."""
    tail, read = b"", 0
    while piece := file.read(PIECE):
        read += len(piece)
        if most is not None and read > most:
            return None
        seen = tail + piece
        if wanted.search(seen):
            return True
        tail = seen[-overlap:] if overlap else b""
    return False
