"""Merge tags: `[[customer.firstname|default("du")]]` (D11).

The whole language is one tag with one optional default, so content can reach no file, attribute or loop. White space is
free inside the brackets; the default is in double or single quotes, a backslash keeps the character after it. Brackets
in a row: the last two open the tag, so `[[[customer.name]]]` is the name in brackets. A literal `[[` is written
`[["[["]]`.

In HTML the inside of a tag is read as an HTML reader would: an editor's `default(&quot;R&amp;D&quot;)` is `R&D`.
"""

import difflib
import html as html_entities
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Literal, get_args

MAX_FAULTS = 100
"""A hostile megabyte may hold 300 000 faults; nobody reads more than this many."""

LITERAL_BRACKETS = '[["[["]]'

_MAILBOX = ("name", "email")


@dataclass(frozen=True, slots=True)
class Tag:
    """One merge tag of the catalogue, or a family of them when the name ends in `<field>`."""

    name: str
    group: str
    description: str


def _group(group: str, descriptions: Mapping[str, str]) -> tuple[Tag, ...]:
    return tuple(Tag(f"{group}.{name}", group, description) for name, description in descriptions.items())


CATALOGUE: tuple[Tag, ...] = (
    *_group(
        "customer",
        {
            "name": "Full name of the recipient",
            "firstname": "First name",
            "lastname": "Last name",
            "salutation": "Salutation, as the CRM has it",
            "email": "Email address the message goes to",
            "title": "Job title",
            "cellphone": "Mobile number",
            "direct": "Direct telephone number",
            "category": "Category in the CRM",
            "business": "Line of business",
            "number": "Customer number",
            "position": "Position",
            "extra.<field>": "An extra field of the person",
        },
    ),
    *_group(
        "company",
        {
            "name": "Name of the recipient's company",
            "department": "Department",
            "country": "Country",
            "phone": "Telephone number",
            "url": "Web address",
            "category": "Category in the CRM",
            "business": "Line of business",
            "number": "Company number",
            "city": "City",
            "extra.<field>": "An extra field of the company",
        },
    ),
    *_group("sender", {"name": "Name the message is from", "email": "Address the message is from"}),
    *_group("mailing", {"name": "Name of the mailing", "subject": "Subject of the message", "date": "Date it is sent"}),
    *_group(
        "project",
        {
            "name": "Name of the associated project",
            "number": "Number of the associated project",
            "description": "Description of the associated project",
        },
    ),
    *_group(
        "link",
        {
            "view_in_browser": "Address of the message as a web page",
            "unsubscribe": "Address that unsubscribes from this type of mailing",
            "manage_subscriptions": "Address of the page for all subscription types",
            "library.<id>": "Address of a link in the library: the whole address of a link, or in text",
        },
    ),
)

KNOWN_TAGS: frozenset[str] = frozenset(tag.name for tag in CATALOGUE if not tag.name.endswith(">"))

Contact = Literal["our_contact", "support_contact"]

CONTACT_TAGS: frozenset[str] = frozenset(f"{contact}.{field}" for contact in get_args(Contact) for field in _MAILBOX)
"""What `sender.name` and `sender.email` become where the sender is the recipient's own contact (D5): nothing to write
in content, but subjects and targets are stored with them."""

_STORED_TAGS = KNOWN_TAGS | CONTACT_TAGS
_FAMILIES = tuple(tag.name.removesuffix("<field>") for tag in CATALOGUE if tag.name.endswith("<field>"))
_LIBRARY = "link.library."
_LIBRARY_LINK = re.compile(r"link\.library\.([1-9][0-9]{0,17})")  # so many digits are never over 2^63


@dataclass(frozen=True, slots=True)
class Hole:
    """A place where a recipient's value goes; `default` is used when there is none."""

    tag: str
    default: str | None = None


Part = str | Hole
Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A merge tag in its text: `text[start:end]`, at a line and column counted from 1.

    `content` is what it stands for: a hole, or a literal `[[`.
    """

    start: int
    end: int
    line: int
    column: int
    content: Part


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text and the merge tags in it, in order."""

    where: str
    text: str
    spans: tuple[Span, ...]

    @property
    def parts(self) -> Parts:
        """The text as literals and holes; neighbouring literals are joined."""
        return between(self, 0, len(self.text))

    @property
    def tags(self) -> frozenset[str]:
        """Names of the tags used."""
        return frozenset(span.content.tag for span in self.spans if isinstance(span.content, Hole))

    @property
    def filler(self) -> str:
        """The text with every tag overwritten by the letter x.

        Offsets stay the same, and no quote, bracket or space of a tag can be taken for one of the text's own.
        """
        pieces: list[str] = []
        position = 0
        for span in self.spans:
            pieces += self.text[position : span.start], "x" * (span.end - span.start)
            position = span.end
        return "".join((*pieces, self.text[position:]))


@dataclass(frozen=True, slots=True)
class TagFault:
    """What is wrong with one tag: `written` at line and column (from 1) of the text named `where`."""

    where: str
    line: int
    column: int
    written: str
    message: str
    code: Literal["bad_merge_tag", "unknown_library_link"] = "bad_merge_tag"


class MergeTagError(ValueError):
    """Content has merge tags that cannot be used; `faults` has every one of them, up to `MAX_FAULTS` (D11)."""

    def __init__(self, faults: Collection[TagFault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        super().__init__(f"{first.where}, line {first.line}, column {first.column}: {first.message}")


def _pattern(space: str, *quotes: str) -> re.Pattern[str]:
    # Possessive quantifiers: a tag matches at the first try or fails at once, so hostile text costs linear time. They
    # stand on sets of characters only: Python before 3.11.5 loses groups in possessive groups (gh-101955), and Debian
    # 12 has 3.11.2.
    quote = "|".join(quotes)
    return re.compile(
        rf"""
        \[\[ {space}
        (?: (?P<bracket>{quote}) \[\[ (?P=bracket) {space}
          | (?P<name>[\w.\-]++) {space}
            (?: \| {space} default {space} \( {space}
                (?P<quote>{quote}) (?P<default>(?:(?!(?P=quote))[^\\]|\\(?:(?P=quote)|.))*) (?P=quote) {space}
                \) {space} )? )
        \]\]""",
        re.DOTALL | re.VERBOSE,
    )


_IN_TEXT = _pattern(r"\s*+", '"', "'")
_IN_HTML = _pattern(r"(?:\s|&nbsp;|&\#160;)*", '"', "'", "&quot;", r"&\#34;", "&apos;", r"&\#39;", r"&\#x27;")
_OPENING = re.compile(r"\[{2,}+")
_span_start = attrgetter("start")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parse(text: str, *, where: str, html: bool = False, extra_tags: Collection[str] | None = None) -> Parsed:
    """Read the merge tags of a text, in linear time.

    `where` names the text in faults ("subject", "html"). `html` lets quotes and defaults be written with entities.
    `extra_tags` are the `customer.extra.…` and `company.extra.…` tags that exist; None accepts any field name.
    Raises MergeTagError with every unknown, malformed or unclosed tag.
    """
    parsed, faults = parse_leniently(text, where=where, html=html, extra_tags=extra_tags)
    if faults:
        raise MergeTagError(faults)
    return parsed


def parse_stored(text: str, *, where: str) -> Parts:
    """Read a text that `unparse` wrote; a recipient's own contact may be among its tags."""
    parsed, faults = parse_leniently(text, where=where, known=_STORED_TAGS)
    if faults:
        raise MergeTagError(faults)
    return parsed.parts


def parse_leniently(
    text: str,
    *,
    where: str,
    html: bool = False,
    extra_tags: Collection[str] | None = None,
    known: frozenset[str] = KNOWN_TAGS,
) -> tuple[Parsed, tuple[TagFault, ...]]:
    """Read the merge tags of a text as `parse` does, and give its faults too; a malformed tag is read as text."""
    pattern = _IN_HTML if html else _IN_TEXT
    lines = line_starts(text)
    spans: list[Span] = []
    faults: list[TagFault] = []
    position = 0
    while (opening := _OPENING.search(text, position)) and len(faults) < MAX_FAULTS:
        start = opening.end() - 2
        line, column = locate(lines, start)
        match = pattern.match(text, start)
        if match is None:
            written, message = _malformed(text, start)
            faults.append(TagFault(where, line, column, written, message))
            position = start + (len(written) if written.endswith("]]") else 2)
            continue
        position = match.end()
        name = match["name"]
        problem = _unknown(name, extra_tags) if name and name not in known else None
        if problem is None and match["default"] is not None and name.startswith(_LIBRARY):
            problem = f"a link of the library always has its target, so it takes no default: write [[{name}]]"
        if problem:
            faults.append(TagFault(where, line, column, match[0][:80], problem))
        spans.append(Span(start, match.end(), line, column, _content(match, html=html)))
    return Parsed(where, text, tuple(spans)), tuple(faults)


def line_starts(text: str) -> tuple[int, ...]:
    """Give the offsets where the lines of a text start, for `locate`."""
    return (0, *(newline.end() for newline in re.finditer("\n", text)))


def locate(lines: Sequence[int], offset: int) -> tuple[int, int]:
    """Give line and column, both from 1, of an offset; `lines` is what `line_starts` gave."""
    line = bisect_right(lines, offset)
    return line, offset - lines[line - 1] + 1


def _content(match: re.Match[str], *, html: bool) -> Part:
    if match["bracket"]:
        return "[["
    default = match["default"]
    if default is not None:
        default = _ESCAPED.sub(r"\1", html_entities.unescape(default) if html else default)
    return Hole(match["name"], default)


def _malformed(text: str, start: int) -> tuple[str, str]:
    """Say what a failed tag looks like and why, in constant time: its end is looked for within 200 characters."""
    seen = text[start : start + 200]
    close, reopened = seen.find("]]"), seen.find("[[", 2)
    if close < 0 or 0 < reopened < close:
        return seen[:30], f"the tag is never closed with ]]; a literal [[ is written {LITERAL_BRACKETS}"
    message = (
        'not a merge tag: write [[customer.firstname]] or [[customer.firstname|default("du")]]; '
        f"a literal [[ is written {LITERAL_BRACKETS}"
    )
    return seen[: close + 2], message


def _unknown(name: str, extra_tags: Collection[str] | None) -> str | None:
    if name.startswith(_LIBRARY):
        known = _LIBRARY_LINK.fullmatch(name)
        return None if known else "a link of the library is named by its id, as in [[link.library.12]]"
    family = next((family for family in _FAMILIES if name.startswith(family) and len(name) > len(family)), None)
    if family and (extra_tags is None or name in extra_tags):
        return None
    nearest = _nearest(name[:64], frozenset(extra_tags or ()))
    asked = f"; did you mean {nearest}?" if nearest else ""
    return f"there is no tag {name[:64]}{asked or ('; declare the extra field first' if family else '')}"


@lru_cache(maxsize=256)
def _nearest(name: str, extra_tags: frozenset[str]) -> str | None:
    known = sorted(KNOWN_TAGS | extra_tags)
    short = name.lower().rpartition(".")[2]
    same_ending = [tag for tag in known if tag.endswith(f".{short}")]
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return next(iter(close or same_ending), None)


def between(parsed: Parsed, start: int, end: int) -> Parts:
    """Give the literals and holes of `parsed.text[start:end]`; the range may not cut through a tag."""
    parts: list[Part] = []
    position = start
    for span in spans_in(parsed, start, end):
        parts += parsed.text[position : span.start], span.content
        position = span.end
    return joined((*parts, parsed.text[position:end]))


def spans_in(parsed: Parsed, start: int, end: int) -> tuple[Span, ...]:
    """Give the tags that start within `parsed.text[start:end]`."""
    first = bisect_left(parsed.spans, start, key=_span_start)
    return parsed.spans[first : bisect_left(parsed.spans, end, lo=first, key=_span_start)]


def joined(parts: Iterable[Part]) -> Parts:
    """Give the same parts with neighbouring literals joined and empty ones left out."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return tuple(out)


def escape(text: str) -> str:
    """Write `text` so that `parse` gives it back as one literal."""
    return text.replace("[[", LITERAL_BRACKETS)


def unparse(parts: Iterable[Part]) -> str:
    """Write `parts` in the canonical way; `parse` gives the same parts back."""
    return "".join(escape(part) if isinstance(part, str) else _written(part) for part in joined(parts))


def _written(hole: Hole) -> str:
    if hole.default is None:
        return f"[[{hole.tag}]]"
    quoted = hole.default.replace("\\", "\\\\").replace('"', '\\"')
    return f'[[{hole.tag}|default("{quoted}")]]'


def is_empty(value: str | None) -> bool:
    """Tell whether a value counts as missing, so that the default is used."""
    return not value or value.isspace()


def library_link_of(tag: str) -> int | None:
    """Return the id of the library link that a tag stands for, or None: it is another tag."""
    found = _LIBRARY_LINK.fullmatch(tag)
    return int(found[1]) if found else None


def group_of(tag: str) -> str:
    """Name the group a tag belongs to: "customer" for customer.firstname."""
    return tag.partition(".")[0]
