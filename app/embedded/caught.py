"""Reading caught mail out of its Maildir, trusting nothing in it."""

import heapq
import os
import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from html.parser import HTMLParser
from pathlib import Path

# The names that catcher.MaildirHandler gives. They begin with the time, so their order is the order of arrival.
NAME = re.compile(r"\d{19}\.\d{1,10}_\d{1,10}\.catcher", re.ASCII)
_HEAD_SIZE = 64 * 1024  # bytes; as much header as a list shows at most
_LINKS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Listed:
    """A caught message as the list shows it."""

    name: str
    sender: str
    recipients: str
    subject: str
    date: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list, newest first; `number` counts from 1."""

    messages: tuple[Listed, ...]
    number: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True)
class Caught:
    """A caught message as its own page shows it; `links` are the web addresses of the HTML part."""

    listed: Listed
    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    links: tuple[str, ...]
    size: int


def list_page(maildir: Path, *, number: int, per_page: int = 50) -> Page:
    """Return a page of the caught mail, the nearest one there is if there are not so many."""
    with os.scandir(maildir / "new") as entries:
        names = [entry.name for entry in entries if NAME.fullmatch(entry.name)]
    pages = max(1, -(-len(names) // per_page))
    number = min(max(1, number), pages)
    newest = heapq.nlargest(number * per_page, names)[(number - 1) * per_page :]
    heads = [(name, _read(maildir, name, limit=_HEAD_SIZE)) for name in newest]
    listed = tuple(_listed(name, BytesHeaderParser().parsebytes(head)) for name, head in heads if head is not None)
    return Page(listed, number, pages, len(names))


def source(maildir: Path, name: str) -> bytes | None:
    """Return a caught file's bytes, or None when there is no such message; never a file outside the Maildir."""
    return _read(maildir, name, limit=-1)


def message(maildir: Path, name: str) -> Caught | None:
    """Return a caught message taken apart, or None when there is no such message."""
    raw = source(maildir, name)
    if raw is None:
        return None
    try:
        parsed = BytesParser().parsebytes(raw)
        parts = [part for part in parsed.walk() if not part.is_multipart()]
    except RecursionError:
        # Parts nested a thousand deep, for mischief; the source can still be downloaded.
        parsed = BytesHeaderParser().parsebytes(raw)
        parts = []
    html = _first(parts, "text/html")
    return Caught(
        listed=_listed(name, parsed),
        headers=tuple((printable(field), _header_text(str(value))) for field, value in parsed.items()),
        text=_first(parts, "text/plain"),
        html=html,
        links=_web_links(html) if html else (),
        size=len(raw),
    )


def printable(text: str) -> str:
    """Return the text with undecodable bytes, which the mail parser keeps as lone surrogates, made visible."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read(maildir: Path, name: str, *, limit: int) -> bytes | None:
    if not NAME.fullmatch(name):
        return None
    try:
        with os.fdopen(os.open(maildir / "new" / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read(limit)
    except OSError:  # deleted meanwhile, or a link that someone laid there
        return None


def _listed(name: str, parsed: Message) -> Listed:
    return Listed(
        name=name,
        sender=_header_text(str(parsed.get("From", parsed.get("X-Catcher-From", "")))),
        recipients=", ".join(_header_text(str(value)) for value in parsed.get_all("X-Catcher-Rcpt", [])),
        subject=_header_text(str(parsed.get("Subject", ""))),
        date=_header_text(str(parsed.get("Date", ""))),
    )


def _header_text(value: str) -> str:
    """Return a header's text, encoded words decoded (RFC 2047); as it stands when they are broken."""
    unfolded = value.replace("\r", "").replace("\n", "")
    try:
        text = str(make_header(decode_header(unfolded)))
    except (HeaderParseError, LookupError, ValueError):
        text = unfolded
    return printable(text)


def _first(parts: list[Message], content_type: str) -> str | None:
    for part in parts:
        if part.get_content_type() == content_type and part.get_content_disposition() != "attachment":
            payload = part.get_payload(decode=True)
            return _decoded(payload if isinstance(payload, bytes) else b"", part.get_content_charset("utf-8"))
    return None


def _decoded(payload: bytes, charset: str) -> str:
    try:
        return payload.decode(charset, "replace")
    except (LookupError, ValueError):
        return payload.decode("utf-8", "replace")


class _Links(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the web addresses of `a` and `area`, each once, in their order."""
        if tag in {"a", "area"} and len(self.found) < _LINKS_SHOWN:
            for field, value in attrs:
                if field == "href" and value and re.match(r"https?://", value, re.IGNORECASE):
                    self.found[printable(value)] = None


def _web_links(html: str) -> tuple[str, ...]:
    reader = _Links()
    try:
        reader.feed(html)
    except AssertionError:  # html.parser gives up so on some malformed declarations
        return tuple(reader.found)
    return tuple(reader.found)
