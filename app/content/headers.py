"""Header lines: text by RFC 2047, mailboxes, folding (RFC 5322 §2.2.3). A value can never add a header (D12).

Every function gives whole lines that end with CRLF.
"""

import binascii
import re
from urllib.parse import quote

import idna

from app.content.encoding import clean

LINE = 78
"""Where lines are folded, where they can be (RFC 5322 §2.1.1)."""

LINE_LIMIT = 998
ADDRESS_LIMIT = 254
NAME_LIMIT = 10_000  # characters, as of any merge value; the API takes 200

RFC2231_CHARSET = "utf-8''"

_ENCODED_LINE = 76  # RFC 2047 §2: the limit of a line that holds an encoded word
_WORD_FRAME = len("=?utf-8?b??=")
_PLAIN = re.compile(r"(?:[!-~]++(?: [!-~]++)*)?")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9\-]{0,39}")
_STRUCTURED = re.compile(r"[ -~]+")
# Mail programs disagree about what has to be taken out of quotes, and how often.
_PLAIN_FILENAME = re.compile(r"(?:(?!=\?)[ !#-;=?-\[\]-~])*")
_LIST_ID = re.compile(r"[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)+")
_ATOM = r"[!#-'*+\-/-9=?A-Z^-~]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?")


class UnsendableError(ValueError):
    """One recipient's message cannot be made: a permanent local failure, never a bounce, and nobody else's problem."""


class UnsendableAddressError(UnsendableError):
    """An address that no header can carry: malformed, or with a local part outside ASCII (RFC 6532 is not used).

    The message leaves the address out, since messages end up in logs.
    """

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"{field}: the address must be local-part@domain with an ASCII local part")


class HeaderError(ValueError):
    """A header given for a mailing that cannot be written: which `field`, and what it needs."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field} {message}")


def text(field: str, value: str) -> str:
    """Give a header of free text, such as the subject; encoded and folded where it has to be."""
    value = " ".join(clean(value).split("\n")).replace("\t", " ").strip()
    if "=?" not in value and _PLAIN.fullmatch(value):
        line = f"{field}: {value}"
        if len(line) <= LINE:
            return f"{line}\r\n"
        if folded := _folded(line, first_space=len(field) + 2):
            return folded
    return f"{field}: {encoded_words(value, column=len(field) + 2)}\r\n"


def _folded(line: str, *, first_space: int) -> str | None:
    lines: list[str] = []
    while len(line) > LINE:
        space = line.rfind(" ", 1 if lines else first_space, LINE + 1)
        if space < 0:  # one word is longer than a line
            return None
        lines.append(line[:space])
        line = line[space:]
    return "\r\n".join((*lines, line)) + "\r\n"


def encoded_words(value: str, *, column: int) -> str:
    """Give `value` as base64 words of RFC 2047, folded, the first one at `column`. No word splits a character."""
    data = value.encode("utf-8", "replace")
    words: list[str] = []
    start = 0
    while start < len(data):
        room = (_ENCODED_LINE - (1 if words else column) - _WORD_FRAME) // 4 * 3
        end = start + room
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?b?{binascii.b2a_base64(data[start:end], newline=False).decode('ascii')}?=")
        start = end
    return "\r\n ".join(words)


def structured(field: str, value: str) -> str:
    """Give a header whose value has a syntax of its own and is never encoded, such as Feedback-ID.

    Raises HeaderError for a name that is no field name and for a value outside printable ASCII or over the limit.
    """
    if not _FIELD_NAME.fullmatch(field) or not _STRUCTURED.fullmatch(value):
        raise HeaderError(field, "needs a name of letters, digits and hyphens, and a value in printable ASCII")
    line = f"{field}: {value.strip()}"
    if len(line) > LINE_LIMIT:
        raise HeaderError(field, f"has {len(line)} octets; a line may have {LINE_LIMIT}")
    return f"{line}\r\n"


def mailbox(field: str, name: str, address: str) -> str:
    """Give a header with one mailbox, `"Name" <address>`, or the address alone where there is no name.

    A domain is written in its ASCII form. Raises UnsendableAddressError, UnsendableError for a name without end.
    """
    if len(address) > ADDRESS_LIMIT:  # before anything looks at a megabyte of it
        raise UnsendableAddressError(field)
    if len(name) > NAME_LIMIT:
        raise UnsendableError(f"{field}: the name has {len(name)} characters; at most {NAME_LIMIT} go into a message")
    if not _ADDRESS.fullmatch(address):
        address = _with_ascii_domain(field, address)
    if len(address) > ADDRESS_LIMIT:
        raise UnsendableAddressError(field)
    phrase = _phrase(name, column=len(field) + 2)
    return _named(field, phrase, f"<{address}>") if phrase else f"{field}: {address}\r\n"


def _with_ascii_domain(field: str, address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        ascii_address = f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except idna.IDNAError as error:
        raise UnsendableAddressError(field) from error
    if not _ADDRESS.fullmatch(ascii_address):
        raise UnsendableAddressError(field)
    return ascii_address


def list_id(value: str) -> str:
    """Give List-Id (RFC 2919 §2) of `Newsletter <newsletter.example.com>` or of the identifier alone."""
    name, _, identifier = value.strip().rpartition("<")
    if not _LIST_ID.fullmatch(identifier := identifier.removesuffix(">")):
        raise HeaderError("List-Id", "needs an identifier like newsletter.example.com, in brackets after a name")
    return _named("List-Id", _phrase(name.strip().strip('"'), column=len("List-Id: ")), f"<{identifier}>")


def with_filename(field: str, value: str, *, parameter: str, filename: str) -> str:
    """Give a header like Content-Disposition with a file's name as a parameter, by RFC 2231 where it has to be.

    `value` is the type or disposition, with whatever parameters it has already.
    """
    if _PLAIN_FILENAME.fullmatch(filename) and len(filename) + len(parameter) <= LINE - len(' ="";'):
        return f'{field}: {value};\r\n {parameter}="{filename}"\r\n'
    pieces = _percent_encoded(clean(filename).replace("\n", " "), room=LINE - len(f" {parameter}*99*=utf-8'';"))
    if len(pieces) == 1:
        return f"{field}: {value};\r\n {parameter}*=utf-8''{pieces[0]}\r\n"
    lines = [f"{parameter}*{n}*={'' if n else RFC2231_CHARSET}{piece}" for n, piece in enumerate(pieces)]
    return f"{field}: {value};\r\n " + ";\r\n ".join(lines) + "\r\n"


def _percent_encoded(text: str, *, room: int) -> list[str]:
    """Give a text percent-encoded in pieces of at most `room` characters; none ends within a character."""
    pieces = [""]
    for character in text:
        encoded = quote(character, safe="", errors="replace")
        if len(pieces[-1]) + len(encoded) > room:
            pieces.append("")
        pieces[-1] += encoded
    return pieces


def _phrase(name: str, *, column: int) -> str:
    if name.isascii() and name.isprintable() and len(name) <= LINE - column - 2 and "=?" not in name:
        name = name.strip()
        if not name:
            return ""
        if "\\" in name or '"' in name:
            name = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{name}"'
    name = " ".join(clean(name).split())
    return encoded_words(name, column=column) if name else ""


def _named(field: str, phrase: str, bracketed: str) -> str:
    last_line = len(phrase) - phrase.rfind("\n") - 1 if "\n" in phrase else len(field) + 2 + len(phrase)
    gap = "\r\n " if last_line + 1 + len(bracketed) > LINE else " "
    return f"{field}: {phrase}{gap if phrase else ''}{bracketed}\r\n"
