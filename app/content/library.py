"""The link library as a message sees it (D36): which links content refers to, and where they lead.

Content refers to a library link by its tag, `[[link.library.12]]`, as the whole address of a link or in text; or by its
very target as the address of a link. Either way it is that library link, tracked even without `track_all_links`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from app.content.links import is_web, link_attribute, read_target, urls_in
from app.content.markup import Node, StartTag, Stretch, scan
from app.content.merge_tags import (
    Hole,
    Parsed,
    Parts,
    Span,
    TagFault,
    library_link_of,
    parse_leniently,
    parse_stored,
    spans_in,
    unparse,
)


@dataclass(frozen=True, slots=True)
class Library:
    """The links of the library that a message may refer to: targets by id, and ids by target as `unparse` writes it."""

    targets: Mapping[int, Parts] = field(default_factory=dict)
    ids: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Mapping[int, str]) -> Self:
        """Read targets as they are stored; of two links with the same target, the older one is meant by it."""
        targets = {link_id: parse_stored(stored[link_id], where="library link") for link_id in sorted(stored)}
        return cls(targets, {unparse(parts): link_id for link_id, parts in reversed(targets.items())})

    def meant_by(self, written: Parts) -> int | None:
        """Return the id of the library link that an address refers to, or None: it exists, unless its tag says more."""
        return self.ids.get(unparse(written)) if (link_id := reference_in(written)) is None else link_id

    def resolve(self, written: Parts) -> Parts:
        """Return an address with the target in place of a reference; an unknown one stays as it is."""
        link_id = reference_in(written)
        return written if link_id is None else self.targets.get(link_id, written)

    def is_tracked(self, link_id: int | None) -> bool:
        """Tell whether clicks on a library link are counted: on any that exists and leads to the web."""
        return link_id is not None and is_web(self.targets.get(link_id, ()))

    def fault(self, parsed: Parsed, span: Span) -> TagFault | None:
        """Return what is wrong with a tag that names no library link which exists, or None."""
        link_id = library_link_of(span.content.tag) if isinstance(span.content, Hole) else None
        if link_id is None or link_id in self.targets:
            return None
        reason = f"there is no link {link_id} in the library; it was deleted, or never was"
        written = parsed.text[span.start : span.end][:80]
        return TagFault(parsed.where, span.line, span.column, written, reason, "unknown_library_link")


def reference_in(parts: Parts) -> int | None:
    """Return the id of the library link whose tag is a whole address, or None."""
    only = parts[0] if len(parts) == 1 else ""
    return library_link_of(only.tag) if isinstance(only, Hole) else None


def references(parsed: Parsed, nodes: Sequence[Node] | None = None) -> Iterator[Span]:
    """Yield the tags of library links in a text; given the nodes of HTML, those that are not in comments."""
    places = ((0, len(parsed.text)),) if nodes is None else ((n.start, n.end) for n in nodes if not is_comment(n))
    for start, end in places if parsed.spans else ():
        for span in spans_in(parsed, start, end):
            if isinstance(span.content, Hole) and library_link_of(span.content.tag) is not None:
                yield span


def is_comment(node: Node) -> bool:
    """Tell whether a node is a comment, in which nobody follows a link; Outlook's conditional ones are HTML."""
    return isinstance(node, Stretch) and node.kind == "comment"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the library a message may need: links by their ids, and by the keys of their targets."""

    ids: frozenset[int]
    keys: frozenset[str]


def wanted(html: str, text: str | None) -> Wanted:
    """Find what of the library the HTML and the written text of a message may refer to."""
    body, _ = parse_leniently(html, where="html", html=True)
    written, _ = parse_leniently(text or "", where="text")
    nodes = scan(body.filler)
    hrefs = (link_attribute(node) for node in nodes if isinstance(node, StartTag))
    targets = [*(read_target(body, href) for href in hrefs if href), *(parts for _, _, parts in urls_in(written))]
    return Wanted(
        ids=frozenset(ids_of((*references(body, nodes), *references(written)))),
        keys=frozenset(target_key(target) for target in targets if target),
    )


def ids_of(spans: Iterable[Span]) -> tuple[int, ...]:
    """Return the ids of the library links that tags name, each once, in their order."""
    named = (library_link_of(span.content.tag) for span in spans if isinstance(span.content, Hole))
    return tuple(dict.fromkeys(link_id for link_id in named if link_id is not None))


def target_key(parts: Parts) -> str:
    """Return what targets are found by: equal for those that differ only in how their merge tags are written."""
    return hashlib.md5(unparse(parts).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
