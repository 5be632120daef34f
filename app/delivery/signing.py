"""Signing a message at the cost of a hash: its body is brought to canonical form once per mailing, not per message.

Bringing 30 KB to relaxed form (RFC 6376 §3.4.4) takes 600 µs, hashing it 16. What is the same for all recipients is
canonical after loading, and mostly was before: quoted-printable has no white space at line ends, and rarely two spaces
in a row. Then the very bytes that are sent are hashed. The form of a joint whose places might change the white space
around them is not known ahead: such a message is canonicalised as a whole. tests/delivery/test_signing.py holds that
all three come to the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from app.content.compiled import Joint
from app.domains.dkim import Signer, relaxed_body
from app.domains.signing import Signers

_END_OF_HEAD = "\r\n\r\n"
_SPACES = re.compile(r"[ \t]+")
# What follows is folded as `headers` folds: no address is. A phrase before it may hold anything but its own end.
_FROM = re.compile(rb"^From:.*(?:\r\n[ \t].*)*@([A-Za-z0-9.\-]+)>?\r\n(?![ \t])", re.MULTILINE)
_HEAD_OCTETS = 8192


@dataclass(frozen=True, slots=True)
class CanonicalBody:
    """A joint's body in canonical form: `texts` is None where it cannot be laid out ahead."""

    texts: tuple[str, ...] | None
    places: tuple[int, ...]
    values: tuple[int, ...]
    """Those of the places that are no tokens: only there may white space be filled in."""
    same: bool
    """Its texts are those of the message: only what is filled in could make a difference."""
    tail: bytes = field(default=b"", repr=False)
    """What follows the body in every message, in canonical form: its attachments."""

    def digest(self, message: bytes, filled: Sequence[str]) -> bytes:
        """Return the SHA-256 of the canonical body of the message that was joined with `filled`, and of its tail."""
        hashed = sha256(self._canonical(message, filled))
        if self.tail:
            hashed.update(self.tail)  # other threads run meanwhile
        return hashed.digest()

    def _canonical(self, message: bytes, filled: Sequence[str]) -> bytes | memoryview:
        start = message.find(b"\r\n\r\n") + 4
        if self.texts is None:
            return relaxed_body(message[start:], is_all=not self.tail)
        loose = _is_loose("\n".join([filled[place] for place in self.values]))
        if self.same and not loose:
            return memoryview(message)[start:]
        parts = [""] * (2 * len(self.texts) - 1)
        parts[::2] = self.texts
        parts[1::2] = [_relaxed(filled[place]) if loose else filled[place] for place in self.places]
        return "".join(parts).encode("ascii")


def canonical_body(joint: Joint, *, tokens: int, tail: bytes = b"") -> CanonicalBody:
    """Lay out the canonical form of a joint's body; its first `tokens` places are tokens, which have no white space.

    `tail` is the one of every message in canonical form; it begins with a line end, and no line before one is loose.
    """
    unknown = CanonicalBody(None, (), (), same=False, tail=tail)
    first = next((number for number, text in enumerate(joint.texts) if _END_OF_HEAD in text), None)
    if first is None:
        return unknown
    written = (joint.texts[first].partition(_END_OF_HEAD)[2], *joint.texts[first + 1 :])
    places = joint.places[first:]
    # A value or the pixel begins a line of its own and ends with a line break, so white space never meets across it.
    alone = all(
        place < tokens or before == "" or before.endswith("\r\n")
        for place, before in zip(places, written, strict=False)
    )
    ended = written[-1].endswith("\r\n") and not written[-1].endswith("\r\n\r\n") and written[-1] != "\r\n"
    if not (alone and (ended or tail)):
        return unknown
    texts = tuple(map(_relaxed, written))
    values = tuple(place for place in dict.fromkeys(places) if place >= tokens)
    return CanonicalBody(texts, places, values, same=texts == written, tail=tail)


def _relaxed(text: str) -> str:
    return _SPACES.sub(" ", text).replace(" \r\n", "\r\n") if _is_loose(text) else text


def _is_loose(text: str) -> bool:
    """Whether a text may differ from its canonical form. Three searches for words take a tenth of one by pattern."""
    return "  " in text or "\t" in text or " \r" in text


@dataclass(frozen=True, slots=True)
class Signing:
    """How the messages of a plan are signed."""

    signers: Signers
    tokens: int
    """How many tokens its messages have."""
    tail: bytes = field(default=b"", repr=False)
    """The tail of its messages."""
    _bodies: dict[int, CanonicalBody] = field(default_factory=dict, repr=False, compare=False)

    def signer_of(self, message: bytes) -> Signer | None:
        """Return who signs a message, by the domain of its From; None leaves it unsigned."""
        if not self.signers:
            return None
        found = _FROM.search(message, 0, _HEAD_OCTETS)
        return self.signers.of(found[1].decode("ascii").lower()) if found else None

    def sign(self, message: bytes, *, signer: Signer, joint: Joint, filled: Sequence[str]) -> bytes:
        """Return the message with its signatures in front."""
        body = self._bodies.get(id(joint))  # a plan has two joints at most, and keeps them
        if body is None:
            tail = relaxed_body(self.tail) if _is_loose_tail(self.tail) else self.tail
            body = self._bodies[id(joint)] = canonical_body(joint, tokens=self.tokens, tail=tail)
        return signer.sign(message, body_digest=body.digest(message, filled)) + message


def _is_loose_tail(tail: bytes) -> bool:
    """Whether a tail may differ from its canonical form; looked for in a way that takes 10 ms for 20 MB."""
    return any(loose in tail for loose in (b"  ", b"\t", b" \r")) or tail.endswith(b"\r\n\r\n")
