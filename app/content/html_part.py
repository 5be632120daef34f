"""The HTML of a message as pieces: links rewritten, every value escaped for where it lands, all else byte for byte.

Where a merge tag may stand: in text and in attribute values, in comments too (Outlook reads conditional ones). It may
not stand in `style`, `script` or an event handler, in a tag's or attribute's name, or in a `javascript:` address: no
escaping makes a value harmless there.
"""

import html as html_entities
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from app.content.encoding import escape
from app.content.filling import Filling
from app.content.links import (
    LinkRules,
    TrackedLink,
    add_analytics,
    is_tracked,
    is_web,
    link_attribute,
    read_target,
    scheme,
)
from app.content.markup import Attribute, EndTag, Node, StartTag, Stretch, decode_attribute, scan
from app.content.merge_tags import Hole, Parsed, Parts, Span, TagFault, spans_in, unparse
from app.content.pieces import Edit, Mode, Piece, Pixel, Token, apply_edits

SCRIPT_SCHEMES = frozenset({"javascript", "vbscript", "data"})

URL_ATTRIBUTES = frozenset(
    {"href", "xlink:href", "src", "srcset", "action", "formaction", "background", "poster", "cite", "longdesc", "ping"}
    | {"data", "codebase", "icon", "manifest"}
)
_IGNORED_IN_URL = "".join(map(chr, range(33)))


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the content: its target as `written`, and as it is once analytics tags are added."""

    tag: StartTag
    attribute: Attribute
    written: Parts
    target: Parts
    has_analytics: bool
    tracked: TrackedLink | None

    @property
    def is_rewritten(self) -> bool:
        """Whether the message has another address here than the content has."""
        return self.has_analytics or self.tracked is not None


@dataclass(frozen=True, slots=True)
class Document:
    """HTML that has been read: its merge tags, its nodes, its links."""

    parsed: Parsed
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    @property
    def tracked(self) -> tuple[TrackedLink, ...]:
        """The tracked links by position."""
        return tuple(link.tracked for link in self.links if link.tracked)


def read_document(parsed: Parsed, rules: LinkRules, filling: Filling) -> Document:
    """Find tags, attributes and links, and decide which links are tracked."""
    nodes = scan(parsed.filler)
    links: list[Link] = []
    position = 0
    for node in nodes:
        attribute = link_attribute(node) if isinstance(node, StartTag) else None
        if not isinstance(node, StartTag) or attribute is None:
            continue
        written = read_target(parsed, attribute)
        tagged = add_analytics(written, rules.analytics) if is_web(written) else written
        target, tracked = filling.target(tagged), None
        if is_tracked(written, rules):
            tracked = TrackedLink(position, unparse(target), unparse(written))
            position += 1
        links.append(Link(node, attribute, written, target, tagged != written, tracked))
    return Document(parsed, nodes, tuple(links))


def misplaced_tags(document: Document) -> list[TagFault]:
    """Find the merge tags that stand where no value can be made harmless."""
    faults: list[TagFault] = []
    if document.parsed.spans:
        for node in document.nodes:
            for span in spans_in(document.parsed, node.start, node.end):
                reason = _forbidden(document.parsed, node, span)
                if reason and isinstance(span.content, Hole):
                    written = document.parsed.text[span.start : span.end]
                    faults.append(TagFault(document.parsed.where, span.line, span.column, written[:80], reason))
    return faults


def _forbidden(parsed: Parsed, node: Node, span: Span) -> str | None:
    if isinstance(node, Stretch):
        if node.kind == "raw":
            return "a merge tag cannot stand inside style, script or the like"
        return "a merge tag cannot stand in a declaration or unfinished tag" if node.kind == "markup" else None
    attribute = _attribute_at(node, span) if isinstance(node, StartTag) else None
    if attribute is None or not isinstance(node, StartTag):
        return "a merge tag cannot stand in a tag outside an attribute's value; a literal < is written &lt;"
    if attribute.name in ("style", "srcdoc") or attribute.name.startswith("on"):
        return f"a merge tag cannot stand in the attribute {attribute.name}"
    if node.name == "meta" and node.attribute("http-equiv"):
        return "a merge tag cannot stand in a meta element with http-equiv"
    if attribute.name in URL_ATTRIBUTES and scheme(read_target(parsed, attribute)) in SCRIPT_SCHEMES:
        return "a merge tag cannot stand in an address that runs as a script"
    return None


def _attribute_at(tag: StartTag, span: Span) -> Attribute | None:
    return next((a for a in tag.attributes if a.start <= span.start and span.end <= a.end), None)


def html_pieces(document: Document, filling: Filling, *, tracked: bool, pixel: bool) -> list[Piece]:
    """Give the HTML as pieces.

    `tracked` False leaves every link as it was written, without analytics tags: for those who denied tracking (D43).
    `pixel` leaves a place for the open pixel before the end of the body.
    """
    edits = list(_edits(document, filling, tracked=tracked))
    if pixel:
        end = _end_of_body(document)
        edits.append(Edit(end, end, [Pixel()]))
    return apply_edits(document.parsed.text, sorted(edits, key=attrgetter("start", "end")))


def _edits(document: Document, filling: Filling, *, tracked: bool) -> Iterator[Edit]:
    parsed = document.parsed
    rewritten = {link.attribute.start: link for link in document.links if link.is_rewritten} if tracked else {}
    for link in rewritten.values():
        yield Edit(link.attribute.start, link.attribute.end, _quoted(link.attribute, _address(link, filling)))
    for node in document.nodes if parsed.spans else ():
        if isinstance(node, StartTag):
            for attribute in node.attributes:
                if attribute.start not in rewritten and spans_in(parsed, attribute.start, attribute.end):
                    pieces = _attribute_pieces(parsed, attribute, filling, conditional=node.conditional)
                    yield Edit(attribute.start, attribute.end, pieces)
        else:
            mode: Mode = "html" if isinstance(node, Stretch) and node.kind == "text" else "comment"
            for span in spans_in(parsed, node.start, node.end):
                yield Edit(span.start, span.end, content_pieces(span, "comment" if node.conditional else mode, filling))


def content_pieces(span: Span, mode: Mode, filling: Filling) -> list[Piece]:
    """Give the pieces for a merge tag or a literal bracket."""
    return [span.content] if isinstance(span.content, str) else filling.pieces(span.content, mode)


def target_pieces(parts: Parts, filling: Filling) -> list[Piece]:
    """Give a target as plain text, the recipient's values percent-encoded."""
    pieces: list[Piece] = []
    for part in parts:
        pieces += [part] if isinstance(part, str) else filling.pieces(part, "url")
    return pieces


def _address(link: Link, filling: Filling) -> list[Piece]:
    if link.tracked:
        return [escape("html", filling.address("link")), Token("link", link.tracked.position)]
    pieces = target_pieces(link.target, filling)
    return [html_entities.escape(piece) if isinstance(piece, str) else piece for piece in pieces]


def _quoted(attribute: Attribute, pieces: list[Piece]) -> list[Piece]:
    # A bare value could end at a space, or swallow the next attribute when the recipient's value is empty.
    return pieces if attribute.quote else ['"', *pieces, '"']


def _attribute_pieces(parsed: Parsed, attribute: Attribute, filling: Filling, *, conditional: bool) -> list[Piece]:
    is_url = attribute.name in URL_ATTRIBUTES
    text_mode: Mode = "comment" if conditional else "html"
    pieces: list[Piece] = []
    position = attribute.start
    for span in spans_in(parsed, attribute.start, attribute.end):
        before = parsed.text[attribute.start : span.start]
        at_start = not decode_attribute(before).strip(_IGNORED_IN_URL)
        mode: Mode = ("url_start" if at_start else "url") if is_url else text_mode
        pieces += _literal(parsed.text[position : span.start], attribute), *content_pieces(span, mode, filling)
        position = span.end
    return _quoted(attribute, [*pieces, _literal(parsed.text[position : attribute.end], attribute)])


def _literal(written: str, attribute: Attribute) -> str:
    return written if attribute.quote else written.replace('"', "&quot;")


def _end_of_body(document: Document) -> int:
    closing = {node.name: node.start for node in document.nodes if isinstance(node, EndTag) and not node.conditional}
    return closing.get("body", closing.get("html", len(document.parsed.text)))
