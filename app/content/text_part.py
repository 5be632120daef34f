"""The text part of a message as pieces: as it was written, or derived from the HTML.

Links in the text part: a reader of it must reach what a reader of the HTML reaches. In a derived part each link's
address follows its text in angle brackets, and it is the same address as in the HTML, so that a click counts as one on
that link. In a written part a URL is a link as well: where the HTML links to the same target, it is that link, else one
of its own.
"""

import re
from collections.abc import Iterator
from operator import attrgetter

import inscriptis
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig

from app.content.encoding import clean
from app.content.filling import Filling
from app.content.html_part import Document, InText, Link, content_pieces, target_pieces, with_analytics
from app.content.library import Library, ids_of, references
from app.content.links import scheme, urls_in
from app.content.markup import EndTag, StartTag, Stretch, decode_attribute
from app.content.merge_tags import Hole, Parsed, TagFault, spans_in, unparse
from app.content.pieces import Edit, Piece, Token, apply_edits

_AS_BLOCKS = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "center"})
_LEFT_OUT = frozenset({"html", "head", "body", "meta", "link", "base", "area", "img", "script", "style"})
# A preheader, which only the list of messages shows, is hidden in one of these ways.
_HIDDEN = re.compile(r"display\s*:\s*none|max-height\s*:\s*0(?:px)?\s*(?:;|!|$)", re.IGNORECASE)
_HIDE = ' style="display:none"'
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200d\u2060\ufeff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_LINE_ENDS = re.compile(r"[^\S\n]+$", re.MULTILINE)
_LINE_STARTS = re.compile(r"^[^\S\n]+(?![*\d\s])", re.MULTILINE)


def links_in(parsed: Parsed) -> InText:
    """Return what a written text links to."""
    return InText(tuple(target for _, _, target in urls_in(parsed)), ids_of(references(parsed)))


def faults_in(parsed: Parsed, library: Library) -> Iterator[TagFault]:
    """Yield what is wrong with the tags of library links in a written text."""
    in_urls = {span.start for start, end, _ in urls_in(parsed) for span in spans_in(parsed, start, end)}
    for span in references(parsed):
        if span.start in in_urls:
            reason = "a link of the library is a whole address; it cannot stand in another one"
            written = parsed.text[span.start : span.end][:80]
            yield TagFault(parsed.where, span.line, span.column, written, reason)
        elif fault := library.fault(parsed, span):
            yield fault


def written_pieces(parsed: Parsed, document: Document, filling: Filling, *, tracked: bool) -> list[Piece]:
    """Give a written text part as pieces; values inside a URL are percent-encoded.

    `tracked` False leaves every URL as it was written (D43).
    """
    link_to = {link.written: link.position for link in reversed(document.tracked)} if tracked else {}
    edits: list[Edit] = []
    in_urls: set[int] = set()
    for start, end, target in urls_in(parsed):
        spans = spans_in(parsed, start, end)
        in_urls.update(span.start for span in spans)
        position = link_to.get(unparse(target))
        tagged = with_analytics(target, document.rules) if tracked else target
        if position is not None:
            edits.append(Edit(start, end, [filling.address("link"), Token("link", position)]))
        elif tagged != target:
            edits.append(Edit(start, end, target_pieces(tagged, filling)))
        else:
            edits += (Edit(span.start, span.end, content_pieces(span, "url", filling)) for span in spans)
    for span in parsed.spans:
        if span.start not in in_urls:
            edits.append(Edit(span.start, span.end, content_pieces(span, "text", filling)))
    return apply_edits(parsed.text, sorted(edits, key=attrgetter("start")))


def derived_pieces(document: Document, filling: Filling, *, tracked: bool) -> list[Piece]:
    """Derive the text part from the HTML: what is shown there, as paragraphs, each link followed by its address.

    Tables in mail are layout, so their cells follow each other. Images in a link are named by their alt text.
    """
    copy = _PlainCopy(document, filling, tracked=tracked)
    text = inscriptis.get_text(clean(copy.html()), ParserConfig(css=CSS_PROFILES["strict"]))
    text = _LINE_ENDS.sub("", _INVISIBLE.sub("", text).replace("\u00a0", " "))
    text = _BLANK_LINES.sub("\n\n", _LINE_STARTS.sub("", text)).strip("\n")
    pieces: list[Piece] = []
    # Every other item of the split is a marker's number.
    for index, part in enumerate(re.split(rf"{copy.marker}(\d+)z", f"{text}\n" if text else "")):
        pieces += copy.marked[int(part)] if index % 2 else [part]
    return pieces


class _PlainCopy:
    """HTML with the same visible text and hardly any markup; a marker stands for whatever is filled in later."""

    def __init__(self, document: Document, filling: Filling, *, tracked: bool) -> None:
        self.document = document
        self.parsed = document.parsed
        self.filling = filling
        self.tracked = tracked
        self.links = {link.tag.start: link for link in document.links}
        self.marked: list[list[Piece]] = []
        self.marker = "marker"
        while self.marker in self.parsed.text:
            self.marker += "q"

    def mark(self, pieces: list[Piece]) -> str:
        self.marked.append(pieces)
        return f"{self.marker}{len(self.marked) - 1}z"

    def html(self) -> str:
        out: list[str] = []
        open_link: Link | None = None
        for node in self.document.nodes:
            if node.conditional:
                continue
            if isinstance(node, Stretch):
                out.append(self.text(node.start, node.end) if node.kind == "text" else "")
            elif node.name == "a":
                out.append(self.address(open_link, shown_until=node.start) if open_link else "")
                open_link = self.links.get(node.start) if isinstance(node, StartTag) else None
            elif isinstance(node, EndTag):
                out.append("" if node.name in _LEFT_OUT else f"</{_plain_name(node.name)}>")
            elif node.name == "img" and open_link:
                out.append(self.attribute(node, "alt"))
            elif node.name not in _LEFT_OUT:
                hidden = _HIDDEN.search(self.attribute(node, "style"))
                out.append(f"<{_plain_name(node.name)}{_HIDE if hidden else ''}>")
        if open_link:
            out.append(self.address(open_link, shown_until=len(self.parsed.text)))
        return "".join(out)

    def text(self, start: int, end: int) -> str:
        parts: list[str] = []
        position = start
        for span in spans_in(self.parsed, start, end):
            marker = self.mark(content_pieces(span, "text", self.filling))
            parts += self.parsed.text[position : span.start], marker
            position = span.end
        return "".join((*parts, self.parsed.text[position:end]))

    def attribute(self, tag: StartTag, name: str) -> str:
        attribute = tag.attribute(name)
        return self.text(attribute.start, attribute.end) if attribute else ""

    def address(self, link: Link, *, shown_until: int) -> str:
        shown = decode_attribute(self.parsed.text[link.tag.end : shown_until])
        pieces = self.address_pieces(link)
        if not pieces or (len(pieces) == 1 and str(pieces[0]) in shown):
            return ""
        return " " + self.mark(["<", *pieces, ">"])

    def address_pieces(self, link: Link) -> list[Piece]:
        if self.tracked and link.tracked:
            return [self.filling.address("link"), Token("link", link.tracked.position)]
        parts = link.target if self.tracked else link.written
        if not parts:
            return []
        if isinstance(parts[0], Hole):
            return [*self.filling.pieces(parts[0], "text"), *target_pieces(parts[1:], self.filling)]
        if scheme(parts) in ("mailto", "tel"):
            person = parts[0].partition(":")[2].partition("?")[0]
            return [person] if person else []
        return target_pieces(parts, self.filling) if scheme(parts) in ("http", "https") else []


def _plain_name(name: str) -> str:
    return "div" if name in _AS_BLOCKS else name
