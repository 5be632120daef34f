"""What is wrong, or could be better, with a message before it is sent (D26). Nothing here needs a network.

A *problem* makes the mailing incomplete; a *warning* does not stop it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from app.content.address_checks import image_fault, link_fault
from app.content.compiled import CompiledMessage
from app.content.compiler import MessageSource
from app.content.inline_images import shown_images
from app.content.library import Library, reference_in
from app.content.links import link_attribute, read_target
from app.content.markup import Node, StartTag, Stretch, decode_attribute, scan
from app.content.merge_tags import (
    Hole,
    MergeTagError,
    Parsed,
    TagFault,
    line_starts,
    locate,
    parse_leniently,
    spans_in,
)
from app.content.script_links import script_links

MAX_SIZE = 102 * 1024
"""Gmail shows no more than 102 kB of a message and hides the rest behind "View entire message"."""

MAX_WITH_ATTACHMENTS = 10_240_000
"""What Postfix takes unless told otherwise, and so many a company's server."""

Code = Literal[
    "bad_merge_tag",
    "broken_image",
    "dead_anchor",
    "empty_link",
    "large_message",
    "malformed_link",
    "missing_alt",
    "missing_inline_image",
    "missing_language",
    "missing_subject",
    "missing_unsubscribe_link",
    "no_text_part",
    "private_link",
    "script_link",
    "too_large",
    "unknown_library_link",
    "unsubscribe_link_not_in_text",
    "unused_inline_image",
]

_UNSUBSCRIBE = "link.unsubscribe"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `line` and `column`, from 1, where it is about a place in the HTML (or the text `detail` names)."""

    code: Code
    severity: Literal["problem", "warning"]
    detail: str
    line: int | None = None
    column: int | None = None


def check_message(source: MessageSource, compiled: CompiledMessage | MergeTagError) -> list[Finding]:
    """Check a message; `compiled` is what `compile_message` gave or raised for it."""
    findings: list[Finding] = []
    html, _ = parse_leniently(source.html, where="html", html=True, extra_tags=source.extra_tags)
    nodes = scan(html.filler)
    if isinstance(compiled, MergeTagError):
        findings += (Finding(fault.code, "problem", *_fault(fault)) for fault in compiled.faults)
    else:
        findings += _sizes(compiled)
    findings += _headers_and_text(source)
    findings += _unsubscribe_link(source, html, nodes)
    findings += _inline_images(source, html, nodes)
    findings += (
        Finding("script_link", "problem", found.message, found.line, found.column)
        for found in script_links(html, nodes)
    )
    return [*findings, *_markup(html, nodes, Library.of(source.library))]


def _sizes(compiled: CompiledMessage) -> Iterator[Finding]:
    if compiled.size > MAX_SIZE:
        detail = f"{compiled.size // 1024} kB; Gmail cuts a message off after {MAX_SIZE // 1024} kB"
        yield Finding("too_large", "warning", detail)
    if (whole := compiled.size + compiled.tail_size) > MAX_WITH_ATTACHMENTS:
        detail = (
            f"with its attachments the message has {whole / 1e6:.1f} MB, "
            f"and many servers refuse over {MAX_WITH_ATTACHMENTS / 1e6:.1f} MB"
        )
        yield Finding("large_message", "warning", detail)


def _fault(fault: TagFault) -> tuple[str, int, int]:
    return f"{fault.where}: {fault.written}: {fault.message}", fault.line, fault.column


def _headers_and_text(source: MessageSource) -> Iterator[Finding]:
    if not source.subject.strip():
        yield Finding("missing_subject", "problem", "the message has no subject")
    if source.written_text is None:
        yield Finding("no_text_part", "warning", "no text part is written; it is derived from the HTML")


def _unsubscribe_link(source: MessageSource, html: Parsed, nodes: tuple[Node, ...]) -> Iterator[Finding]:
    if not source.marketing:
        return
    visible = [
        node for node in nodes if not node.conditional and not (isinstance(node, Stretch) and node.kind != "text")
    ]
    in_html = any(
        span.content.tag == _UNSUBSCRIBE
        for node in visible
        for span in spans_in(html, node.start, node.end)
        if isinstance(span.content, Hole)
    )
    if not in_html:
        detail = f"marketing mail needs a visible link to [[{_UNSUBSCRIBE}]] in its HTML"
        yield Finding("missing_unsubscribe_link", "problem", detail)
    if source.written_text and _UNSUBSCRIBE not in source.written_text:
        detail = f"the text part has no [[{_UNSUBSCRIBE}]]"
        yield Finding("unsubscribe_link_not_in_text", "warning", detail)


def _inline_images(source: MessageSource, html: Parsed, nodes: tuple[Node, ...]) -> Iterator[Finding]:
    lines = line_starts(html.text)
    attached = {file.content_id: file.filename for file in source.attachments if file.content_id}
    seen: set[str] = set()
    for content_id, offset in shown_images(html, nodes):
        if content_id in attached:
            seen.add(content_id)
            continue
        if content_id is None:
            detail = "a merge tag cannot stand in a cid: address, since the images are the same for everybody"
        else:
            there = ", ".join(sorted(attached)) or "none"
            detail = f"cid:{content_id[:100]} names no inline image of this mailing; there are: {there}"
        yield Finding("missing_inline_image", "problem", detail, *locate(lines, offset))
    for content_id in attached.keys() - seen:
        detail = f"nothing in the HTML shows cid:{content_id} ({attached[content_id]}): some readers see it as a file"
        yield Finding("unused_inline_image", "warning", detail)


def _markup(html: Parsed, nodes: tuple[Node, ...], library: Library) -> Iterator[Finding]:
    lines = line_starts(html.text)
    tags = [node for node in nodes if isinstance(node, StartTag) and not node.conditional]
    anchors = set(_anchors(html, tags))
    languages = (tag.attribute("lang") for tag in tags if tag.name == "html")
    told = [html.text[language.start : language.end].strip() for language in languages if language]
    if not any(language not in ("", "und") for language in told):  # MJML writes "und" where <mjml> has no lang
        detail = '<html> has no lang, which screen readers need (WCAG 3.1.1); in MJML it is written <mjml lang="nb">'
        yield Finding("missing_language", "warning", detail)
    for tag in tags:
        place = locate(lines, tag.start)
        if tag.name in ("img", "area") and tag.attribute("alt") is None:
            yield Finding("missing_alt", "warning", f"<{tag.name}> has no alt (WCAG 1.1.1)", *place)
        if tag.name == "img":
            source = tag.attribute("src")
            if fault := image_fault(read_target(html, source) if source else ()):
                yield Finding("broken_image", "warning", fault, *place)
        if href := link_attribute(tag):
            target = library.resolve(read_target(html, href))
            if reference_in(target) is None and (found := link_fault(target, anchors=anchors)):
                yield Finding(found[0], "warning", found[1], *place)


def _anchors(html: Parsed, tags: Iterable[StartTag]) -> Iterator[str]:
    for tag in tags:
        for attribute in (tag.attribute("id"), tag.attribute("name")):
            if attribute:
                yield decode_attribute(html.text[attribute.start : attribute.end])
