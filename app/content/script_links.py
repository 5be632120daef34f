"""Addresses that run as a script where they are followed: `javascript:` and the like.

Mail programs refuse or take out what has them, and a filter may refuse the whole message. They are refused when content
is saved, and a problem that stops the mailing where older content has one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.content.html_part import SCRIPT_SCHEMES
from app.content.links import read_target, scheme
from app.content.markup import Node, StartTag
from app.content.merge_tags import Parsed, line_starts, locate

_FOLLOWED = frozenset({"href", "xlink:href", "action", "formaction"})
_LOADED = frozenset({"src", "data"})
_LOADING = frozenset({"iframe", "frame", "embed", "object", "script"})


@dataclass(frozen=True, slots=True)
class ScriptLink:
    """Such an address: the place of its tag, from 1, and what is to be said of it."""

    line: int
    column: int
    message: str


def script_links(parsed: Parsed, nodes: Sequence[Node]) -> Iterator[ScriptLink]:
    """Yield the addresses in HTML or MJML that run as a script, Outlook's own markup included.

    They are read as a mail program reads them: entities, capitals, tabs and line breaks in a scheme hide nothing.
    """
    lines = line_starts(parsed.text)
    for node in nodes:
        if not isinstance(node, StartTag):
            continue
        for attribute in node.attributes:
            if attribute.name in _FOLLOWED or (attribute.name in _LOADED and node.name in _LOADING):
                name = scheme(read_target(parsed, attribute))
                if name in SCRIPT_SCHEMES:
                    message = f"{name}: links are refused by mail programs, and rightly; write an https address"
                    yield ScriptLink(*locate(lines, node.start), message)
