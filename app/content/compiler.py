"""Compiling a message: everything that is the same for all recipients is done once per mailing (D11-D16).

HTML is read, links are found and rewritten, MIME and quoted-printable are laid out; what is left is a `CompiledMessage`
with places for the recipient's values and tokens.
"""

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from app.content import headers
from app.content.attached import Attachment
from app.content.compiled import FIELDS, CompiledMessage, Joint, TokenSlot
from app.content.encoding import lay_out
from app.content.filling import SPECIAL_LINKS, Filling
from app.content.html_part import Document, InText, html_pieces, misplaced_tags, read_document
from app.content.library import Library
from app.content.links import LinkRules
from app.content.merge_tags import (
    Contact,
    Hole,
    MergeTagError,
    Parsed,
    Parts,
    TagFault,
    is_empty,
    library_link_of,
    parse_leniently,
)
from app.content.mime import HeaderPlace, Item, message_body
from app.content.pieces import TOKEN_WIDTH, Piece, Pixel, Token, TokenKind, Value
from app.content.text_part import derived_pieces, faults_in, links_in, written_pieces

_PAGE_TOKENS: tuple[TokenKind, ...] = ("open", "unsubscribe", "view", "preferences")


@dataclass(frozen=True, slots=True)
class MessageSource:
    """What a message is compiled from.

    `text` None or blank derives the text part from the HTML. `values` are the mailing's own merge values by tag
    (`mailing.name`, `mailing.date`, `project.name` …); subject and sender need not be among them. `extra_tags` are the
    extra-field tags that exist; None accepts any. `marketing` adds the headers of RFC 8058; its mailto needs
    `unsubscribe_email`. `sender_contact`: From is this contact of the recipient where it can be used, otherwise
    `from_name`, `from_email`; `reply_contact` the same for Reply-To, otherwise `reply_to_name`, `reply_to`, which may
    be none (D5). `library` has the targets of library links by their ids, at least of those that the content refers to.
    `honeypot` adds a link that no person can see (D45). `headers` are further ones, in printable ASCII.
    """

    subject: str
    html: str
    text: str | None
    from_name: str
    from_email: str
    reply_to_name: str = ""
    reply_to: str | None = None
    language: str | None = None
    marketing: bool = True
    list_id: str | None = None
    feedback_id: str | None = None
    unsubscribe_email: str | None = None
    auto_submitted: bool = False
    sender_contact: Contact | None = None
    reply_contact: Contact | None = None
    track_opens: bool = True
    track_all_links: bool = True
    honeypot: bool = False
    library: Mapping[int, str] = field(default_factory=dict)
    utm_source: str | None = None
    utm_campaign: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    extra_tags: Collection[str] | None = None
    attachments: Sequence[Attachment] = ()
    headers: Sequence[tuple[str, str]] = ()

    @property
    def written_text(self) -> str | None:
        """The text part, if one was written."""
        return self.text if self.text and not self.text.isspace() else None


@dataclass(frozen=True, slots=True)
class _Content:
    """The parsed texts of a message."""

    subject: Parsed
    document: Document
    text: Parsed | None

    @property
    def holes(self) -> set[Hole]:
        """The merge tags of the content, and of the targets of library links: some get those plain (D43)."""
        parsed = (self.subject, self.document.parsed, *([self.text] if self.text else []))
        written = {span.content for one in parsed for span in one.spans if isinstance(span.content, Hole)}
        targets = (part for reference in self.document.library.values() for part in reference.written)
        return {hole for hole in written if not library_link_of(hole.tag)} | {
            part for part in targets if isinstance(part, Hole)
        }


def compile_message(source: MessageSource, *, public_url: str) -> CompiledMessage:
    """Compile a message; addresses of links and pages begin with `public_url`.

    Raises MergeTagError with every fault of subject, HTML and text; HeaderError, UnsendableAddressError for a header
    that cannot be written.
    """
    subject, body, text = _read_source(source)
    filling = Filling(public_url.rstrip("/"), _mailing_values(source, subject), source.sender_contact)
    rules = LinkRules(source.track_all_links, source.utm_source, source.utm_campaign, source.honeypot)
    library = Library.of(source.library)
    in_text = links_in(text) if text else InText()
    document = read_document(body, rules, filling, library=library, in_text=in_text)
    if faults := [*misplaced_tags(document, library), *(faults_in(text, library) if text else ())]:
        raise MergeTagError(faults)
    return _assemble(source, _Content(subject, document, text), replace(filling, library=document.library))


def _read_source(source: MessageSource) -> tuple[Parsed, Parsed, Parsed | None]:
    """Read the merge tags of subject, HTML and written text. Raises MergeTagError with the faults of all three."""
    faults: list[TagFault] = []

    def read(text: str, where: str, *, is_html: bool = False) -> Parsed:
        parsed, found = parse_leniently(text, where=where, html=is_html, extra_tags=source.extra_tags)
        faults.extend(found)
        return parsed

    subject, body = read(source.subject, "subject"), read(source.html, "html", is_html=True)
    text = read(source.written_text, "text") if source.written_text else None
    faults.extend(_misplaced_in_subject(subject))
    if faults:
        raise MergeTagError(faults)
    return subject, body, text


def _misplaced_in_subject(subject: Parsed) -> list[TagFault]:
    faults: list[TagFault] = []
    for span in subject.spans:
        tag = span.content.tag if isinstance(span.content, Hole) else ""
        if tag in SPECIAL_LINKS or tag == "mailing.subject" or library_link_of(tag):
            written = subject.text[span.start : span.end]
            faults.append(TagFault("subject", span.line, span.column, written, f"{tag} cannot stand in the subject"))
    return faults


def _mailing_values(source: MessageSource, subject: Parsed) -> dict[str, Parts]:
    sender = {"sender.name": source.from_name, "sender.email": source.from_email}
    given = {tag: (value,) for tag, value in (sender | dict(source.values)).items()}
    return {**given, "mailing.subject": subject.parts}


def _assemble(source: MessageSource, content: _Content, filling: Filling) -> CompiledMessage:
    subject = filling.expand_all(content.subject.parts)
    head = _head(source, subject, filling)
    seed = "\0".join((source.subject, source.html, source.text or "")).encode("utf-8", "replace")
    bodies: dict[bool, list[Item]] = {}
    for tracked in (True, False):
        filled = replace(filling, tracked=tracked)
        bodies[tracked], tail = message_body(
            _text(content, filled, tracked=tracked),
            html_pieces(content.document, filled, tracked=tracked, pixel=source.track_opens),
            source.attachments,
            seed=seed,
        )
    slots = _Slots.of([*head, *bodies[True], *bodies[False]], content.document, pixel=source.track_opens)
    with_tracking, plain = (slots.joint([*head, *bodies[variant]]) for variant in (True, False))
    tags, undefaulted, missing = _tags_used(content, filling, reply_contact=source.reply_contact)
    return CompiledMessage(
        subject=subject if _varies(subject) else (),
        sender=(source.from_name, source.from_email),
        sender_contact=source.sender_contact,
        reply_to=(source.reply_to_name, source.reply_to) if source.reply_to else None,
        reply_contact=source.reply_contact,
        token_slots=slots.tokens,
        value_slots=slots.values,
        links=content.document.tracked,
        tags=tags,
        undefaulted=undefaulted,
        missing=missing,
        pixel=_pixel(filling) if source.track_opens else None,
        size=sum(map(len, with_tracking.texts)) + TOKEN_WIDTH * len(slots.tokens),
        tracked=with_tracking,
        plain=None if plain == with_tracking else plain,
        tail=tail,
    )


def _text(content: _Content, filling: Filling, *, tracked: bool) -> list[Piece]:
    if content.text:
        return written_pieces(content.text, content.document, filling, tracked=tracked)
    return derived_pieces(content.document, filling, tracked=tracked)


def _head(source: MessageSource, subject: Parts, filling: Filling) -> list[Item]:
    """Give the header section but for Content-Type. Raises HeaderError, UnsendableAddressError."""
    # Both are checked even if they only stand in for the recipients' contacts.
    sender = headers.mailbox("From", source.from_name, source.from_email)
    if source.reply_to:
        headers.mailbox("Reply-To", source.reply_to_name, source.reply_to)
    lines: list[Item] = ["Date: ", HeaderPlace("date"), "\r\n"]
    lines += [HeaderPlace("from") if source.sender_contact else sender, HeaderPlace("to"), HeaderPlace("reply_to")]
    lines += ["Message-ID: ", HeaderPlace("message_id"), "\r\n"]
    lines += [HeaderPlace("subject") if _varies(subject) else headers.text("Subject", "".join(map(str, subject)))]
    if source.marketing:
        lines += ["List-Unsubscribe: <", filling.address("unsubscribe"), Token("unsubscribe"), ">"]
        if source.unsubscribe_email:
            lines += [f",\r\n <mailto:{source.unsubscribe_email}?subject=", Token("unsubscribe"), ">"]
        lines += ["\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"]
    if source.list_id:
        lines += [headers.list_id(source.list_id)]
    if source.language:
        lines += [headers.structured("Content-Language", source.language)]
    if source.feedback_id:
        lines += [headers.structured("Feedback-ID", source.feedback_id)]
    automatic = ("Auto-Submitted", "auto-replied") if source.auto_submitted else ("Precedence", "bulk")
    lines += [headers.structured(field, value) for field, value in (automatic, *source.headers)]
    return [*lines, "MIME-Version: 1.0\r\n"]


def _varies(parts: Parts) -> bool:
    return any(isinstance(part, Hole) for part in parts)


def _pixel(filling: Filling) -> tuple[str, str]:
    before = f'<img src="{html.escape(filling.address("open"))}'
    after = '.gif" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0">'
    start, _, end = lay_out([before, Token("open"), after])
    return str(start), f"{end}=\r\n"


def _tags_used(
    content: _Content, filling: Filling, *, reply_contact: Contact | None
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Name the recipient's tags, those of them without a default somewhere, and the mailing's that are empty.

    Name and address of contacts that From or Reply-To is taken from are among them.
    """
    contacts = {contact for contact in (filling.sender_contact, reply_contact) if contact}
    tags = {f"{contact}.{field}" for contact in contacts for field in ("name", "email")}
    undefaulted: set[str] = set()
    missing: set[str] = set()
    for hole in content.holes:
        if hole.tag in SPECIAL_LINKS:
            continue
        parts = filling.expand(hole)
        recipient_holes = [part for part in parts if isinstance(part, Hole)]
        tags.update(part.tag for part in recipient_holes)
        undefaulted.update(part.tag for part in recipient_holes if is_empty(part.default))
        if not parts:
            missing.add(hole.tag)
    return frozenset(tags), frozenset(undefaulted), frozenset(missing)


@dataclass(frozen=True, slots=True)
class _Slots:
    """What is filled in, in the order `CompiledMessage.render` fills it: tokens, FIELDS, values."""

    tokens: tuple[TokenSlot, ...]
    values: tuple[Value, ...]

    @classmethod
    def of(cls, items: Sequence[Item], document: Document, *, pixel: bool) -> Self:
        kinds = {item.kind for item in items if isinstance(item, Token)} | ({"open"} if pixel else set())
        links = [TokenSlot("link", link.position) for link in document.tracked]
        pages = [TokenSlot(kind) for kind in _PAGE_TOKENS if kind in kinds]
        return cls((*links, *pages), tuple(dict.fromkeys(item for item in items if isinstance(item, Value))))

    def joint(self, items: Iterable[Item]) -> Joint:
        """Join neighbouring texts, and number the places between them."""
        fields = {name: len(self.tokens) + number for number, name in enumerate(FIELDS)}
        values = {value: len(self.tokens) + len(FIELDS) + number for number, value in enumerate(self.values)}
        tokens = {(slot.kind, slot.position): number for number, slot in enumerate(self.tokens)}
        texts, places = [""], list[int]()
        for item in items:
            if isinstance(item, str):
                texts[-1] += item
                continue
            if isinstance(item, Token):
                places.append(tokens[item.kind, item.position])
            elif isinstance(item, Value):
                places.append(values[item])
            else:
                places.append(fields["pixel" if isinstance(item, Pixel) else item.name])
            texts.append("")
        return Joint(tuple(texts), tuple(places))
