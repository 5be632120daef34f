"""Which inline images a message's HTML shows by `cid:` (RFC 2392), and whether they come along (D16)."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from app.content.html_part import URL_ATTRIBUTES
from app.content.links import read_target, scheme, shape
from app.content.markup import Attribute, Node, StartTag, Stretch, decode_attribute
from app.content.merge_tags import Parsed, spans_in

_IN_STYLE = re.compile(r"url\(\s*[\"']?\s*cid:(?P<id>[^\"')\s]+)", re.IGNORECASE)


def shown_images(html: Parsed, nodes: Iterable[Node]) -> Iterator[tuple[str | None, int]]:
    """Yield each content id that the HTML names, and where; None where it depends on the recipient.

    Outlook's conditional comments count too: its backgrounds are named there.
    """
    for node in nodes:
        if isinstance(node, StartTag):
            for attribute in node.attributes:
                if attribute.name in URL_ATTRIBUTES:
                    yield from _in_address(html, attribute)
                elif attribute.name == "style":
                    written = html.text[attribute.start : attribute.end]
                    for match in _IN_STYLE.finditer(decode_attribute(written)):
                        yield unquote(match["id"]), attribute.start
        elif isinstance(node, Stretch) and node.kind == "raw":
            for match in _IN_STYLE.finditer(html.text, node.start, node.end):
                yield unquote(match["id"]), match.start()


def _in_address(html: Parsed, attribute: Attribute) -> Iterator[tuple[str | None, int]]:
    target = read_target(html, attribute)
    if scheme(target) == "cid":
        fixed = not spans_in(html, attribute.start, attribute.end)
        yield (unquote(shape(target)[len("cid:") :]) if fixed else None), attribute.start
