"""The MIME structure of a message (RFC 2045-2049) as lists of items: encoded text, and places left open.

Every part is its header lines, an empty line, its body. The structure, from the outside in, each level only where it is
needed: mixed (attachments), alternative (text first, then HTML), related (inline images).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import MIMEPart
from email.policy import SMTP

from app.content.encoding import lay_out
from app.content.pieces import Piece, Pixel, Token, Value


@dataclass(frozen=True, slots=True)
class HeaderPlace:
    """A place in the header section, by its name in `compiled.FIELDS`."""

    name: str


Item = str | Token | Value | Pixel | HeaderPlace


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file sent along. With a `content_id` it is an inline image, which the HTML shows by `cid:` (D16)."""

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None


def message_body(
    text: Iterable[Piece], html: Iterable[Piece], attachments: Sequence[Attachment], *, seed: bytes
) -> list[Item]:
    """Give Content-Type and body of a message. The same `seed` gives the same boundaries."""
    shown: list[Item] = _text_part("html", html)
    if inline := [_file_part(attachment) for attachment in attachments if attachment.content_id]:
        shown = _multipart("related", [shown, *inline], seed)
    body = _multipart("alternative", [_text_part("plain", text), shown], seed)
    if files := [_file_part(attachment) for attachment in attachments if not attachment.content_id]:
        body = _multipart("mixed", [body, *files], seed)
    return body


def _text_part(kind: str, pieces: Iterable[Piece]) -> list[Item]:
    lines = f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", ""
    return ["\r\n".join(lines), *lay_out(pieces)]


def _multipart(kind: str, parts: Sequence[Sequence[Item]], seed: bytes) -> list[Item]:
    # "=_" occurs neither in quoted-printable nor in base64 lines, so no body can contain the boundary.
    boundary = f"=_{kind}_{hashlib.blake2b(seed, digest_size=12).hexdigest()}"
    items: list[Item] = [f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n']
    for part in parts:
        items += f"--{boundary}\r\n", *part, "\r\n"
    return [*items, f"--{boundary}--\r\n"]


def _file_part(attachment: Attachment) -> list[Item]:
    main_type, _, subtype = attachment.content_type.partition("/")
    part = MIMEPart(policy=SMTP)
    part.set_content(
        attachment.content,
        maintype=main_type,
        subtype=subtype,
        disposition="inline" if attachment.content_id else "attachment",
        filename=attachment.filename,
        cid=f"<{attachment.content_id}>" if attachment.content_id else None,
    )
    return [part.as_bytes().decode("ascii")]
