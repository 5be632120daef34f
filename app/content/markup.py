"""HTML by position: which stretch of a text is a tag, an attribute value, a comment, text. Nothing is changed.

Tokenises as the HTML Standard does (§13.2.5), so that a browser, a mail program and this module agree on where a value
lands. A parser that builds a tree would have to write the HTML anew, and mail programs depend on its exact form
(Outlook's conditional comments, above all).

The content of a conditional comment (`<!--[if mso]> … <![endif]-->`) is read as HTML too, since Outlook does.
"""

import html as html_entities
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from html.entities import html5
from typing import Literal

_RAW = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes", "plaintext"})
_ESCAPABLE_RAW = frozenset({"title", "textarea"})

_OPENING = re.compile(
    r"<(?:(?P<comment>!--)|(?P<slash>/?)(?P<name>[A-Za-z][^ \t\n\f\r/>]*+)|(?P<bogus>[!?]|/(?![A-Za-z])))"
)
# No possessive groups, only possessive sets: Python before 3.11.5 loses groups in them (gh-101955).
_ATTRIBUTE = re.compile(
    r"""[ \t\n\f\r/]*+
    (?: (?P<close>>)
      | (?P<name>=?[^ \t\n\f\r/>=]*+)
        (?: [ \t\n\f\r]*+ = [ \t\n\f\r]*+
            (?: "(?P<double>[^"]*+)(?:"|\Z) | '(?P<single>[^']*+)(?:'|\Z) | (?P<bare>[^ \t\n\f\r>]*+) ) )? )""",
    re.VERBOSE,
)
_COMMENT_END = re.compile("--!?>")
_CONDITION = re.compile(r"[ \t\n\f\r]*+\[if [^\]]*+\]>")
_CONDITION_END = "<![endif]"
_REFERENCE = re.compile(r"&(?:#(?:[0-9]++|[xX][0-9a-fA-F]++);?|(?P<name>[A-Za-z][A-Za-z0-9]*+;?)(?P<assignment>=)?)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, name in lower case; its value is `text[start:end]`.

    `quote` is what stands around the value: `"`, `'`, "" for none; None where there is no value at all.
    """

    name: str
    start: int
    end: int
    quote: str | None


@dataclass(frozen=True, slots=True)
class StartTag:
    """A start tag, name in lower case. `conditional`: inside a conditional comment."""

    name: str
    start: int
    end: int
    attributes: tuple[Attribute, ...]
    conditional: bool

    def attribute(self, name: str) -> Attribute | None:
        """Give the attribute of that name; the first one counts where a name is repeated (HTML Standard §13.2.5.33)."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


@dataclass(frozen=True, slots=True)
class EndTag:
    """An end tag, name in lower case."""

    name: str
    start: int
    end: int
    conditional: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Anything between tags.

    `text` is read by people, `raw` is the inside of style, script and the like, `markup` is a declaration, a processing
    instruction, or a tag that is never closed.
    """

    kind: Literal["text", "raw", "comment", "markup"]
    start: int
    end: int
    conditional: bool


Node = StartTag | EndTag | Stretch


def scan(html: str) -> tuple[Node, ...]:
    """Split HTML into nodes that cover it without gaps."""
    return tuple(_nodes(html, 0, len(html), conditional=False))


def _nodes(html: str, position: int, end: int, *, conditional: bool) -> Iterator[Node]:
    while position < end:
        opening = _OPENING.search(html, position, end)
        start = opening.start() if opening else end
        if start > position:
            yield Stretch("text", position, start, conditional)
        if opening is None:
            return
        nodes: Iterable[Node]
        if opening["comment"]:
            nodes = _comment(html, start, end, conditional=conditional)
        elif opening["bogus"]:
            close = html.find(">", start, end)
            nodes = (Stretch("markup", start, end if close < 0 else close + 1, conditional),)
        else:
            nodes = _tag(html, opening, end, conditional=conditional)
        for node in nodes:
            position = node.end
            yield node


def _comment(html: str, start: int, end: int, *, conditional: bool) -> Iterator[Node]:
    inside = start + len("<!--")
    for abrupt in (">", "->"):
        if html.startswith(abrupt, inside, end):
            yield Stretch("comment", start, inside + len(abrupt), conditional)
            return
    closing = _COMMENT_END.search(html, inside, end)
    close, after = closing.span() if closing else (end, end)
    condition = _CONDITION.match(html, inside, close)
    if condition and not conditional and html.endswith(_CONDITION_END, inside, close):
        first, last = condition.end(), close - len(_CONDITION_END)
        yield Stretch("comment", start, first, conditional)
        yield from _nodes(html, first, last, conditional=True)
        start = last
    yield Stretch("comment", start, after, conditional)


def _tag(html: str, opening: re.Match[str], end: int, *, conditional: bool) -> Iterator[Node]:
    name, start, position = opening["name"].lower(), opening.start(), opening.end()
    attributes: list[Attribute] = []
    while (match := _ATTRIBUTE.match(html, position, end)) and not match["close"]:
        position = match.end()
        if position >= end:
            yield Stretch("markup", start, end, conditional)
            return
        kind = next((kind for kind in ("double", "single", "bare") if match[kind] is not None), None)
        if kind:
            quote = html[match.start(kind) - 1] if kind != "bare" else ""
            attributes.append(Attribute(match["name"].lower(), *match.span(kind), quote))
        else:
            attributes.append(Attribute(match["name"].lower(), position, position, None))
    after = match.end() if match else end
    if opening["slash"]:
        yield EndTag(name, start, after, conditional)
        return
    yield StartTag(name, start, after, tuple(attributes), conditional)
    if name in _RAW or name in _ESCAPABLE_RAW:
        closing = None if name == "plaintext" else _raw_end(name).search(html, after, end)
        inside_end = closing.start() if closing else end
        if inside_end > after:
            yield Stretch("raw" if name in _RAW else "text", after, inside_end, conditional)


@cache
def _raw_end(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.IGNORECASE)


def decode_attribute(written: str) -> str:
    """Give an attribute's value as an HTML reader sees it: `&amp;` is `&`.

    `?a=1&copy=2` keeps its `&copy`: in attributes a reference without semicolon that is followed by a letter, a digit
    or `=` is text (HTML Standard §13.2.5.73), which `html.unescape` does not know.
    """
    return _REFERENCE.sub(_decoded, written) if "&" in written else written


def _decoded(reference: re.Match[str]) -> str:
    name = reference["name"]
    if name is None:
        return html_entities.unescape(reference[0])
    if name not in html5 or (reference["assignment"] and not name.endswith(";")):
        return reference[0]
    return html5[name] + (reference["assignment"] or "")
