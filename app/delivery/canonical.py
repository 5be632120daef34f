"""Canonical forms of a compiled message (RFC 6376 §3.4), laid out once per mailing with its places left open.

Bringing 30 KB to relaxed form takes 600 µs, hashing it 15; some fifteen header fields take 15 µs, filling three of them
2. What is the same for all recipients is canonical after loading, and the body mostly was before: quoted-printable has
no white space at line ends, and rarely two spaces in a row. Then the very bytes that are sent are hashed. What cannot
be laid out ahead is looked at as a whole. tests/delivery/test_signing.py holds that all of it comes to the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from app.content.compiled import FIELDS, Joint
from app.domains.dkim import relaxed_body, relaxed_fields, relaxed_value, signed_names

_END_OF_HEAD = "\r\n\r\n"
_SPACES = re.compile(r"[ \t]+")
_LINES = {"to": "To", "subject": "Subject", "from": "From", "reply_to": "Reply-To"}
"""Those of FIELDS that are whole lines; the others stand within one, and have no loose white space."""
_MARKS = 0xE000  # characters for private use stand in for places: none is in a header
_MARK = re.compile("([\ue000-\uf8ff])")


@dataclass(frozen=True, slots=True)
class CanonicalHead:
    """The signed fields of a joint in canonical form, each with its CRLF."""

    names: str
    """What they are called, as `h=` has it."""
    joint: Joint
    lines: tuple[tuple[int, int], ...]
    """The places that are filled with whole lines, and where in them the value begins."""

    def fill(self, filled: Sequence[str]) -> bytes:
        """Return the fields of the message that is joined from `filled`."""
        values = list(filled)
        for place, start in self.lines:
            values[place] = relaxed_value(values[place][start:-2].replace("\r\n", ""))
        return self.joint.fill(values)


def canonical_head(joint: Joint, *, tokens: int, missing: int | None = None) -> CanonicalHead | None:
    """Lay out the signed fields of a joint's messages; the first `tokens` of its places are tokens.

    `missing` is the place of a field that the messages do not have. None for a field that is there more than once: that
    is better looked at as a whole.
    """
    number = _first_of_body(joint)
    if number is None:
        return None
    titles = {tokens + FIELDS.index(name): title for name, title in _LINES.items()}
    places = joint.places[:number]
    head = ""
    for mark, (text, place) in enumerate(zip(joint.texts, places, strict=False), start=_MARKS):
        head += text
        if place != missing:
            head += f"{titles[place]}: {chr(mark)}\r\n" if place in titles else chr(mark)
    names, lines = relaxed_fields(head + joint.texts[number].partition(_END_OF_HEAD)[0])
    if len(set(names)) < len(names):
        return None
    texts = _MARK.split("".join(f"{line}\r\n" for line in lines))
    found = tuple(places[ord(mark) - _MARKS] for mark in texts[1::2])
    whole = tuple((place, len(titles[place]) + 1) for place in found if place in titles)
    return CanonicalHead(signed_names(tuple(names)), Joint(tuple(texts[::2]), found), whole)


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

    `tail` is what follows it in every message.
    """
    if _is_loose_tail(tail):
        tail = relaxed_body(tail)
    unknown = CanonicalBody(None, (), (), same=False, tail=tail)
    first = _first_of_body(joint)
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


def _first_of_body(joint: Joint) -> int | None:
    """Return which text of a joint has the end of the head in it."""
    return next((number for number, text in enumerate(joint.texts) if _END_OF_HEAD in text), None)


def _relaxed(text: str) -> str:
    return _SPACES.sub(" ", text).replace(" \r\n", "\r\n") if _is_loose(text) else text


def _is_loose(text: str) -> bool:
    """Whether a text may differ from its canonical form. Three searches for words take a tenth of one by pattern."""
    return "  " in text or "\t" in text or " \r" in text


def _is_loose_tail(tail: bytes) -> bool:
    """Whether a tail may differ from its canonical form; looked for in a way that takes 10 ms for 20 MB."""
    return any(loose in tail for loose in (b"  ", b"\t", b" \r")) or tail.endswith(b"\r\n\r\n")
