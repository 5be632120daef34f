"""The MIME structure of a message (RFC 2045-2049) as lists of items: encoded text, and places left open.

Every part is its header lines, an empty line, its body. The structure, from the outside in, each level only where it is
needed: mixed (attachments), alternative (text first, then HTML), related (inline images). So all that differs between
recipients comes first, and what follows the HTML is the same for everybody: the *tail*, which is made once per sender
and shared by all its messages.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.content import headers
from app.content.attached import Attachment, FilePlace, Tail
from app.content.encoding import lay_out
from app.content.pieces import Piece, Pixel, Token, Value


@dataclass(frozen=True, slots=True)
class HeaderPlace:
    """A place in the header section, by its name in `compiled.FIELDS`."""

    name: str


Item = str | Token | Value | Pixel | HeaderPlace


def message_body(
    text: Iterable[Piece], html: Iterable[Piece], attachments: Sequence[Attachment], *, seed: bytes
) -> tuple[list[Item], Tail]:
    """Give Content-Type and body of a message up to the end of its HTML, and its tail.

    Without attachments the tail is empty and the body complete. The same `seed` gives the same boundaries.
    """
    inline = [attachment for attachment in attachments if attachment.content_id]
    files = [attachment for attachment in attachments if not attachment.content_id]
    alternative = _Multipart("alternative", seed)
    body: list[Item] = [alternative.head, alternative.next, *_text_part("plain", text), "\r\n", alternative.next]
    tail: list[str | FilePlace] = []
    if inline:
        related = _Multipart("related", seed)
        body += related.head, related.next
        tail += *_file_parts(related, inline), related.end
    body += _text_part("html", html)
    tail += "\r\n", alternative.end
    if files:
        mixed = _Multipart("mixed", seed)
        body = [mixed.head, mixed.next, *body]
        tail += *_file_parts(mixed, files), mixed.end
    if not attachments:
        return [*body, *(text for text in tail if isinstance(text, str))], ()
    return body, _joined(tail)


def _text_part(kind: str, pieces: Iterable[Piece]) -> list[Item]:
    lines = f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", ""
    return ["\r\n".join(lines), *lay_out(pieces)]


class _Multipart:
    """The lines of one multipart: its header, what stands before each part, and its end."""

    def __init__(self, kind: str, seed: bytes) -> None:
        # "=_" occurs neither in quoted-printable nor in base64 lines, so no body can contain the boundary.
        boundary = f"=_{kind}_{hashlib.blake2b(seed, digest_size=12).hexdigest()}"
        self.head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n'
        self.next = f"--{boundary}\r\n"
        self.end = f"--{boundary}--\r\n"


def _file_parts(multipart: _Multipart, files: Sequence[Attachment]) -> list[str | FilePlace]:
    """Give parts that follow another one; each begins with the end of the line before it."""
    items: list[str | FilePlace] = []
    for file in files:
        items += f"\r\n{multipart.next}{_file_head(file)}\r\n", FilePlace(file.key, file.size)
    return [*items, "\r\n"]


def _file_head(file: Attachment) -> str:
    lines = headers.with_filename("Content-Type", file.content_type, parameter="name", filename=file.filename)
    lines += "Content-Transfer-Encoding: base64\r\n"
    if file.content_id:
        lines += f"Content-ID: <{file.content_id}>\r\n"
    kind = "inline" if file.content_id else "attachment"
    return lines + headers.with_filename("Content-Disposition", kind, parameter="filename", filename=file.filename)


def _joined(tail: Iterable[str | FilePlace]) -> Tail:
    out: list[str | FilePlace] = []
    for item in tail:
        if isinstance(item, str) and out and isinstance(out[-1], str):
            out[-1] += item
        else:
            out.append(item)
    return tuple(out)
