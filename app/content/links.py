"""Links: what a target is, which links are tracked, analytics tags, and the target at click time (D9, D36, D37).

A target is kept as an HTML reader would see it: entities decoded, white space handled as the URL Standard does (§4.4:
stripped at both ends; tabs and line breaks removed, so that no target can break a redirect's header), every other
character as written. Merge tags in it stay, in their canonical form, and are filled when the link is clicked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from app.content.encoding import escape
from app.content.markup import Attribute, StartTag, decode_attribute
from app.content.merge_tags import Hole, Parsed, Parts, between, is_empty, joined, parse_stored

ANALYTICS_MEDIUM = "email"  # fixed (D9)

_WEB = re.compile(r"https?://[^\s/?#\\]", re.IGNORECASE)  # browsers take a backslash for a slash
_TEXT_URL = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_URL_TAIL = ".,;:!?'*_)]}"
_SITE = re.compile(r"(https?://[^\s/?#]+)", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_REMOVED = re.compile(r"[\t\r\n]")
_STRIPPED = "".join(map(chr, range(33)))  # C0 controls and space


@dataclass(frozen=True, slots=True)
class TrackedLink:
    """One tracked link of a message; each place a target is linked from is a link of its own.

    `target` is where a click leads: a template, analytics tags included. `written` is the target as the content, or the
    link of the library that it refers to, has it. A `honeypot` is no place in the content, and no person sees it (D45).
    """

    position: int
    target: str
    written: str
    library_link_id: int | None = None
    honeypot: bool = False


@dataclass(frozen=True, slots=True)
class LinkRules:
    """What is tracked and tagged (D9, D36): with `track_all` all links to the web, else only those of the library.

    With `honeypot`, a message that has tracked links gets one more that no person can see (D45).
    """

    track_all: bool
    utm_source: str | None
    utm_campaign: str | None
    honeypot: bool = False

    @property
    def analytics(self) -> dict[str, str]:
        """Analytics parameters; empty when the mailing sets neither source nor campaign."""
        given = {"utm_source": self.utm_source, "utm_campaign": self.utm_campaign}
        set_ones = {name: value.strip() for name, value in given.items() if value and value.strip()}
        return {"utm_medium": ANALYTICS_MEDIUM, **set_ones} if set_ones else {}


def link_attribute(tag: StartTag) -> Attribute | None:
    """Give the href of a link; one in a conditional comment is left alone, as all of Outlook's own markup is."""
    if tag.name not in ("a", "area") or tag.conditional:
        return None
    href = tag.attribute("href")
    return href if href and href.quote is not None else None


def read_target(parsed: Parsed, attribute: Attribute) -> Parts:
    """Give the target an attribute's value holds, as an HTML reader and the URL Standard see it."""
    written = between(parsed, attribute.start, attribute.end)
    parts = [_REMOVED.sub("", decode_attribute(part)) if isinstance(part, str) else part for part in written]
    if parts and isinstance(parts[0], str):
        parts[0] = parts[0].lstrip(_STRIPPED)
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip(_STRIPPED)
    return joined(parts)


def shape(parts: Parts) -> str:
    """Give a target with an x for every merge tag: enough to see its scheme, query and fragment."""
    return "".join(part if isinstance(part, str) else "x" for part in parts)


def scheme(parts: Parts) -> str | None:
    """Name the scheme of a target in lower case; None if it has none, or begins with a merge tag."""
    match = _SCHEME.match(parts[0]) if parts and isinstance(parts[0], str) else None
    return match[1].lower() if match else None


def is_web(parts: Parts) -> bool:
    """Tell whether a target is an http or https URL with a host, which is what tracking and analytics tags are for.

    A target with a special link in it is not: its token is the recipient's own and may not be stored with the link.
    """
    if any(isinstance(part, Hole) and part.tag.startswith("link.") for part in parts):
        return False
    return scheme(parts) in ("http", "https") and _WEB.match(shape(parts)) is not None


def urls_in(parsed: Parsed) -> Iterator[tuple[int, int, Parts]]:
    """Yield start, end and target of each URL in a plain text; what ends a sentence is not taken for the URL's."""
    for match in _TEXT_URL.finditer(parsed.filler):
        start, end = match.start(), match.start() + len(match[0].rstrip(_URL_TAIL))
        yield start, end, between(parsed, start, end)


def site_of(target: str) -> str | None:
    """Return scheme and host of a target as it is stored; None where a merge tag has a part in them."""
    found = _SITE.match(target)
    return found[1] if found and "[[" not in found[1] else None


def add_analytics(parts: Parts, parameters: Mapping[str, str]) -> Parts:
    """Add the parameters a target does not carry yet to its query, before any fragment; the rest stays (D9)."""
    before, fragment = _split_at_fragment(parts)
    seen = shape(before)
    _, question_mark, query = seen.partition("?")
    carried = {parameter.partition("=")[0] for parameter in re.split("[&;]", query)}
    missing = [f"{name}={quote(value, safe='')}" for name, value in parameters.items() if name not in carried]
    if not missing:
        return parts
    separator = "" if seen.endswith(("?", "&")) and question_mark else "&" if question_mark else "?"
    return joined((*before, separator + "&".join(missing), *fragment))


def _split_at_fragment(parts: Parts) -> tuple[Parts, Parts]:
    for index, part in enumerate(parts):
        if isinstance(part, str) and "#" in part:
            before, _, after = part.partition("#")
            return (*parts[:index], before), (f"#{after}", *parts[index + 1 :])
    return parts, ()


@lru_cache(maxsize=4096)
def _target_parts(template: str) -> Parts:
    return parse_stored(template, where="link target")


def fill_target(template: str, values: Mapping[str, str]) -> str:
    """Give a stored target filled for one recipient at click time, each value percent-encoded (D12, D37)."""
    if "[[" not in template:
        return template
    return "".join(
        part if isinstance(part, str) else escape("url", value_of(part, values)) for part in _target_parts(template)
    )


def value_of(hole: Hole, values: Mapping[str, str]) -> str:
    """Give the value for a hole, or its default, or nothing."""
    value = values.get(hole.tag)
    return (hole.default or "") if value is None or is_empty(value) else value
