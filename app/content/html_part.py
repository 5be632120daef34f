"""The HTML of a message as pieces: links rewritten, every value escaped for where it lands, all else byte for byte.

Where a merge tag may stand: in text and in attribute values, in comments too (Outlook reads conditional ones). It may
not stand in `style`, `script` or an event handler, in a tag's or attribute's name, or in a `javascript:` address: no
escaping makes a value harmless there.
"""

import html as html_entities
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from app.content.encoding import escape
from app.content.filling import Filling, Reference
from app.content.library import Library, ids_of, is_comment, reference_in, references
from app.content.links import (
    LinkRules,
    TrackedLink,
    add_analytics,
    is_web,
    link_attribute,
    read_target,
    scheme,
    site_of,
)
from app.content.markup import Attribute, EndTag, Node, StartTag, Stretch, decode_attribute, scan
from app.content.merge_tags import Hole, Parsed, Parts, Span, TagFault, library_link_of, spans_in, unparse
from app.content.pieces import Edit, Mode, Piece, Pixel, Token, apply_edits

SCRIPT_SCHEMES = frozenset({"javascript", "vbscript", "data"})

URL_ATTRIBUTES = frozenset(
    {"href", "xlink:href", "src", "srcset", "action", "formaction", "background", "poster", "cite", "longdesc", "ping"}
    | {"data", "codebase", "icon", "manifest"}
)
_IGNORED_IN_URL = "".join(map(chr, range(33)))


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the content: its target as `written`, and as it is once analytics tags are added.

    For a reference to the library, both are that link's.
    """

    tag: StartTag
    attribute: Attribute
    written: Parts
    target: Parts
    is_reference: bool
    has_analytics: bool
    tracked: TrackedLink | None

    def is_rewritten(self, *, tracked: bool) -> bool:
        """Tell whether the message has another address here than the content has."""
        return self.is_reference or (tracked and (self.has_analytics or self.tracked is not None))


@dataclass(frozen=True, slots=True)
class Document:
    """HTML that has been read: its merge tags, its nodes, its links.

    `tracked` are all tracked links of the message by position: those of the HTML, those that only the text part has
    or a tag outside of a link refers to, and the honeypot. `library` is what the tags of library links stand for.
    """

    rules: LinkRules
    parsed: Parsed
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    tracked: tuple[TrackedLink, ...]
    library: Mapping[str, Reference]

    @property
    def honeypot(self) -> TrackedLink | None:
        """The link that no person sees, if there is one."""
        return self.tracked[-1] if self.tracked and self.tracked[-1].honeypot else None


@dataclass(frozen=True, slots=True)
class InText:
    """What a written text part links to: by its URLs, and by tags of library links."""

    targets: tuple[Parts, ...] = ()
    library_link_ids: tuple[int, ...] = ()


def read_document(parsed: Parsed, rules: LinkRules, filling: Filling, *, library: Library, in_text: InText) -> Document:
    """Find tags, attributes and links, and decide which links are tracked (D36)."""
    nodes = scan(parsed.filler)
    links: list[Link] = []
    numbered = _Numbered(rules, filling, library)
    for node in nodes:
        attribute = link_attribute(node) if isinstance(node, StartTag) else None
        if not isinstance(node, StartTag) or attribute is None:
            continue
        read = read_target(parsed, attribute)
        written, library_link_id = library.resolve(read), library.meant_by(read)
        tagged = with_analytics(written, rules)
        tracked = numbered.add(written, library_link_id) if numbered.is_tracked(written, library_link_id) else None
        is_reference = reference_in(read) is not None
        links.append(Link(node, attribute, written, filling.target(tagged), is_reference, tagged != written, tracked))
    for target in in_text.targets:
        numbered.add_once(target)
    meanings = {
        f"link.library.{link_id}": numbered.reference(link_id)
        for link_id in dict.fromkeys((*ids_of(references(parsed, nodes)), *in_text.library_link_ids))
        if link_id in library.targets
    }
    numbered.add_honeypot()
    return Document(rules, parsed, nodes, tuple(links), tuple(numbered.links), meanings)


def with_analytics(written: Parts, rules: LinkRules) -> Parts:
    """Return a target with the analytics tags it does not carry; only the web's get any (D9)."""
    return add_analytics(written, rules.analytics) if is_web(written) else written


class _Numbered:
    """The tracked links of a message, in the order of their positions."""

    def __init__(self, rules: LinkRules, filling: Filling, library: Library) -> None:
        self.rules = rules
        self.filling = filling
        self.library = library
        self.links: list[TrackedLink] = []
        self.of_library: dict[int, TrackedLink] = {}
        self.written: set[str] = set()

    def is_tracked(self, written: Parts, library_link_id: int | None) -> bool:
        return self.library.is_tracked(library_link_id) or (self.rules.track_all and is_web(written))

    def add(self, written: Parts, library_link_id: int | None) -> TrackedLink:
        target = unparse(self.filling.target(with_analytics(written, self.rules)))
        link = TrackedLink(len(self.links), target, unparse(written), library_link_id)
        self.links.append(link)
        self.written.add(link.written)
        if library_link_id is not None:
            self.of_library.setdefault(library_link_id, link)
        return link

    def add_once(self, target: Parts) -> None:
        """Add a link of the text part, unless it is tracked already where it was found before."""
        library_link_id = self.library.meant_by(target)
        if self.is_tracked(target, library_link_id) and unparse(target) not in self.written:
            self.add(target, library_link_id)

    def reference(self, library_link_id: int) -> Reference:
        """Return what a library link's tag stands for: the first link to it, or one of its own."""
        written = self.library.targets[library_link_id]
        known = self.of_library.get(library_link_id)
        if known is None and self.library.is_tracked(library_link_id):
            known = self.add(written, library_link_id)
        target = self.filling.target(with_analytics(written, self.rules))
        return Reference(known.position if known else None, target, written)

    def add_honeypot(self) -> None:
        """Add a link to the front page of the first site that the message links to, where a visit does nothing."""
        if self.rules.honeypot and self.links:
            site = next(filter(None, (site_of(link.target) for link in self.links)), self.filling.public_url)
            self.links.append(TrackedLink(len(self.links), f"{site}/", "", honeypot=True))


def misplaced_tags(document: Document, library: Library) -> list[TagFault]:
    """Find the merge tags that stand where no value can be made harmless, and those that name no library link."""
    faults: list[TagFault] = []
    if document.parsed.spans:
        for node in document.nodes:
            for span in spans_in(document.parsed, node.start, node.end):
                reason = _forbidden(document.parsed, node, span)
                if reason and isinstance(span.content, Hole):
                    written = document.parsed.text[span.start : span.end]
                    faults.append(TagFault(document.parsed.where, span.line, span.column, written[:80], reason))
                elif (fault := library.fault(document.parsed, span)) and not is_comment(node):
                    faults.append(fault)
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
    target = read_target(parsed, attribute)
    if attribute.name in URL_ATTRIBUTES and scheme(target) in SCRIPT_SCHEMES:
        return "a merge tag cannot stand in an address that runs as a script"
    if isinstance(span.content, Hole) and library_link_of(span.content.tag) is not None:
        is_link = attribute.name == "href" and (node.name in ("a", "area") or node.conditional)
        if not is_link or reference_in(target) is None:
            return "a link of the library can only be the whole href of a link, alone, or stand in text"
    return None


def _attribute_at(tag: StartTag, span: Span) -> Attribute | None:
    return next((a for a in tag.attributes if a.start <= span.start and span.end <= a.end), None)


def html_pieces(document: Document, filling: Filling, *, tracked: bool, pixel: bool) -> list[Piece]:
    """Give the HTML as pieces.

    `tracked` False leaves every link as it was written, without analytics tags: for those who denied tracking (D43).
    `pixel` leaves a place for the open pixel before the end of the body.
    """
    edits = list(_edits(document, filling, tracked=tracked))
    at_end: list[Piece] = []
    if tracked and document.honeypot:
        at_end += _honeypot(document.honeypot, filling)
    if pixel:
        at_end.append(Pixel())
    if at_end:
        end = _end_of_body(document)
        edits.append(Edit(end, end, at_end))
    return apply_edits(document.parsed.text, sorted(edits, key=attrgetter("start", "end")))


def _edits(document: Document, filling: Filling, *, tracked: bool) -> Iterator[Edit]:
    parsed = document.parsed
    rewritten = {link.attribute.start: link for link in document.links if link.is_rewritten(tracked=tracked)}
    for link in rewritten.values():
        address = _address(link, filling, tracked=tracked)
        yield Edit(link.attribute.start, link.attribute.end, _quoted(link.attribute, address))
    for node in document.nodes if parsed.spans else ():
        if isinstance(node, StartTag):
            for attribute in node.attributes:
                if attribute.start not in rewritten and spans_in(parsed, attribute.start, attribute.end):
                    pieces = _attribute_pieces(parsed, attribute, filling, conditional=node.conditional)
                    yield Edit(attribute.start, attribute.end, pieces)
        else:
            mode: Mode = "html" if isinstance(node, Stretch) and node.kind == "text" else "comment"
            for span in spans_in(parsed, node.start, node.end):
                if is_comment(node) and isinstance(span.content, Hole) and library_link_of(span.content.tag):
                    continue  # nobody could click it but a program
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


def _honeypot(link: TrackedLink, filling: Filling) -> list[Piece]:
    """Give a link without anything to see, hear, click or reach by keyboard: programs alone find its address (D45)."""
    before = f'<a href="{escape("html", filling.address("link"))}'
    return [before, Token("link", link.position), '" aria-hidden="true" tabindex="-1" style="display:none"></a>']


def _address(link: Link, filling: Filling, *, tracked: bool) -> list[Piece]:
    if tracked and link.tracked:
        return [escape("html", filling.address("link")), Token("link", link.tracked.position)]
    pieces = target_pieces(link.target if tracked else link.written, filling)
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
        if isinstance(span.content, Hole) and library_link_of(span.content.tag):
            mode = text_mode  # an address that is made here needs no check, and no encoding but the attribute's
        pieces += _literal(parsed.text[position : span.start], attribute), *content_pieces(span, mode, filling)
        position = span.end
    return _quoted(attribute, [*pieces, _literal(parsed.text[position : attribute.end], attribute)])


def _literal(written: str, attribute: Attribute) -> str:
    return written if attribute.quote else written.replace('"', "&quot;")


def _end_of_body(document: Document) -> int:
    closing = {node.name: node.start for node in document.nodes if isinstance(node, EndTag) and not node.conditional}
    return closing.get("body", closing.get("html", len(document.parsed.text)))
