import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.content.markup import EndTag, StartTag, Stretch, decode_attribute, scan

DATA = Path(__file__).parent.parent / "data"
SCRAPS = r"""<a href=|"|'|>|<|/|=| |
|<!--|-->|--!>|<!|?|</a>|<style>|</style>|<title>|</title>
<!--[if mso]>|<![endif]-->
x|&amp;|-|æ|<b|<td """
html_like = st.lists(st.sampled_from(re.split(r"\||(?<=>)\n", SCRAPS)) | st.text(max_size=3)).map("".join)


class Reader(HTMLParser):
    """Python's own reader, for comparison where it is known to follow the standard."""

    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))


def tags_of(html):
    return [
        (
            tag.name,
            [
                (a.name, decode_attribute(html[a.start : a.end]) if a.quote is not None else None)
                for a in tag.attributes
            ],
        )
        for tag in scan(html)
        if isinstance(tag, StartTag) and not tag.conditional
    ]


@pytest.mark.parametrize("name", ["cerberus-hybrid.html", "cerberus-responsive.html"])
def test_a_real_newsletter_is_read_as_pythons_parser_reads_it(name):
    html = (DATA / name).read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(html)
    assert tags_of(html) == reader.tags


@given(html_like)
def test_nodes_cover_any_text_without_gaps(html):
    position = 0
    for node in scan(html):
        assert node.start == position
        assert node.end > node.start
        position = node.end
    assert position == len(html)


@pytest.mark.parametrize(
    ("html", "values"),
    [
        ("<a href='x' HREF=y>", ["x", "y"]),
        ("<a href = x/ >", ["x/"]),
        ("<a b/href=x>", ["", "x"]),
        ('<a href="a>b">', ["a>b"]),
        ("<a =x=1>", ["1"]),
        ("<a href=>", [""]),
        ("<a href=x", []),
        ('<a href="x', []),
        ("<!--><a href=x>-->", ["x"]),
        ("<!--!><a href=x>-->", []),
        ("<!-- --!><a href=x>", ["x"]),
        ("<style><a href=x></styles></style ><a href=y>", ["y"]),
        ("<?php <a href=x>", []),
        ("</ <a href=x><a href=y>", ["y"]),
        ("<![if !mso]><a href=x><![endif]>", ["x"]),
        ("<!--[if !mso]><!--><a href=x><!--<![endif]-->", ["x"]),
    ],
)
def test_attributes_are_found_as_the_html_standard_says(html, values):
    found = [html[a.start : a.end] for tag in scan(html) if isinstance(tag, StartTag) for a in tag.attributes]
    assert found == values


def test_the_inside_of_a_conditional_comment_is_read_and_marked():
    html = '<!--[if mso]><v:rect href="x"></v:rect><![endif]--><p>'
    assert [(type(node), node.conditional) for node in scan(html)] == [
        (Stretch, False),
        (StartTag, True),
        (EndTag, True),
        (Stretch, False),
        (StartTag, False),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("?a=1&amp;b=2", "?a=1&b=2"),
        ("?a=1&copy=2", "?a=1&copy=2"),
        ("?a=1&copyright=2", "?a=1&copyright=2"),
        ("?a=1&copy", "?a=1©"),
        ("&#x26;&#38;&#38", "&&&"),
        ("&unknown;&;& ", "&unknown;&;& "),
        ("&notin;&notit;", "∉&notit;"),
        ("&lt;=", "<="),
    ],
)
def test_entities_in_attributes_are_read_as_the_html_standard_says(written, read):
    assert decode_attribute(written) == read


@pytest.mark.parametrize(
    "hostile", ["<a ", "<!--", "<style>", '<a b="', "<!--[if mso]>", "</", "<", "<!----!>", "<title>"]
)
def test_a_hostile_megabyte_is_scanned_in_linear_time(hostile):
    assert scan(hostile * (1_000_000 // len(hostile)))
