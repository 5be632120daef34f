import pytest

from app.content.checks import check_message
from app.content.compiler import compile_message
from app.content.merge_tags import MergeTagError
from tests.content.messages import PUBLIC_URL, source

GOOD = '<html lang="en"><body><a href="[[link.unsubscribe]]">Unsubscribe</a>{}</body></html>'
TEXT = "Hi\n[[link.unsubscribe]]"


def findings(html, **changes):
    message = source(html, **({"text": TEXT} | changes))
    try:
        compiled = compile_message(message, public_url=PUBLIC_URL)
    except MergeTagError as error:
        compiled = error
    return check_message(message, compiled)


def codes(html, **changes):
    return [(finding.severity, finding.code) for finding in findings(html, **changes)]


def test_a_good_message_has_no_findings():
    links = """https://a.example/?b=[[customer.name]] http://[2606:4700::1]:80 https://blåbær.no/æ mailto:a@b.c
        mailto:[[customer.email]] mailto:?subject=x tel:+4711 sms:1 #x #top #%C3%A6 #[[customer.number]] https://[[customer.extra.host]]/x
        https://[[customer.number]].a.example [[company.url]]"""
    images = "".join(f'<img src="{source}" alt="">' for source in ("https://a.example/x.png", "[[company.url]]"))
    assert not codes(
        GOOD.format(
            images
            + '<i id="x"></i><a name="&aelig;"></a>'
            + "".join(f'<a href="{link}">x</a>' for link in links.split())
        )
    )


@pytest.mark.parametrize(
    ("href", "finding"),
    [
        ("javascript:x", ("problem", "script_link")),
        ("Data:text/html,x", ("problem", "script_link")),
        ("www.example.com", ("warning", "malformed_link")),
        ("/relative", ("warning", "malformed_link")),
        ("https://", ("warning", "malformed_link")),
        ("https:/a.example", ("warning", "malformed_link")),
        ("https://a.example/b c", ("warning", "malformed_link")),
        ("mailto:nobody", ("warning", "malformed_link")),
        ("#y", ("warning", "dead_anchor")),
        ("https://intranet/news", ("warning", "private_link")),
        ("http://LocalHost:8000/", ("warning", "private_link")),
        ("https://a@crm.local./?x=1", ("warning", "private_link")),
        ("https://192.168.1.10/x", ("warning", "private_link")),
        ("https://[::1]/", ("warning", "private_link")),
        ("", ("warning", "empty_link")),
        ("#", ("warning", "empty_link")),
    ],
)
def test_a_link_that_cannot_work_is_found_with_its_place(href, finding):
    (found,) = findings(GOOD.format(f'\n <a href="{href}">x</a>'))
    assert (found.severity, found.code) == finding
    assert (found.line, found.column) == (2, 2)


@pytest.mark.parametrize(
    ("html", "changes", "finding"),
    [
        (GOOD, {"text": None}, ("warning", "no_text_part")),
        (GOOD, {"text": "Hi"}, ("warning", "unsubscribe_link_not_in_text")),
        (GOOD, {"subject": " "}, ("problem", "missing_subject")),
        (GOOD.format("<p>" + "x" * 105_000), {}, ("warning", "too_large")),
        (GOOD.format('<img src="https://a.example/x">'), {}, ("warning", "missing_alt")),
        (GOOD.format("<img alt>"), {}, ("warning", "broken_image")),
        (GOOD.format('<img alt src="logo.png">'), {}, ("warning", "broken_image")),
        (GOOD.format('<img alt src="file:///c:/x.png">'), {}, ("warning", "broken_image")),
        (GOOD.format('<img alt src="data:image/png;base64,x">'), {}, ("warning", "broken_image")),
        (GOOD.format('<img alt src="http://10.0.0.1/x.png">'), {}, ("warning", "broken_image")),
        (GOOD.replace(' lang="en"', ""), {}, ("warning", "missing_language")),
        ('<html lang="en"><p>Hi', {}, ("problem", "missing_unsubscribe_link")),
        ('<html lang="en"><!-- [[link.unsubscribe]] -->', {}, ("problem", "missing_unsubscribe_link")),
    ],
)
def test_what_is_missing_or_too_much_is_found(html, changes, finding):
    assert codes(html.replace("{}", ""), **changes) == [finding]


def test_a_message_that_is_not_marketing_needs_no_unsubscribe_link():
    assert not codes('<html lang="en"><p>Hi', marketing=False, text="Hi")


def test_bad_merge_tags_are_found_with_line_and_column_and_the_rest_is_still_checked():
    found = findings(GOOD.format('\n[[customer.nam]]<img src="https://x.example/">'), subject="[[x")
    assert [(f.code, f.line, f.column) for f in found] == [
        ("bad_merge_tag", 1, 1),
        ("bad_merge_tag", 2, 1),
        ("missing_alt", 2, 17),
    ]
    assert "customer.name?" in found[1].detail
