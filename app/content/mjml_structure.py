"""The faults that people make in MJML, with their places: what is not closed, misspelled, or cannot be had here."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.content.markup import EndTag, StartTag, Stretch, scan
from app.content.merge_tags import Parsed, line_starts, locate

MAX_DEPTH = 100  # a generous newsletter has 20

ELEMENTS = frozenset({
    "mjml", "mj-head", "mj-body", "mj-attributes", "mj-all", "mj-class", "mj-breakpoint", "mj-font",
    "mj-html-attributes", "mj-selector", "mj-html-attribute", "mj-preview", "mj-style", "mj-title", "mj-accordion",
    "mj-accordion-element", "mj-accordion-title", "mj-accordion-text", "mj-button", "mj-carousel", "mj-carousel-image",
    "mj-column", "mj-divider", "mj-group", "mj-hero", "mj-image", "mj-navbar", "mj-navbar-link", "mj-raw", "mj-section",
    "mj-social", "mj-social-element", "mj-spacer", "mj-table", "mj-text", "mj-wrapper", "mj-include",
})  # fmt: skip
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class MjmlFault:
    """What is wrong, and where, as far as it is known; line and column count from 1."""

    message: str
    line: int | None = None
    column: int | None = None


def find_faults(source: Parsed) -> Iterator[MjmlFault]:
    """Yield what is wrong with the elements of a source; of what is not closed, only the first."""
    nesting = _Nesting(source)
    nodes = scan(source.filler)
    if not any(isinstance(node, StartTag) and node.name == "mjml" for node in nodes):
        yield nesting.fault("There is no <mjml> element; MJML begins with it. Plain HTML goes into `html`.", 0)
        return
    for node in nodes:
        if node.conditional:  # Outlook's own markup, in mj-raw
            continue
        if isinstance(node, StartTag):
            yield from nesting.named(node)
            broken = nesting.open(node)
        elif isinstance(node, EndTag):
            broken = nesting.close(node)
        else:
            broken = nesting.unfinished(node)
        if broken:  # what follows is wrong only because this is
            yield broken
            return
    yield from nesting.left_open()


class _Nesting:
    """The elements that are open at a place."""

    def __init__(self, source: Parsed) -> None:
        self.source = source
        self.lines = line_starts(source.text)
        self.tags: list[StartTag] = []

    def fault(self, message: str, offset: int) -> MjmlFault:
        return MjmlFault(message, *locate(self.lines, offset))

    def named(self, tag: StartTag) -> Iterator[MjmlFault]:
        if tag.name == "mj-include":
            yield self.fault("mj-include is not possible here: there are no files to include.", tag.start)
        elif tag.name.startswith("mj") and tag.name not in ELEMENTS:
            yield self.fault(f"There is no MJML element <{tag.name[:40]}>.", tag.start)

    def open(self, tag: StartTag) -> MjmlFault | None:
        if tag.name in _VOID or self.source.filler.startswith("/>", tag.end - 2):
            return None
        self.tags.append(tag)
        deep = len(self.tags) > MAX_DEPTH
        return self.fault(f"It is nested over {MAX_DEPTH} elements deep.", tag.start) if deep else None

    def close(self, tag: EndTag) -> MjmlFault | None:
        if self.tags and self.tags[-1].name == tag.name:
            self.tags.pop()
            return None
        if tag.name in _VOID:
            return None
        name = tag.name[:40]
        if not self.tags:
            return self.fault(f"</{name}> closes nothing.", tag.start)
        line, column = locate(self.lines, self.tags[-1].start)
        inner = f"<{self.tags[-1].name[:40]}> of line {line}, column {column}"
        return self.fault(f"</{name}> comes before {inner}, is closed.", tag.start)

    def unfinished(self, stretch: Stretch) -> MjmlFault | None:
        if stretch.kind != "markup":
            return None
        return self.fault(
            "A declaration or an unfinished tag cannot stand in MJML; a literal < is written &lt;.", stretch.start
        )

    def left_open(self) -> Iterator[MjmlFault]:
        for tag in self.tags[-1:]:
            yield self.fault(f"<{tag.name[:40]}> is never closed.", tag.start)
