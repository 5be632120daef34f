"""Whatever a recipient's values are, the message keeps its form (D12)."""

import html as html_entities
from html.parser import HTMLParser
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from app.content.compiled import preview
from app.content.encoding import clean
from tests.content.messages import compiled, parsed, recipient

PERSONAL = (
    "<!DOCTYPE html><html><body><!--[if mso]><td title='[[company.name]]'>[[company.name]]<![endif]-->"
    "<!-- [[company.name]]> --><!--[if mso]>[[company.name]]><![endif]--><a href='https://a.example/[[company.name]]'>a</a>"
    '{[[company.name]]}<b title="{[[company.name]]}" lang={[[company.name]]}>x</b>'
    '<img src="https://i.example/{[[company.name]]}" alt=""><p>\n[[company.name]]\n.</p>'
    "<a href=[[company.name]]>b</a></body></html>"
)
MESSAGE = compiled(
    PERSONAL,
    subject="{[[company.name]]}",
    text="{[[company.name]]}\n[[company.name]] https://x.example/[[company.name]]\n",
    list_id="News <news.example.com>",
    feedback_id="a:b:c:d",
)
HEADERS = parsed(MESSAGE.render(recipient(MESSAGE, {"company.name": "x"}))).keys()

hostile = st.sampled_from(
    [".", "\r\n.\r\n", "\r\nBcc: x@example.com", "\n\n", "From x", "--=_", "=?utf-8?q?x?=", "<b>", "-->"]
)
values = st.lists(st.text(max_size=40) | hostile | st.text("æ.\n ", max_size=200), max_size=8).map("".join)


class Structure(HTMLParser):
    def __init__(self, html):
        super().__init__(convert_charrefs=False)
        self.seen = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag):
        self.seen.append(tag)

    def handle_comment(self, data):
        self.seen.append("comment")


STRUCTURE = Structure(preview(MESSAGE, recipient(MESSAGE, {"company.name": "x"})).html).seen


def lines_of(rendered):
    assert rendered.endswith(b"\r\n")
    lines = rendered.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    return lines


@given(values, values)
def test_every_line_can_be_sent_as_it_is(value, name):
    rendered = MESSAGE.render(recipient(MESSAGE, {"company.name": value}, to_name=name))
    head, _, body = rendered.partition(b"\r\n\r\n")
    assert rendered.isascii()
    assert b"\0" not in rendered
    assert not any(line.startswith((b".", b"From ")) for line in lines_of(rendered))
    assert not any(line.endswith((b" ", b"\t")) for line in lines_of(rendered))
    assert max(map(len, lines_of(body))) <= 76
    assert max(map(len, head.split(b"\r\n"))) <= 78


@given(values, values)
def test_no_value_adds_or_changes_a_header(value, name):
    mail = parsed(MESSAGE.render(recipient(MESSAGE, {"company.name": value}, to_name=name)))
    assert mail.keys() == HEADERS
    assert not any(part.defects for part in mail.walk())
    assert mail["To"].addresses[0].addr_spec == "kari@example.com"
    assert mail["From"] == "Sender <sender@example.com>"


@given(values)
def test_a_value_comes_back_as_itself_wherever_it_landed(value):
    seen = preview(MESSAGE, recipient(MESSAGE, {"company.name": value}), clicks=False)
    expected = clean(value) if value.strip() else ""
    escaped = html_entities.escape(expected)
    assert seen.subject == "{" + expected.replace("\n", " ").replace("\t", " ") + "}"
    url_start = seen.text.rindex("https://x.example/") + len("https://x.example/")
    assert unquote(seen.text[url_start:-1]) == expected
    assert seen.text[: url_start - len("https://x.example/")] == f"{{{expected}}}\n{expected} "
    assert f'{{{escaped}}}<b title="{{{escaped}}}" lang="{{{escaped}}}">x</b>' in seen.html
    assert f"<p>\n{escaped}\n.</p>" in seen.html


@given(values)
def test_no_value_changes_the_structure_of_the_html(value):
    seen = preview(MESSAGE, recipient(MESSAGE, {"company.name": value})).html
    assert Structure(seen).seen == STRUCTURE


@given(values)
def test_literal_content_comes_back_as_itself(text):
    message = compiled(
        f"<pre>{html_entities.escape(text)}</pre>".replace("[[", "[ ["), text=f"{text}.".replace("[[", "[ [")
    )
    seen = preview(message, recipient(message), opens=False)
    lines = html_entities.escape(text).replace("[[", "[ [").replace("\r\n", "\n").replace("\r", "\n")
    assert seen.html == f"<pre>{lines}</pre>"
    assert seen.text == f"{text}.".replace("[[", "[ [").replace("\r\n", "\n").replace("\r", "\n")
    assert not any(line.startswith(b".") for line in lines_of(message.render(recipient(message))))
