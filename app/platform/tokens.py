"""Public tokens: what links, pixels and return paths carry instead of ids.

A token holds up to two numbers and a keyed BLAKE2b tag (RFC 7693) over them and its purpose, so that a click token is
no unsubscribe token and none can be made or guessed without the key (D37). 24 octets, 32 base64url characters: one
fixed width, which lets a compiled message leave a hole of known size.
"""

import base64
import hmac
import re
import secrets
from binascii import a2b_base64
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from hashlib import blake2b, sha256
from urllib.parse import unquote

TOKEN_LENGTH = 32
_SUBJECT_OCTETS = 6  # a recipient's id: 2^48
_OBJECT_OCTETS = 5  # a link's id: 2^40
_OBJECT_BITS = 8 * _OBJECT_OCTETS
_OBJECT_MASK = (1 << _OBJECT_BITS) - 1
_TO_BASE64 = bytes.maketrans(b"-_+/", b"+/  ")
_TAG_OCTETS = 13  # 104 bits; guessing one at 100k requests a second takes 10^18 years
_LONGEST_MANGLED = 600  # characters that are searched for a token: gateways add some hundred at most
_ENCODED_TIMES = 3  # percent-encodings over one another; two are seen in the wild
# What mail programs put into a long line: quoted-printable's soft breaks, white space, invisible characters.
_WITHIN = re.compile("[=\\s\\u00ad\\u200b-\\u200f\\u2060\\ufeff]+")
_NO_TOKEN = re.compile("[^A-Za-z0-9_-]+")
_SHORT_TAG_OCTETS = 9  # 72 bits for return paths, whose local part is limited to 64 characters


class Purpose(Enum):
    """What a token is for; part of its tag."""

    CLICK = b"click"
    OPEN = b"open"
    VIEW = b"view"
    UNSUBSCRIBE = b"unsubscribe"
    PREFERENCES = b"preferences"
    RETURN_PATH = b"return"
    MESSAGE = b"message"


class InvalidToken(ValueError):  # noqa: N818 - a value, named as callers speak of it
    """The token is truncated, altered, or was made for something else."""


@cache
def _prepared_hash(secret: bytes, purpose: Purpose) -> blake2b:
    """Return a keyed hash to copy: nothing may be fed to it."""
    return blake2b(digest_size=_TAG_OCTETS, key=secret, person=purpose.value)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Makes and reads tokens under one secret."""

    secret: bytes

    @classmethod
    def from_secret(cls, secret_key: str) -> "TokenKey":
        """Derive the key from the service's secret."""
        return cls(sha256(b"budstikke tokens\0" + secret_key.encode()).digest())

    def make(self, purpose: Purpose, subject: int, obj: int = 0) -> str:
        """Return the 32-character token of a recipient (`subject`) and, for clicks, a link (`obj`)."""
        return self.maker([(purpose, obj)])(subject)[0]

    def maker(self, wanted: Iterable[tuple[Purpose, int]]) -> Callable[[int], list[str]]:
        """Return what makes a recipient's tokens for several (purpose, object), in their order.

        Keyed hashes are prepared once and copied, and one base64 serves all: 23 tokens take 15 µs instead of 39.
        """
        blank = {purpose: _prepared_hash(self.secret, purpose) for purpose in Purpose}
        slots = [(blank[purpose], obj.to_bytes(_OBJECT_OCTETS, "big")) for purpose, obj in wanted]

        def make(subject: int) -> list[str]:
            head = subject.to_bytes(_SUBJECT_OCTETS, "big")
            octets: list[bytes] = []
            for prepared, tail in slots:
                payload = head + tail
                tagged = prepared.copy()
                tagged.update(payload)
                octets += (payload, tagged.digest())
            text = base64.urlsafe_b64encode(b"".join(octets)).decode("ascii")
            return [text[start : start + TOKEN_LENGTH] for start in range(0, len(text), TOKEN_LENGTH)]

        return make

    def read(self, purpose: Purpose, token: str) -> tuple[int, int]:
        """Return (subject, object) of a token; raises InvalidToken for anything not made by `make`."""
        if len(token) != TOKEN_LENGTH:
            raise InvalidToken(f"a token has {TOKEN_LENGTH} characters, not {len(token)}")
        try:
            # Straight to what base64.b64decode would call: a third of the time, for every click.
            octets = a2b_base64(token.encode("ascii").translate(_TO_BASE64), strict_mode=True)
        except ValueError as error:
            raise InvalidToken("a token consists of letters, digits, - and _") from error
        payload = octets[:-_TAG_OCTETS]
        expected = _prepared_hash(self.secret, purpose).copy()
        expected.update(payload)
        if not hmac.compare_digest(octets[-_TAG_OCTETS:], expected.digest()):
            raise InvalidToken("the token's tag does not fit: it was altered or made elsewhere")
        numbers = int.from_bytes(payload, "big")
        return numbers >> _OBJECT_BITS, numbers & _OBJECT_MASK

    def read_mangled(self, purpose: Purpose, text: str) -> tuple[int, int]:
        """Return (subject, object) of a token as mail programs and gateways leave it; raises InvalidToken.

        `text` is what follows a path's prefix, percent-decoded once. What is put right: signs before and behind it
        (brackets, a full stop, `.gif`, `&amp;utm_…`), white space and soft line breaks in it, further percent-encoding,
        and a last `-` or `_` that was taken for punctuation. Nothing is guessed: the tag says whether it is ours. What
        lost its case cannot be put right: the case is a fifth of the token.
        """
        if len(text) == TOKEN_LENGTH:
            with suppress(InvalidToken):
                return self.read(purpose, text)
        plain = text[:_LONGEST_MANGLED]
        for _ in range(_ENCODED_TIMES):
            for run in _NO_TOKEN.split(_WITHIN.sub("", plain)) + _NO_TOKEN.split(plain):
                for candidate in {run[:TOKEN_LENGTH], run[-TOKEN_LENGTH:], run + "-", run + "_"}:
                    if len(candidate) == TOKEN_LENGTH:
                        with suppress(InvalidToken):
                            return self.read(purpose, candidate)
            if "%" not in plain:
                break
            plain = unquote(plain)
        raise InvalidToken("there is no token of ours in it")

    def make_return_path(self, recipient_id: int) -> str:
        """Return the local part of a recipient's bounce address (VERP), base32: mail systems may change its case."""
        payload = recipient_id.to_bytes(_SUBJECT_OCTETS, "big")
        tag = self._short_tag(payload)
        return "b+" + base64.b32encode(payload + tag).decode("ascii").lower()

    def read_return_path(self, local_part: str) -> int:
        """Return the recipient's id of a bounce address's local part; raises InvalidToken."""
        prefix, _, token = local_part.lower().partition("+")
        if prefix != "b":
            raise InvalidToken("a return path starts with b+")
        try:
            octets = base64.b32decode(token.upper())
        except ValueError as error:  # binascii.Error is one, and so is a token that is not ASCII
            raise InvalidToken("a return path's token is base32") from error
        if len(octets) != _SUBJECT_OCTETS + _SHORT_TAG_OCTETS:
            raise InvalidToken("the return path's token has the wrong length")
        payload, tag = octets[:_SUBJECT_OCTETS], octets[_SUBJECT_OCTETS:]
        if not hmac.compare_digest(tag, self._short_tag(payload)):
            raise InvalidToken("the return path's tag does not fit")
        return int.from_bytes(payload, "big")

    def _short_tag(self, payload: bytes) -> bytes:
        person = Purpose.RETURN_PATH.value
        return blake2b(payload, digest_size=_SHORT_TAG_OCTETS, key=self.secret, person=person).digest()


def erasure_key(secret_key: str) -> str:
    """Return the key under which erased addresses are hashed (D78), in hex.

    A key of its own, so that the database, which sees it in each session, learns nothing that makes tokens. It follows
    from the service's secret: with another secret, erased addresses are no longer recognised.
    """
    secret = TokenKey.from_secret(secret_key).secret
    return blake2b(digest_size=32, key=secret, person=b"erased address").hexdigest()


API_KEY_PREFIX = "bsk_"


def new_api_key() -> str:
    """Return a fresh API key: 256 random bits behind a prefix that secret scanners recognise."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def hash_api_key(api_key: str) -> bytes:
    """Return the hash an API key is stored and looked up by; keys are random, so one SHA-256 is enough."""
    return sha256(api_key.encode()).digest()
