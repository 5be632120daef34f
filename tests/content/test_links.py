import html as html_entities

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.content.compiled import preview
from app.content.links import fill_target
from app.content.merge_tags import LITERAL_BRACKETS, escape
from tests.content.messages import compiled, recipient

BOTH = {"utm_source": "bud", "utm_campaign": "høst 26"}
TAGS = "utm_medium=email&utm_source=bud&utm_campaign=h%C3%B8st%2026"
rests = st.text(st.sampled_from("/?#&=;%+[]@:!$'()*,~. \"<>") | st.characters(codec="utf-8"), max_size=80)


def target_of(href, **changes):
    (link,) = compiled(f'<a href="{href}">x</a>', **changes).links
    return link.target


@given(rests)
def test_a_target_is_kept_byte_for_byte(rest):
    url = f"https://example.com/{rest}x".replace("\t", "").replace("\r", "").replace("\n", "")
    written = escape(html_entities.escape(url))
    message = compiled(f'<a href="{written}">x</a>')
    assert fill_target(message.links[0].target, {}) == url
    assert written.replace(LITERAL_BRACKETS, "[[") in preview(message, recipient(message), clicks=False).html


@given(rests)
def test_analytics_tags_change_nothing_else(rest):
    assume("utm_" not in rest)
    url = f"https://example.com/{rest}x".replace("\t", "").replace("\r", "").replace("\n", "")
    target = fill_target(target_of(escape(html_entities.escape(url)), **BOTH), {})
    assert url in [target.replace(f"{separator}{TAGS}", "", 1) for separator in ("?", "&", "")]
    assert target.partition("#")[2] == url.partition("#")[2]


@pytest.mark.parametrize(
    ("href", "target"),
    [
        ("https://a.example", f"https://a.example?{TAGS}"),
        ("https://a.example/?", f"https://a.example/?{TAGS}"),
        ("https://a.example/?b&", f"https://a.example/?b&{TAGS}"),
        ("https://a.example/#/b?c", f"https://a.example/?{TAGS}#/b?c"),
        ("https://a.example/?UTM_source=x", f"https://a.example/?UTM_source=x&{TAGS}"),
        ("https://a.example/?utm_source=x", f"https://a.example/?utm_source=x&{TAGS.replace('utm_source=bud&', '')}"),
        ("https://a.example/?[[company.number]]", f"https://a.example/?[[company.number]]&{TAGS}"),
        (
            "https://a.example/#[[customer.name|default('?')]]",
            f'https://a.example/?{TAGS}#[[customer.name|default("?")]]',
        ),
    ],
)
def test_analytics_tags_go_into_the_query_before_the_fragment(href, target):
    assert target_of(href, **BOTH) == target


def test_a_link_that_carries_every_analytics_tag_stays_as_it_is():
    href = "https://a.example/?utm_source=1&utm_medium=2&utm_campaign=3"
    assert target_of(href.replace("&", "&amp;"), **BOTH) == href


def test_without_source_and_campaign_no_analytics_tags_are_added():
    assert target_of("https://a.example/", utm_source=" ") == "https://a.example/"


def test_a_target_is_filled_percent_encoded_when_it_is_clicked():
    target = target_of(
        "https://a.example/[[customer.name]]?m=[[mailing.name]]&amp;c=[[company.name|default(' ')]]",
        values={"mailing.name": "A&B"},
    )
    assert (
        fill_target(target, {"customer.name": "../Kåre?#\r\n"})
        == "https://a.example/..%2FK%C3%A5re%3F%23%0A?m=A%26B&c=%20"
    )


def test_white_space_in_an_href_is_read_as_the_url_standard_does():
    assert target_of(" \nhttps://a.example/\r\n\tb c \t") == "https://a.example/b c"


def test_each_place_that_links_to_a_target_is_a_link_of_its_own():
    links = compiled("<a href='https://a.example'>x</a><map><area href='https://a.example'></map>").links
    assert [(link.position, link.target) for link in links] == [(0, "https://a.example"), (1, "https://a.example")]
