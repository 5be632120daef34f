"""DKIM signatures (RFC 6376): relaxed/relaxed, rsa-sha256, and ed25519-sha256 beside it (RFC 8463).

Written for speed: what is done per message is one hash over the body, a pass over some fifteen header fields, and the
signatures. dkimpy and opendkim verify what comes out, in the tests.
"""

import base64
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

SIGNED = frozenset((
    "from", "sender", "to", "cc", "subject", "date", "message-id", "reply-to", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding", "content-language", "auto-submitted", "list-id",
    "list-unsubscribe", "list-unsubscribe-post", "feedback-id", "cfbl-address", "cfbl-feedback-id",
))  # fmt: skip
"""The header fields that are signed where a message has them. RFC 8058 §4 and RFC 9477 §3.1 ask for theirs."""

_LINE = 76
_SPACES = re.compile(rb"[ \t]+")
_SPACES_OF_TEXT = re.compile(r"[ \t]+")
_FOLD = re.compile(r"\r\n(?=[ \t])")
_PADDING, _SHA256 = PKCS1v15(), SHA256()

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def relaxed_body(body: bytes, *, is_all: bool = True) -> bytes:
    """Return a body in relaxed canonical form (RFC 6376 §3.4.4), or its beginning if it is not all."""
    body = _SPACES.sub(b" ", body).replace(b" \r\n", b"\r\n")
    if not is_all:
        return body
    body = body.removesuffix(b" ")
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n" if end else b""


def relaxed_fields(head: str) -> tuple[list[str], list[str]]:
    """Return names and relaxed canonical forms (RFC 6376 §3.4.2) of a header section's signed fields, in their order.

    A field that is there more than once comes last one first (RFC 6376 §5.4.2).
    """
    head = head.replace("\r\n ", " ")
    if "\r\n\t" in head:
        head = head.replace("\r\n\t", "\t")
    names: list[str] = []
    lines: list[str] = []
    for field_line in head.split("\r\n"):
        name, line = relaxed_field(field_line)
        if name:
            names.append(name)
            lines.append(line)
    if len(set(names)) < len(names):
        found: dict[str, list[str]] = {}
        for name, line in zip(names, lines, strict=True):
            found.setdefault(name, []).append(line)
        lines = [found[name].pop() for name in names]
    return names, lines


@lru_cache(maxsize=1024)
def relaxed_field(line: str) -> tuple[str, str]:
    """Return an unfolded field's name, empty for one that is not signed, and its canonical form without CRLF.

    Cached: most fields are the same for all messages of a mailing, and then cost a tenth.
    """
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t").lower()
    if not colon or name not in SIGNED:
        return "", ""
    # `split` knows more kinds of white space than the RFC does, but none of them is printable.
    value = " ".join(value.split()) if value.isprintable() else _SPACES_OF_TEXT.sub(" ", value).strip(" ")
    return name, f"{name}:{value}"


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A private key, and where its public half is published: `selector`._domainkey.`domain`."""

    domain: str
    selector: str
    private: PrivateKey = field(repr=False)

    @property
    def is_rsa(self) -> bool:
        """Whether it is an RSA key: slow to sign with, and other threads run meanwhile."""
        return isinstance(self.private, RSAPrivateKey)

    def start(self, second: int, names: str) -> str:
        """Return a signature's field up to the body's hash."""
        algorithm = "rsa-sha256" if self.is_rsa else "ed25519-sha256"
        return (
            f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n"
            f" d={self.domain}; s={self.selector}; t={second};\r\n h={names};\r\n bh="
        )

    def sign(self, hashed: bytes) -> bytes:
        """Return the signature of a header hash's input."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(hashed, _PADDING, _SHA256)
        return self.private.sign(sha256(hashed).digest())  # RFC 8463 §3: the hash is what PureEdDSA signs


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with every key it has, each in a field of its own; none covers another's."""

    keys: tuple[SigningKey, ...]

    @property
    def is_slow(self) -> bool:
        """Whether signing takes long enough that it should be done ahead, in another thread."""
        return any(key.is_rsa for key in self.keys)

    def sign(self, message: bytes, *, body_digest: bytes | None = None, second: int | None = None) -> bytes:
        """Return the fields to put in front of a message, whose lines end with CRLF.

        `body_digest` is the SHA-256 of the canonical body, where the caller has it; `second` the time to claim.
        """
        end = message.find(b"\r\n\r\n")
        if end < 0:  # no body
            end = len(message.removesuffix(b"\r\n"))
        if body_digest is None:
            body_digest = sha256(relaxed_body(message[end + 4 :])).digest()
        present, lines = relaxed_fields(message[:end].decode("latin-1"))
        names, hashed = _names(tuple(present)), "\r\n".join(lines)
        digest = base64.b64encode(body_digest).decode("ascii")
        second = int(time.time()) if second is None else second
        return b"".join(self._field(key, second, names, digest, hashed) for key in self.keys)

    @staticmethod
    def _field(key: SigningKey, second: int, names: str, digest: str, hashed: str) -> bytes:
        start, canonical = _starts(key, second, names)
        signature = key.sign(f"{hashed}\r\n{canonical}{digest}; b=".encode("latin-1"))
        text = base64.b64encode(signature).decode("ascii")
        folded = "\r\n ".join(text[at : at + _LINE - 4] for at in range(0, len(text), _LINE - 4))
        return f"{start}{digest};\r\n b={folded}\r\n".encode("ascii")


@lru_cache(maxsize=256)
def _names(present: tuple[str, ...]) -> str:
    """Return `h=`, folded. From is named once more than it is there, so that a second one breaks the signature."""
    lines, line = [], present[0] if present else "from"
    for name in (*present[1:], "from") if present else ():
        if len(line) + len(name) > _LINE - 5:
            lines.append(f"{line}:")
            line = name
        else:
            line = f"{line}:{name}"
    return "\r\n  ".join([*lines, line])


@lru_cache(maxsize=256)
def _starts(key: SigningKey, second: int, names: str) -> tuple[str, str]:
    """Return a signature's field up to the body's hash, as it is sent and in canonical form."""
    start = key.start(second, names)
    name, _, value = start.partition(":")
    return start, f"{name.lower()}:{_SPACES_OF_TEXT.sub(' ', _FOLD.sub('', value)).strip(' ')}"
