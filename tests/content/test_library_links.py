"""Links of the library in content (D36): in HTML, MJML and text, tracked and plain, byte for byte (D37)."""

import html as html_entities
import re

import inscriptis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement

from app.content.checks import check_message
from app.content.compiled import CompiledMessage, preview
from app.content.compiler import compile_message
from app.content.library import wanted
from app.content.links import fill_target
from app.content.merge_tags import MergeTagError, escape
from app.content.mjml import compile_mjml
from tests.content.messages import PUBLIC_URL, compiled, recipient, source, token

PRICES = "https://a.example/p?a=1&b=[[customer.number|default('x')]]#top"
LIBRARY = {3: PRICES, 12: "https://b.example/", 13: "mailto:sale@b.example?subject=Hi%20[[customer.firstname]]"}
VALUES = {"customer.number": "7&8", "customer.firstname": "Kåre"}
rests = st.text(st.sampled_from("/?#&=;%+[]@:!$'()*,~.\"<>") | st.characters(codec="utf-8"), max_size=80)


def hrefs(html):
    return [html_entities.unescape(found) for found in re.findall(r'href="([^"]*)"', html)]


def seen(html, *, clicks=True, **changes):
    message = compiled(html, **{"track_all_links": False, "library": LIBRARY, **changes})
    return message, preview(message, recipient(message, VALUES), clicks=clicks, opens=False)


def faults(html="", **changes):
    with pytest.raises(MergeTagError) as error:
        compiled(html, **{"library": LIBRARY, **changes})
    return [(fault.where, fault.line, fault.column, fault.code) for fault in error.value.faults]


def address(number):
    return f"{PUBLIC_URL}/c/{token(number)}"


def test_a_reference_is_tracked_without_track_all_links_and_other_links_stay():
    html = '<a href="https://c.example">c</a> <a href=" [[ link.library.3 ]] ">a</a> <a href=[[link.library.12]]>b</a>'
    message, shown = seen(html)
    assert [(link.position, link.library_link_id, link.target) for link in message.links] == [
        (0, 3, PRICES.replace("'", '"')), (1, 12, "https://b.example/"),
    ]  # fmt: skip
    assert hrefs(shown.html) == ["https://c.example", address(0), address(1)]
    assert [line.split()[-1] for line in shown.text.replace(">", ">\n").splitlines() if "<" in line] == [
        "<https://c.example>", f"<{address(0)}>", f"<{address(1)}>",
    ]  # fmt: skip


def test_who_denied_tracking_gets_the_target_itself_filled_and_without_analytics_tags():  # D43
    html = '<a href="[[link.library.3]]">a</a> <a href="https://c.example/?x">c</a>'
    message, shown = seen(html, clicks=False, track_all_links=True, utm_source="bud", text="See [[link.library.3]].")
    assert hrefs(shown.html) == ["https://a.example/p?a=1&b=7%268#top", "https://c.example/?x"]
    assert shown.text == "See https://a.example/p?a=1&b=7%268#top."
    assert (
        message.links[0].target
        == 'https://a.example/p?a=1&b=[[customer.number|default("x")]]&utm_medium=email&utm_source=bud#top'
    )
    assert {"customer.number"} <= message.tags


def test_a_link_to_the_very_target_is_a_link_of_the_library():
    message, shown = seen(f"<a href=\"{PRICES.replace('&', '&amp;')}\">a</a><a href='https://b.example'>b</a>")
    assert [link.library_link_id for link in message.links] == [3]
    assert hrefs(shown.html) == [address(0)]
    assert "https://b.example" in shown.html  # without the slash it is another address


def test_of_two_library_links_with_the_same_target_the_older_one_is_meant():
    library = {9: "https://b.example/", 4: "https://b.example/"}
    message, _ = seen("<a href='https://b.example/'>b</a><a href='[[link.library.9]]'>b</a>", library=library)
    assert [link.library_link_id for link in message.links] == [4, 9]


def test_the_text_part_and_tags_in_visible_text_lead_to_the_link_of_the_html():
    html = "<p>[[link.library.12]]</p><a href='[[link.library.12]]'>b</a>"
    message, shown = seen(html, text="[[link.library.12]] and https://b.example/.")
    assert [link.position for link in message.links] == [0]
    assert f"<p>{address(0)}</p>" in shown.html
    assert shown.text == f"{address(0)} and {address(0)}."


def test_what_only_the_text_part_refers_to_is_a_tracked_link_of_its_own():
    message, shown = seen(
        "<a href='[[link.library.3]]'>a</a>", text="https://b.example/ [[link.library.13]] https://c.example/"
    )
    assert [(link.position, link.library_link_id) for link in message.links] == [(0, 3), (1, 12)]
    mail = "mailto:sale@b.example?subject=Hi%20K%C3%A5re"
    assert shown.text == f"{address(1)} {mail} https://c.example/"


def test_only_targets_on_the_web_are_tracked():
    message, shown = seen("<a href='[[link.library.13]]'>Mail</a>", track_all_links=True)
    assert message.links == ()
    assert "href='mailto:sale@b.example?subject=Hi%20K%C3%A5re'" in shown.html
    assert shown.text.strip() == "Mail <sale@b.example>"


def test_the_mailings_own_values_are_filled_into_a_library_target():
    library = {5: "https://a.example/?m=[[mailing.name]]&p=[[project.name]]&c=[[customer.number]]"}
    changes = {"library": library, "values": {"mailing.name": "A&B"}}
    message, _ = seen("<a href='[[link.library.5]]'>a</a>", **changes)
    assert message.links[0].target == "https://a.example/?m=A%26B&p=&c=[[customer.number]]"
    assert message.missing == {"project.name"}
    _, plain = seen("<a href='[[link.library.5]]'>a</a>", clicks=False, **changes)
    assert "href='https://a.example/?m=A%26B&amp;p=&amp;c=7%268'" in plain.html


def test_outlooks_own_buttons_may_refer_to_the_library():
    button = '<v:roundrect href="[[link.library.12]]"></v:roundrect>'
    html = f'<!--[if mso]>{button}<![endif]--><a href="[[link.library.12]]">b</a>'
    message, shown = seen(html)
    assert len(message.links) == 1
    assert hrefs(shown.html) == [address(0), address(0)]


def test_what_is_commented_out_is_no_link():
    html = "<!-- <a href='[[link.library.12]]'>b</a> [[link.library.99]] -->"
    message, shown = seen(html)
    assert message.links == ()
    assert shown.html == html


async def test_mjml_may_refer_to_the_library():
    button = '<mj-button href="[[link.library.3]]">A</mj-button>'
    mjml = f"<mjml><mj-body><mj-section><mj-column>{button}</mj-column></mj-section></mj-body></mjml>"
    message, shown = seen(await compile_mjml(mjml))
    assert [link.library_link_id for link in message.links] == [3]
    assert address(0) in hrefs(shown.html)


@given(rests)
def test_a_library_target_is_reached_byte_for_byte(rest):  # D37
    url = f"https://example.com/{rest}x".replace("\t", "").replace("\r", "").replace("\n", "")
    message = compiled('<a href="[[link.library.5]]">x</a>', library={5: escape(url)}, track_all_links=False)
    assert fill_target(message.links[0].target, {}) == url
    assert hrefs(preview(message, recipient(message), clicks=False).html) == [url]


@given(rests)
def test_analytics_tags_change_nothing_else_of_a_library_target(rest):  # D9
    assume("utm_" not in rest)
    url = f"https://example.com/{rest}x".replace("\t", "").replace("\r", "").replace("\n", "")
    changes = {"library": {5: escape(url)}, "track_all_links": False, "utm_source": "bud"}
    target = fill_target(compiled('<a href="[[link.library.5]]">x</a>', **changes).links[0].target, {})
    tags = "utm_medium=email&utm_source=bud"
    assert url in [target.replace(f"{separator}{tags}", "", 1) for separator in ("?", "&", "")]
    assert target.partition("#")[2] == url.partition("#")[2]


@given(rests)
def test_a_link_as_written_is_found_by_what_the_library_has(rest):
    url = escape(f"https://example.com/{rest}x".replace("\t", "").replace("\r", "").replace("\n", ""))
    html = f'<a href="{html_entities.escape(url)}">x</a>'
    (by_reference,) = wanted(html.replace(html_entities.escape(url), "[[link.library.5]]"), None).ids
    assert by_reference == 5
    (link,) = compiled(html, library={5: url}, track_all_links=False).links
    assert link.library_link_id == 5


def test_an_unknown_reference_is_named_with_its_place():
    assert faults("<p>\n<a href='[[link.library.99]]'>x</a></p>", text="[[link.library.98]]") == [
        ("html", 2, 10, "unknown_library_link"), ("text", 1, 1, "unknown_library_link"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "html",
    [
        "<a href='[[link.library.3]]?x'>a</a>", "<a href='https://x.example/?to=[[link.library.3]]'>a</a>",
        "<img src='[[link.library.3]]' alt=''>", "<p title='[[link.library.3]]'>a</p>", "<p href='[[link.library.3]]'>",
        "<a href='[[link.library.3|default(\"x\")]]'>a</a>", "[[link.library.x]]", "[[link.library.0]]",
        "[[link.library.-1]]", "[[link.library.99999999999999999999]]",
    ],
)  # fmt: skip
def test_a_reference_stands_alone_and_names_an_id(html):
    assert {fault[3] for fault in faults(html)} == {"bad_merge_tag"}


def test_a_reference_cannot_stand_in_the_subject_or_in_a_url_of_the_text():
    assert [fault[0] for fault in faults(subject="[[link.library.3]]")] == ["subject"]
    assert [fault[0] for fault in faults(text="https://x.example/?to=[[link.library.3]]")] == ["text"]


def test_readiness_names_an_unknown_reference_and_scripts_wherever_they_hide():
    html = (
        "<a href='[[link.library.99]]'>x</a>\n<form action='java&#x73;cript:x'></form>\n<a href='java\tscript:x'>y</a>"
        "<!--[if mso]><v:rect href='&#1;JavaScript&colon;x'/><![endif]--><iframe src='data:text/html,x'></iframe>"
    )
    written = source(html, library=LIBRARY)
    try:
        made = compile_message(written, public_url=PUBLIC_URL)
    except MergeTagError as error:
        made = error
    found = [(each.code, each.severity, each.line) for each in check_message(written, made)]
    assert ("unknown_library_link", "problem", 1) in found
    assert [line for code, _, line in found if code == "script_link"] == [2, 3, 3, 3]


def test_the_honeypot_is_for_programs_alone():  # D45
    html = "<body><a href='https://a.example/x?[[customer.name]]'>a</a></body>"
    message, shown = seen(html, track_all_links=True, honeypot=True, text="a https://a.example/x?[[customer.name]]")
    assert [(link.honeypot, link.target) for link in message.links[1:]] == [(True, "https://a.example/")]
    (trap,) = re.findall(r"<a [^>]*></a>", shown.html)
    assert shown.html.endswith(f"{trap}</body>")
    assert trap == f'<a href="{address(1)}" aria-hidden="true" tabindex="-1" style="display:none"></a>'
    assert address(1) not in shown.text
    shown_without_style = inscriptis.get_text(
        shown.html, ParserConfig(css={"body": HtmlElement(display=Display.block)})
    )
    assert shown_without_style.strip() == "a"  # a program that shows text has nothing to show
    _, denied = seen(html, track_all_links=True, honeypot=True, clicks=False)
    assert denied.html == html.replace("[[customer.name]]", "")


def test_there_is_no_honeypot_where_nothing_is_tracked():
    assert seen("<a href='https://a.example/'>a</a>", honeypot=True)[0].links == ()
    message, _ = seen("<a href='https://[[company.city]].example/'>a</a>", track_all_links=True, honeypot=True)
    assert message.links[1].target == f"{PUBLIC_URL}/"


def test_a_message_with_library_links_and_honeypot_is_stored_and_read_again():
    message, _ = seen("<a href='[[link.library.3]]'>a</a>", honeypot=True)
    assert CompiledMessage.from_dict(message.to_dict()) == message
    older = message.to_dict()
    older["links"] = [link[:3] for link in older["links"]]  # as dispatches were stored before there was a library
    assert [link.library_link_id for link in CompiledMessage.from_dict(older).links] == [None, None]
