"""DKIM signatures (RFC 6376): relaxed/relaxed, rsa-sha256, and ed25519-sha256 beside it (RFC 8463).

Written for speed: what is done per message is one hash over the body, one over the header fields, and the signatures.
dkimpy and opendkim verify what comes out, in the tests.
"""

import re
import time
from binascii import b2a_base64
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
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
_PADDING, _DIGEST = PKCS1v15(), Prehashed(SHA256())

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def sign_digest(private: PrivateKey, digest: bytes) -> bytes:
    """Return the signature of a header hash. RFC 8463 §3: Ed25519 signs the hash as if it were the message."""
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(digest)
    return private.sign(digest, _PADDING, _DIGEST)


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


def relaxed_field(line: str) -> tuple[str, str]:
    """Return an unfolded field's name, empty for one that is not signed, and its canonical form without CRLF."""
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t").lower()
    if not colon or name not in SIGNED:
        return "", ""
    return name, f"{name}:{relaxed_value(value)}"


def relaxed_value(value: str) -> str:
    """Return an unfolded field's value in relaxed canonical form."""
    # `split` knows more kinds of white space than the RFC does, but none of them is printable.
    return " ".join(value.split()) if value.isprintable() else _SPACES_OF_TEXT.sub(" ", value).strip(" ")


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A private key, and where its public half is published: `selector`._domainkey.`domain`."""

    domain: str
    selector: str
    private: PrivateKey = field(repr=False)
    is_rsa: bool = field(init=False)
    """Whether it is an RSA key: slow to sign with, and other threads run meanwhile."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_rsa", isinstance(self.private, RSAPrivateKey))

    def start(self, second: int, names: str) -> str:
        """Return a signature's field up to the body's hash."""
        algorithm = "rsa-sha256" if self.is_rsa else "ed25519-sha256"
        return (
            f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n"
            f" d={self.domain}; s={self.selector}; t={second};\r\n h={names};\r\n bh="
        )

    def sign(self, digest: bytes) -> bytes:
        """Return the signature of a header hash."""
        return sign_digest(self.private, digest)


@dataclass(frozen=True, slots=True)
class SignatureField:
    """A signature's field of one message, complete but for the signature itself."""

    key: SigningKey
    text: str
    digest: bytes
    """The header hash, which is what is signed."""

    def sign(self) -> bytes:
        """Return the field with its signature."""
        return self.with_signature(self.key.sign(self.digest))

    def with_signature(self, signature: bytes) -> bytes:
        """Return the field with the signature that the key made of the digest."""
        text = b2a_base64(signature, newline=False).decode("ascii")
        folded = "\r\n ".join([text[at : at + _LINE - 4] for at in range(0, len(text), _LINE - 4)])
        return f"{self.text};\r\n b={folded}\r\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with every key it has, each in a field of its own; none covers another's."""

    keys: tuple[SigningKey, ...]

    @property
    def is_slow(self) -> bool:
        """Whether signing takes long enough that it should be done ahead, in another thread."""
        return any(key.is_rsa for key in self.keys)

    def sign(self, message: bytes) -> bytes:
        """Return the fields to put in front of a message, whose lines end with CRLF."""
        end = message.find(b"\r\n\r\n")
        if end < 0:  # no body
            end = len(message.removesuffix(b"\r\n"))
        fields = self.fields(*signed_head(message[:end]), sha256(relaxed_body(message[end + 4 :])).digest())
        return b"".join(field.sign() for field in fields)

    def fields(self, names: str, head: bytes, body_digest: bytes) -> list[SignatureField]:
        """Return what is to be signed of a message.

        `names` and `head` as `signed_head` returns them; `body_digest` is the SHA-256 of the canonical body.
        """
        second, hashed = int(time.time()), b2a_base64(body_digest, newline=False).decode("ascii")
        fields = []
        for key in self.keys:
            start, canonical = _starts(key, second, names)
            digest = sha256(b"%b%b%b; b=" % (head, canonical, hashed.encode("ascii"))).digest()
            fields.append(SignatureField(key, start + hashed, digest))
        return fields


def signed_head(head: bytes) -> tuple[str, bytes]:
    """Return `h=` and the canonical form of a header section's signed fields, each with its CRLF."""
    present, lines = relaxed_fields(head.decode("latin-1"))
    return signed_names(tuple(present)), "".join([f"{line}\r\n" for line in lines]).encode("latin-1")


@lru_cache(maxsize=256)
def signed_names(present: tuple[str, ...]) -> str:
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
def _starts(key: SigningKey, second: int, names: str) -> tuple[str, bytes]:
    """Return a signature's field up to the body's hash, as it is sent and in canonical form."""
    start = key.start(second, names)
    name, _, value = start.partition(":")
    return start, f"{name.lower()}:{_SPACES_OF_TEXT.sub(' ', _FOLD.sub('', value)).strip(' ')}".encode("ascii")
