"""What a sender needs to know of a dispatch, and how one recipient's message is made from it."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from app.content.compiled import CompiledMessage, RecipientData, TokenSlot
from app.content.headers import UnsendableError
from app.delivery.merge_data import values_of
from app.delivery.signing import Signing
from app.delivery.smtp.feed import Stuffed
from app.domains.dkim import SignatureField
from app.domains.names import domain_of
from app.domains.signing import Signers
from app.platform.tokens import Purpose, TokenKey

_PURPOSES = {
    "link": Purpose.CLICK,
    "open": Purpose.OPEN,
    "unsubscribe": Purpose.UNSUBSCRIBE,
    "view": Purpose.VIEW,
    "preferences": Purpose.PREFERENCES,
}

NOBODY = 0  # the recipient in the tokens of tests: links work, nothing is counted (D15, D42)


@dataclass(slots=True)
class Task:
    """One recipient in a sender's hands."""

    recipient_id: int
    seq: int
    attempt: int
    email: str
    chunk: Any = field(repr=False)
    row: Any = field(repr=False)
    """The recipient's merge data, until its message is made."""
    content: Stuffed | None = field(default=None, repr=False)
    started: bool = False
    tried_for: float | None = None
    """Seconds since it failed for now for the first time (D32)."""
    is_suspect: bool = False
    """It was refused for a fault of ours before (suspects.py)."""
    barred: bool = False
    """It was no longer ready when its window was committed: blocked meanwhile (D47)."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A recipient's message before it is signed, and what is to be signed of it."""

    message: bytes
    fields: Sequence[SignatureField]


@dataclass(frozen=True, slots=True)
class Plan:
    """The frozen plan of a send, as a sender holds it in memory."""

    dispatch_id: int
    mailing_id: int
    compiled: CompiledMessage
    link_ids: tuple[int, ...]
    tokens: TokenKey
    message_domain: str
    return_domain: str
    track_unknown: bool
    """Whether persons who were never asked are tracked (D43)."""
    signers: Signers = field(default_factory=Signers, repr=False, compare=False)
    """Who signs mail from which domain (DKIM)."""
    tail: bytes = field(default=b"", repr=False)
    """The end of every message, with its attachments: made once (`attached.make_tail`), shared by all."""
    _signing: Signing = field(init=False, repr=False, compare=False)
    _make_tokens: Callable[[int], list[str]] = field(init=False, repr=False, compare=False)
    """A recipient's tokens: that of the Message-ID, then those of the message's slots."""

    def __post_init__(self) -> None:
        slots = [(_PURPOSES[slot.kind], self._object(slot)) for slot in self.compiled.token_slots]
        object.__setattr__(self, "_make_tokens", self.tokens.maker([(Purpose.MESSAGE, 0), *slots]))
        object.__setattr__(self, "_signing", Signing(self.signers, tokens=len(slots), tail=self.tail))

    @property
    def tags(self) -> tuple[str, ...]:
        """The merge tags to read, in the order of the SELECT's columns."""
        return tuple(sorted(self.compiled.tags))

    @property
    def sender_domain(self) -> str | None:
        """The From domain of all messages, or None where each recipient's may be another one (D5)."""
        return None if self.compiled.sender_contact else _domain(self.compiled.sender[1])

    def from_domain(self, row: Any, tags: tuple[str, ...]) -> str:
        """Return the From domain of a row of `merge_data.select_recipients`."""
        values = values_of(row, tags) if self.compiled.sender_contact else {}
        return _domain(self.compiled.sender_for(values)[1])

    @property
    def signs_slowly(self) -> bool:
        """Whether messages should be made ahead, in other threads: signed with RSA, or by whom is not known."""
        if not self.signers or self.sender_domain is None:
            return bool(self.signers)
        domain = domain_of(self.compiled.sender[1])
        signer = self.signers.of(domain) if domain else None
        return signer is not None and signer.is_slow

    def return_path(self, recipient_id: int) -> str:
        """Return the recipient's own bounce address (VERP, D57)."""
        return f"{self.tokens.make_return_path(recipient_id)}@{self.return_domain}"

    def render(self, row: Any, tags: tuple[str, ...], *, as_recipient: int | None = None) -> Stuffed:
        """Return the message of a row of `merge_data.select_recipients`, signed if its From domain has keys.

        `as_recipient` NOBODY makes the tokens of a test. Raises UnsendableError, SealBrokenError.
        """
        unsigned = self.fill(row, tags, as_recipient=as_recipient)
        return self.finish(unsigned, [field.key.sign(field.digest) for field in unsigned.fields])

    def fill(self, row: Any, tags: tuple[str, ...], *, as_recipient: int | None = None) -> Unsigned:
        """Return what `render` returns before it is signed; raises as `render` does."""
        recipient_id: int = row.id if as_recipient is None else as_recipient
        data = self.data(row, tags, recipient_id=recipient_id)
        joint, filled = self.compiled.fill(data, **self.allowed(row))
        message = joint.fill(filled)
        return Unsigned(message, self._signing.fields(message, joint=joint, filled=filled))

    def finish(self, unsigned: Unsigned, signatures: Iterable[bytes]) -> Stuffed:
        """Return a message ready to be sent, with the signatures of its fields."""
        fields = [field.with_signature(made) for field, made in zip(unsigned.fields, signatures, strict=True)]
        # No line of it begins with a dot: tests/content/test_rendering.py, test_every_line_can_be_sent_as_it_is.
        return Stuffed(unsigned.message, b"".join(fields), self.tail)

    def allowed(self, row: Any) -> dict[str, bool]:
        """Return what may be tracked of a row's recipient (D43)."""
        return {"clicks": self._allows(row.track_clicks), "opens": self._allows(row.track_opens)}

    def data(self, row: Any, tags: tuple[str, ...], *, recipient_id: int) -> RecipientData:
        """Return what is filled in for a row of `merge_data.select_recipients`."""
        own = self._make_tokens(row.id)
        tokens = own if recipient_id == row.id else self._make_tokens(recipient_id)
        return RecipientData(
            values=values_of(row, tags),
            to_name=row.name,
            to_email=row.email,
            message_id=f"<{own[0]}@{self.message_domain}>",
            date=_date(int(time.time())),
            tokens=tokens[1:],
        )

    def _object(self, slot: TokenSlot) -> int:
        return self.link_ids[slot.position] if slot.kind == "link" else 0

    def _allows(self, consent: bool | None) -> bool:  # noqa: FBT001 - it is the answer of one column
        return self.track_unknown if consent is None else consent


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """Return a time as RFC 5322 §3.3 writes it."""
    return formatdate(second)


__all__ = ["NOBODY", "Plan", "Task", "UnsendableError"]
