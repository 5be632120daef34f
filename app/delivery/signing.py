"""Signing the messages of a plan: by the keys of their From domain, at the cost of two hashes and the signatures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.content.compiled import FIELDS, Joint
from app.delivery.canonical import CanonicalBody, CanonicalHead, canonical_body, canonical_head
from app.domains.dkim import SignatureField, signed_head
from app.domains.signing import Signers

# Folded as `headers` folds: no address is. A phrase before it may hold anything but its own end.
_FROM = re.compile(r"^From:.*(?:\r\n[ \t].*)*@([A-Za-z0-9.\-]+)>?\r\n(?![ \t])", re.MULTILINE)

_SENDER, _REPLY_TO = FIELDS.index("from"), FIELDS.index("reply_to")


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is known ahead of a joint's messages: those with a Reply-To, or those without."""

    head: CanonicalHead | None
    body: CanonicalBody
    domain: str | None
    """The From domain of all of them; None where each has its own."""


@dataclass(frozen=True, slots=True)
class Signing:
    """How the messages of a plan are signed."""

    signers: Signers
    tokens: int
    """How many tokens its messages have."""
    tail: bytes = field(default=b"", repr=False)
    """The tail of its messages."""
    _layouts: dict[tuple[int, bool], _Layout] = field(default_factory=dict, repr=False, compare=False)

    def fields(self, message: bytes, *, joint: Joint, filled: Sequence[str]) -> Sequence[SignatureField]:
        """Return what is to be signed of the message that was joined with `filled`; nothing if its From has no keys.

        Raises SealBrokenError.
        """
        if not self.signers:
            return ()
        replies = bool(filled[self.tokens + _REPLY_TO])
        layout = self._layouts.get((id(joint), replies))  # a plan has two joints at most, and keeps them
        if layout is None:
            layout = self._layouts[id(joint), replies] = self._lay_out(joint, replies=replies)
        domain = layout.domain or _from_domain(filled[self.tokens + _SENDER])
        signer = self.signers.of(domain) if domain else None
        if signer is None:
            return ()
        if layout.head is None:
            names, head = signed_head(message.partition(b"\r\n\r\n")[0])
        else:
            names, head = layout.head.names, layout.head.fill(filled)
        return signer.fields(names, head, layout.body.digest(message, filled))

    def _lay_out(self, joint: Joint, *, replies: bool) -> _Layout:
        missing = None if replies else self.tokens + _REPLY_TO
        other = self._layouts.get((id(joint), not replies))
        return _Layout(
            head=canonical_head(joint, tokens=self.tokens, missing=missing),
            body=other.body if other else canonical_body(joint, tokens=self.tokens, tail=self.tail),
            domain=_from_domain("".join(joint.texts).partition("\r\n\r\n")[0] + "\r\n"),
        )


def _from_domain(head: str) -> str | None:
    found = _FROM.search(head)
    return found[1].lower() if found else None
