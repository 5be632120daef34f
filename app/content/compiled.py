"""A compiled message: what one recipient's bytes are joined from.

It is frozen with the mailing's dispatch: every sender loads it from its row and renders from memory. Rendering fills
every other item of a list and joins it once.
"""

import email
import email.policy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import lru_cache
from operator import itemgetter
from typing import Any, Self

from app.content import headers
from app.content.attached import FilePlace, Tail, tail_size
from app.content.encoding import encode_value
from app.content.headers import UnsendableError
from app.content.links import TrackedLink, value_of
from app.content.merge_tags import Contact, Parts, is_empty, parse_stored, unparse
from app.content.pieces import TokenKind, Value

FIELDS = ("to", "subject", "date", "message_id", "from", "reply_to", "pixel")
"""What is filled between the tokens and the values, in this order: header lines, or a header's value, or markup."""


@dataclass(frozen=True, slots=True)
class TokenSlot:
    """A token the recipient needs: of a link (by its position), or of one of the pages."""

    kind: TokenKind
    position: int = 0


VALUE_LIMIT = 10_000
"""Characters of one merge value; the API takes 2 000 at most, so a longer one came in some other way.

At this length laying it out takes 3 ms, during which a sender's other connections wait; a megabyte would take 0.3 s.
"""


class OversizedValueError(UnsendableError):
    """A merge value that is too long for a message. Cut, it would be a message that nobody wrote: it is not sent."""

    def __init__(self, tag: str, length: int) -> None:
        super().__init__(f"the value of {tag} has {length} characters; at most {VALUE_LIMIT} go into a message")


FORMAT = 1
"""Raised when stored messages of an older form can no longer be read."""


@dataclass(frozen=True, slots=True)
class RecipientData:
    """What is filled in for one recipient.

    `values` are by tag name; `tokens` are 32 characters each, in the order of `CompiledMessage.token_slots`.
    `message_id` has its angle brackets; `date` is in the form of RFC 5322 §3.3; both are trusted to be well-formed.
    """

    values: Mapping[str, str]
    to_name: str
    to_email: str
    message_id: str
    date: str
    tokens: Sequence[str]


@dataclass(frozen=True, slots=True)
class Joint:
    """A message with places left open: `texts` has one item more than `places`, which index what is filled in."""

    texts: tuple[str, ...]
    places: tuple[int, ...]
    _parts: list[str] = field(init=False, repr=False, compare=False)
    _pick: "itemgetter[Any]" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = [""] * (2 * len(self.texts) - 1)
        parts[::2] = self.texts
        object.__setattr__(self, "_parts", parts)
        object.__setattr__(self, "_pick", itemgetter(*self.places))

    def fill(self, filled: Sequence[str]) -> bytes:
        """Join texts and fillings; everything is ASCII by then."""
        parts = self._parts.copy()
        parts[1::2] = self._pick(filled)
        return "".join(parts).encode("ascii")


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """A message of which only places are left open.

    `subject` is empty where it is the same for all, and so among the texts of the message. `token_slots` are those of
    the links, then of the pixel if there is one, then of the pages. `tags` are the recipient's merge tags it uses: what
    must be fetched. `undefaulted` are those of them that are used somewhere without a default; `missing` are the
    mailing's own tags without value and default. `pixel` is the markup before and after the token. `size` is in octets
    as sent, without attachments. `plain` has the links as they were written, for recipients whose clicks are not
    tracked (D43); None if no link differs. `tail` is what follows the HTML where files are attached.

    `sender` and `reply_to` are (name, address). With `sender_contact` or `reply_contact` they are only what stands in
    where a recipient has no such contact that can be used (D5).
    """

    subject: Parts
    sender: tuple[str, str]
    sender_contact: Contact | None
    reply_to: tuple[str, str] | None
    reply_contact: Contact | None
    token_slots: tuple[TokenSlot, ...]
    value_slots: tuple[Value, ...]
    links: tuple[TrackedLink, ...]
    tags: frozenset[str]
    undefaulted: frozenset[str]
    missing: frozenset[str]
    pixel: tuple[str, str] | None
    size: int
    tracked: Joint
    plain: Joint | None
    tail: Tail = ()

    @property
    def tail_size(self) -> int:
        """Octets of the tail as sent: nearly all of them its attachments."""
        return tail_size(self.tail)

    def render(self, data: RecipientData, *, clicks: bool = True, opens: bool = True) -> bytes:
        """Give the message (RFC 5322): CRLF, 7-bit, ready for DATA, without the final dot, and without its tail.

        `clicks` and `opens` False leave out what the recipient has not allowed (D43). Raises ValueError for a wrong
        number of tokens, UnsendableError for an address no header can carry, or a value longer than VALUE_LIMIT.
        """
        joint, filled = self.fill(data, clicks=clicks, opens=opens)
        return joint.fill(filled)

    def fill(self, data: RecipientData, *, clicks: bool = True, opens: bool = True) -> tuple[Joint, list[str]]:
        """Give what `render` joins, for whoever needs the parts: what a joint's places index is in the list."""
        if len(data.tokens) != len(self.token_slots):
            raise ValueError(f"{len(data.tokens)} tokens given, the message has {len(self.token_slots)} slots")
        values = data.values
        filled = [
            *data.tokens,
            headers.mailbox("To", data.to_name, data.to_email),
            self._subject_line(values),
            data.date,
            data.message_id,
            _mailbox("From", *self.sender_for(values)) if self.sender_contact else "",
            self._reply_to_line(values),
            self._pixel(data.tokens) if opens else "",
        ]
        for slot in self.value_slots:
            value = values.get(slot.tag)
            if value is not None and len(value) > VALUE_LIMIT:
                raise OversizedValueError(slot.tag, len(value))
            filled.append(encode_value(slot.mode, slot.default if value is None or is_empty(value) else value))
        return (self.tracked if clicks or self.plain is None else self.plain), filled

    def _subject_line(self, values: Mapping[str, str]) -> str:
        if not self.subject:
            return ""
        line = "".join(part if isinstance(part, str) else value_of(part, values) for part in self.subject)
        if len(line) > VALUE_LIMIT:
            raise OversizedValueError("the subject", len(line))
        return headers.text("Subject", line)

    def sender_for(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Return name and address that a recipient's message is from (D5); a contact without a name has the sender's.

        What `sender.name` and `sender.email` show is the same.
        """
        name, address = self.sender
        if self.sender_contact is None:
            return self.sender
        own_name, own_address = _contact(values, self.sender_contact)
        return (own_name or name, own_address) if own_address else (name, address)

    def _reply_to_line(self, values: Mapping[str, str]) -> str:
        reply_to = self.reply_to
        if self.reply_contact:
            own = _contact(values, self.reply_contact)
            reply_to = own if own[1] else reply_to
        return _mailbox("Reply-To", *reply_to) if reply_to else ""

    def _pixel(self, tokens: Sequence[str]) -> str:
        if self.pixel is None:
            return ""
        before, after = self.pixel
        return f"{before}{tokens[len(self.links)]}{after}"  # the slot after the links': see `token_slots`

    def to_dict(self) -> dict[str, Any]:
        """Give the message in terms of JSON."""
        return {
            "format": FORMAT,
            "subject": unparse(self.subject),
            "sender": self.sender,
            "sender_contact": self.sender_contact,
            "reply_to": self.reply_to,
            "reply_contact": self.reply_contact,
            "token_slots": [[slot.kind, slot.position] for slot in self.token_slots],
            "value_slots": [[slot.tag, slot.default, slot.mode] for slot in self.value_slots],
            "links": [
                [link.position, link.target, link.written, link.library_link_id, link.honeypot] for link in self.links
            ],
            "tags": sorted(self.tags),
            "undefaulted": sorted(self.undefaulted),
            "missing": sorted(self.missing),
            "pixel": self.pixel,
            "size": self.size,
            "tracked": [self.tracked.texts, self.tracked.places],
            "plain": [self.plain.texts, self.plain.places] if self.plain else None,
            "tail": [item if isinstance(item, str) else [item.key, item.size] for item in self.tail],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Give the message that `to_dict` wrote. Raises ValueError for another format."""
        if stored.get("format") != FORMAT:
            raise ValueError(f"a compiled message of format {FORMAT} is needed, not {stored.get('format')}")
        return cls(
            subject=parse_stored(stored["subject"], where="subject"),
            sender=(stored["sender"][0], stored["sender"][1]),
            sender_contact=stored.get("sender_contact"),
            reply_to=_stored_mailbox(stored["reply_to"]),
            reply_contact=stored.get("reply_contact"),
            token_slots=tuple(TokenSlot(*slot) for slot in stored["token_slots"]),
            value_slots=tuple(Value(*slot) for slot in stored["value_slots"]),
            links=tuple(TrackedLink(*link) for link in stored["links"]),
            tags=frozenset(stored["tags"]),
            undefaulted=frozenset(stored["undefaulted"]),
            missing=frozenset(stored["missing"]),
            pixel=(stored["pixel"][0], stored["pixel"][1]) if stored["pixel"] else None,
            size=stored["size"],
            tracked=_joint(stored["tracked"]),
            plain=_joint(stored["plain"]) if stored["plain"] else None,
            tail=tuple(item if isinstance(item, str) else FilePlace(*item) for item in stored.get("tail", ())),
        )


def _joint(stored: Sequence[Sequence[Any]]) -> Joint:
    texts, places = stored
    return Joint(tuple(texts), tuple(places))


def _stored_mailbox(stored: Sequence[str] | str | None) -> tuple[str, str] | None:
    if isinstance(stored, str):  # a bare address, of a dispatch made when replies had no rules
        return "", stored
    return (stored[0], stored[1]) if stored else None


_mailbox = lru_cache(maxsize=1024)(headers.mailbox)  # for senders, of whom there are few


def _contact(values: Mapping[str, str], contact: Contact) -> tuple[str, str]:
    name, address = values.get(f"{contact}.name", ""), values.get(f"{contact}.email", "")
    return "" if is_empty(name) else name, address


@dataclass(frozen=True, slots=True)
class Preview:
    """What one recipient sees (D14); line breaks are line feeds, `sender` and `reply_to` as their headers have them."""

    sender: str
    reply_to: str | None
    subject: str
    html: str
    text: str


def preview(compiled: CompiledMessage, data: RecipientData, *, clicks: bool = True, opens: bool = True) -> Preview:
    """Decode the very bytes the recipient would get, so that a preview cannot differ from them (D14)."""
    rendered = compiled.render(data, clicks=clicks, opens=opens)
    message = email.message_from_bytes(rendered, policy=email.policy.default)
    sender, reply_to = str(message["From"]), message["Reply-To"]
    return Preview(
        sender=sender,
        reply_to=None if reply_to is None else str(reply_to),
        subject=str(message["Subject"]),
        html=_content(message, "html"),
        text=_content(message, "plain"),
    )


def _content(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""


def empty_tags(compiled: CompiledMessage, values: Mapping[str, str]) -> frozenset[str]:
    """Name the tags this recipient would see empty: no value, and no default in one place at least (D14)."""
    return compiled.missing | {tag for tag in compiled.undefaulted if is_empty(values.get(tag))}
