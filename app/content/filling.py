"""Turning merge tags into pieces: the mailing's own values and addresses now, the recipient's values later."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.content.encoding import escape
from app.content.merge_tags import Contact, Hole, Part, Parts, group_of, is_empty, joined
from app.content.pieces import Mode, Piece, Token, TokenKind, Value

RECIPIENT_GROUPS = frozenset({"customer", "company"})

PATHS: Mapping[TokenKind, str] = {"link": "c", "open": "o", "unsubscribe": "u", "view": "v", "preferences": "p"}
"""Where each kind of token points: the first segment of the path after the public URL."""

SPECIAL_LINKS: Mapping[str, TokenKind] = {
    "link.unsubscribe": "unsubscribe",
    "link.view_in_browser": "view",
    "link.manage_subscriptions": "preferences",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What the tag of a library link stands for: a tracked link, by its position, or an address.

    `written` is the library's target; `target` the same once analytics tags are added (D9).
    """

    position: int | None
    target: Parts
    written: Parts


@dataclass(frozen=True, slots=True)
class Filling:
    """What is known when a message is compiled.

    `public_url` has no slash at its end. `values` are the mailing's own, as parts, since a subject may have a
    recipient's merge tags in it. `sender_contact`: the message is from this contact of the recipient, if it has one
    that can be used (D5). `library` has what tags of library links stand for, once the links of the message are known;
    `tracked` is off in what goes to those who denied it (D43).
    """

    public_url: str
    values: Mapping[str, Parts]
    sender_contact: Contact | None
    library: Mapping[str, Reference] = field(default_factory=dict)
    tracked: bool = True

    def expand(self, hole: Hole) -> Parts:
        """Give what a hole stands for: literals where the mailing knows, the hole itself where the recipient does.

        `mailing.*`, `project.*` and (mostly) `sender.*` are the mailing's; without a value the default holds. Where
        the sender is the recipient's contact, the mailing's own sender is what stands in for it.
        """
        if group_of(hole.tag) in RECIPIENT_GROUPS or hole.tag in SPECIAL_LINKS:
            return (hole,)
        parts = self.values.get(hole.tag, ())
        if self.sender_contact and group_of(hole.tag) == "sender":
            fallback = "".join(part for part in parts if isinstance(part, str))
            tag = hole.tag.replace("sender", self.sender_contact, 1)
            return (Hole(tag, hole.default if is_empty(fallback) else fallback),)
        if all(isinstance(part, str) and is_empty(part) for part in parts):
            return (hole.default,) if hole.default else ()
        return parts

    def expand_all(self, parts: Parts) -> Parts:
        """Expand every hole of a text."""
        expanded: list[Part] = []
        for part in parts:
            expanded += (part,) if isinstance(part, str) else self.expand(part)
        return joined(expanded)

    def address(self, kind: TokenKind) -> str:
        """Give the address that a token of this kind completes."""
        return f"{self.public_url}/{PATHS[kind]}/"

    def pieces(self, hole: Hole, mode: Mode) -> list[Piece]:
        """Give the pieces for a hole, escaped for where it lands."""
        if kind := SPECIAL_LINKS.get(hole.tag):
            return [escape(mode, self.address(kind)), Token(kind)]
        if reference := self.library.get(hole.tag):
            return self._reference(reference, mode)
        pieces: list[Piece] = []
        for part in self.expand(hole):
            pieces.append(escape(mode, part) if isinstance(part, str) else Value(part.tag, part.default or "", mode))
            mode = "url" if mode == "url_start" else mode
        return pieces or [escape(mode, "")]

    def _reference(self, reference: Reference, mode: Mode) -> list[Piece]:
        """Give an address as a whole: it is escaped for its place, the values in it for a URL."""
        if self.tracked and reference.position is not None:
            return [escape(mode, self.address("link")), Token("link", reference.position)]
        pieces: list[Piece] = []
        for part in reference.target if self.tracked else reference.written:
            pieces += [escape(mode, part)] if isinstance(part, str) else self.pieces(part, "url")
        return pieces

    def target(self, parts: Parts) -> Parts:
        """Fill the mailing's own values into a target, percent-encoded; the recipient's holes stay."""
        filled: list[Part] = []
        for part in parts:
            if isinstance(part, str):
                filled.append(part)
            else:
                filled += (escape("url", piece) if isinstance(piece, str) else piece for piece in self.expand(part))
        return joined(filled)
