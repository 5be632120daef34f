"""The rules of a message, held over arbitrary values: headers, lines, links, escaping (D12, D37).

A short run with the suite; `make message-rules CASES=10000` for as many cases of each as one likes.
"""

import html as html_entities
import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.content import headers
from app.content.attached import Attachment
from app.content.compiled import preview
from app.content.encoding import clean, escape
from app.content.file_types import clean_name
from app.content.links import fill_target
from app.content.merge_tags import escape as escape_brackets
from app.delivery.smtp.feed import Stuffed
from app.delivery.smtp.wire import body
from tests.content.messages import compiled, parsed, recipient, whole

CASES = int(os.environ.get("BUDSTIKKE_MESSAGE_CASES", "40"))
rules = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))

# Everything Unicode has, lone surrogates too: JSON can carry them.
_any = st.text(st.characters(), max_size=60)
_hostile = st.sampled_from(
    [
        "\r\nBcc: x@example.com", "\nX-A: b", "\r\n\r\nbody", "\r\n.\r\n", "\n.\n", ".", "\r", "\x0b", "\x0c", "\x85",
        "\u2028", "\u2029", "\u202e", "=?utf-8?q?x?=", "=?utf-8?b?", "?=", '"', "\\", "\\\r\n", "<a@b.no>",
        ", <c@d.no>",
        "(", ")", ";", ":", "'", "*", "%0d%0a", "&#13;&#10;", "--=_", "From x", "\x00", "]]", "[[", "æøå",
        "\U0001d518", "e\u0301",
        "-->", "--!>", "<!--", "]]>", "</p>", "<script>", "&", "&amp;", "&lt", "&#x", "javascript:", "x" * 300,
    ]
)  # fmt: skip
anything = st.lists(_any | _hostile | st.text('a .\n"\\=?', max_size=30), max_size=6).map("".join)

FILE = b"\x00\xff." * 40
HTML = "<html lang='en'><p>.[[company.name]]</p><a href='https://a.example/[[company.name]]'>x</a></html>"


def built(subject="", name="", reply_name="", filename="", listed="", default=""):
    """A message with whatever is told in every place of its own, and its whole octets for a recipient."""
    tag = f'[[company.city|default("{default}")]]'.replace("\\", "").replace("\0", "")
    return compiled(
        HTML + tag if default else HTML,
        subject=f"{escape_brackets(subject)}[[company.name]] x",
        from_name=name,
        reply_to_name=reply_name,
        reply_to="reply@example.com",
        list_id=f"{listed} <news.example.com>",
        feedback_id="1:2:email:us",
        unsubscribe_email="out@example.com",
        language="nb",
        attachments=[
            Attachment(1, clean_name(filename), "image/png", len(FILE), "logo"),
            Attachment(1, clean_name(filename), "text/plain", len(FILE)),
        ],
    )


def fields_of(octets):
    """The header fields as they stand: name and raw value, folded lines together. Anything else is no header."""
    head = octets.partition(b"\r\n\r\n")[0]
    lines = re.split(rb"\r\n(?![ \t])", head)
    assert all(re.match(rb"[A-Za-z][A-Za-z\-]*: ", line) for line in lines)
    return [line.partition(b":")[0].decode("ascii") for line in lines]


PLANNED = fields_of(
    built("a", "a", "a", "a", "a").render(recipient(built("a", "a", "a", "a", "a"), {"company.name": "a"}))
)


def one_line(value):
    return " ".join(clean(value).split("\n")).replace("\t", " ").encode("utf-8", "replace").decode()


@rules
@given(anything, anything, anything, anything, anything, anything, anything)
def test_no_value_adds_a_header_or_breaks_a_line(subject, value, name, reply_name, to_name, filename, listed):
    message = built(subject, name, reply_name, filename, listed)
    data = recipient(message, {"company.name": value}, to_name=to_name)
    for allowed in (True, False):
        octets = whole(message, data, {1: FILE}, clicks=allowed, opens=allowed)
        assert fields_of(octets) == PLANNED
        lines = octets.split(b"\r\n")
        assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
        assert max(map(len, lines)) <= 78
        assert octets.isascii()
        # As it leaves: what the server reads back up to the lone dot is all of it, and nothing was stuffed.
        made = Stuffed(octets)
        assert b"".join(body(made)) == octets + b".\r\n"
        assert not any(line.startswith(b".") for line in lines)
    mail = parsed(octets)
    assert not any(part.defects for part in mail.walk())
    shown = f"{subject}{value if value.strip() else ''} x"
    assert str(mail["Subject"]).split() == one_line(shown).split()
    for field, address in (
        ("From", "sender@example.com"),
        ("To", "kari@example.com"),
        ("Reply-To", "reply@example.com"),
    ):
        assert [each.addr_spec for each in mail[field].addresses] == [address]
    files = {part.get_content_type(): part for part in mail.walk() if "Content-Disposition" in part}
    assert {kind: _filename(part) for kind, part in files.items()} == dict.fromkeys(
        ("image/png", "text/plain"), clean_name(filename)
    )
    assert files["image/png"].get_content() == FILE


def _filename(part):
    """The name as the header has it; `get_filename` takes quotes off twice."""
    return part["Content-Disposition"].params.get("filename", "").strip()


@rules
@given(anything)
def test_a_file_name_comes_back_from_its_header(name):
    """RFC 2231, whatever the name is, even one that was not cleaned."""
    written = headers.with_filename("Content-Disposition", "attachment", parameter="filename", filename=name)
    assert max(map(len, written.split("\r\n"))) <= 78
    assert not re.search(r"\r(?!\n)|(?<!\r)\n|\r\n(?![ \t])(?=.)", written, re.DOTALL)
    read = parsed(f"{written}\r\n".encode("ascii"))
    assert read.keys() == ["Content-Disposition"]
    expected = clean(name).replace("\n", " ").encode("utf-8", "replace").decode()
    assert _filename(read) == expected.strip()


# Links, byte for byte (D37)

_CHARACTER = st.characters(exclude_characters="\0&\"'<>[]", exclude_categories=["Cs"])
_piece = (
    st.text(_CHARACTER, min_size=1, max_size=12).map(lambda text: (text, text))
    | st.sampled_from(
        [
            ("&amp;", "&"), ("&#38;", "&"), ("&#x2F;", "/"), ("&quot;", '"'), ("&#39;", "'"), ("&lt;", "<"),
            ("&gt;", ">"),
            ("&eacute;", "é"), ("&copy=", "&copy="), ("&copy1", "&copy1"), ("&a=", "&a="), ("&", "&"), ("& ", "& "),
            ("&notit;", "&notit;"), ("<", "<"), (">", ">"), ("%26", "%26"), ("%", "%"), ("?", "?"), ("#", "#"),
            ("[", "["), ("]", "]"), ("=", "="), ("&nbsp;", "\u00a0"), ("//", "//"), ("\t", ""), ("\n", ""), ("@", "@"),
        ]
    )
)  # fmt: skip


def _joined(pieces):
    """What is written and what it means; a bare & is only unambiguous before what cannot go on with it."""
    written, meant = "", ""
    for raw, read in pieces:
        if written.endswith("&") and re.match(r"[A-Za-z0-9#]", raw):
            continue
        if re.search(r"&[A-Za-z0-9#]*$", written) and re.match(r"[A-Za-z0-9;=]", raw):
            continue
        if written.endswith("[") and raw.startswith("["):
            continue
        written, meant = written + raw, meant + read
    return written, meant


hrefs = st.lists(_piece, max_size=10).map(_joined)


def _with_line_feeds(text):
    return text.replace("\r\n", "\n").replace("\r", "\n")


@rules
@given(
    hrefs,
    st.sampled_from(["https://example.com/", "HTTP://user@example.com:8080/", "http://bücher.example/?"]),
    st.sampled_from("\"'"),
)
def test_a_link_is_kept_byte_for_byte(href, start, quote):
    written, meant = href
    tag = f"<a href={quote}{start}{written}x{quote}>"
    message = compiled(f"<html lang='en'><body>{tag}x</a></body></html>")
    (link,) = message.links
    target = start + meant.replace("\r", "").replace("\t", "").replace("\n", "") + "x"
    assert fill_target(link.target, {}) == target
    data = recipient(message)
    plain = preview(message, data, clicks=False, opens=False).html
    assert plain == _with_line_feeds(f"<html lang='en'><body>{tag}x</a></body></html>")
    tracked = preview(message, data).html
    assert f"<a href={quote}https://m.example.com/c/{data.tokens[0]}{quote}>" in tracked
    analysed = compiled(f"<html lang='en'>{tag}x</a></html>", utm_source="news").links[0].target
    added = "utm_medium=email&utm_source=news"
    assert target in [fill_target(analysed, {}).replace(f"{mark}{added}", "", 1) for mark in ("?", "&", "")]


@rules
@given(st.sampled_from(["mailto:", "tel:", "#", "sms:", "/path", "ftp://x.example/"]), hrefs, st.sampled_from("\"'"))
def test_what_is_no_web_address_is_not_touched(start, href, quote):
    page = f"<html lang='en'><body><a href={quote}{start}{href[0]}x{quote}>x</a></body></html>"
    message = compiled(page)
    assert not message.links
    assert preview(message, recipient(message), opens=False).html == _with_line_feeds(page)


# Escaping, per context (D12)

CONTEXTS = compiled(
    '<html lang="en"><body><p>{[[company.name]]}</p><!--{[[company.name]]}--><b title="{[[company.name]]}">x</b>'
    "<b title='{[[company.name]]}'>x</b><b title={[[company.name]]}>x</b>"
    '<a href="https://a.example/?q=[[company.name]]&amp;z=1#[[company.name]]">x</a><img alt="" src="[[company.name]]">'
    "<textarea>{[[company.name]]}</textarea></body></html>",
    subject="{[[company.name]]}",
    text="{[[company.name]]} https://a.example/[[company.name]] .",
    track_all_links=False,
    track_opens=False,
)


class Contexts(HTMLParser):
    """What an HTML reader sees in each place."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.texts, self.attributes, self.comments, self.tags = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.comments.append(data)


TAGS = ["html", "body", "p", "b", "b", "b", "a", "img", "textarea"]


@rules
@given(anything)
def test_a_value_is_read_back_as_itself_in_every_context(value):
    shown = preview(CONTEXTS, recipient(CONTEXTS, {"company.name": value}))
    expected = clean(value) if value.strip() else ""
    seen = Contexts(shown.html)
    assert seen.tags == TAGS
    assert "".join(seen.texts) == f"{{{expected}}}xxxx{{{expected}}}"
    assert [text for name, text in seen.attributes if name == "title"] == [f"{{{expected}}}"] * 3
    assert [html_entities.unescape(comment) for comment in seen.comments] == [f"{{{expected}}}"]
    attributes = dict(seen.attributes)
    query, _, fragment = attributes["href"].removeprefix("https://a.example/?q=").partition("&z=1#")
    assert (unquote(query), unquote(fragment)) == (expected, expected)
    source = attributes["src"] or ""
    assert source in ("", "#") or re.match(r"(?:https?://|mailto:|tel:)[^/\s\"'<>]", source, re.IGNORECASE)
    assert shown.subject == "{" + one_line(value if value.strip() else "") + "}"
    written, _, address = shown.text.rstrip("\n").removesuffix(" .").rpartition(" https://a.example/")
    assert written == f"{{{expected}}}"
    assert unquote(address) == expected


@rules
@given(anything)
def test_escaping_gives_one_word_of_its_context(value):
    kept = clean(value)
    assert html_entities.unescape(escape("html", value)) == kept
    assert not set(escape("html", value)) & set("<>\"'")
    assert not re.search("--|[<>]", escape("comment", value))
    assert unquote(escape("url", value)) == kept
    assert re.fullmatch(r"[A-Za-z0-9._~%\-]*", escape("url", value))
    assert re.fullmatch(r"#|(?i:https?://|mailto:|tel:)[!-~]*", escape("url_start", value))
