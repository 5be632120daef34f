import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.content.attached import Attachment, Base64Lines, encoded_size
from app.content.compiled import VALUE_LIMIT, CompiledMessage, TokenSlot, empty_tags, preview
from app.content.headers import HeaderError, UnsendableAddressError, UnsendableError
from app.content.links import fill_target
from app.content.merge_tags import MergeTagError
from tests.content.messages import PUBLIC_URL, compiled, parsed, recipient, token, whole

NEWSLETTER = (Path(__file__).parent.parent / "data" / "cerberus-hybrid.html").read_text(encoding="utf-8")
NAMED = {"customer.firstname": "Kari"}


class Reader(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.comments = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_comment(self, data):
        self.comments.append(data)


def hrefs(html):
    return [attributes["href"] for tag, attributes in Reader(html).tags if tag == "a"]


def html_of(html, values=None, options=None, **changes):
    message = compiled(html, **changes)
    return preview(message, recipient(message, values), **(options or {})).html


def text_of(html, values=None, options=None, **changes):
    message = compiled(html, **changes)
    return preview(message, recipient(message, values), **(options or {})).text


def fault_of(html="", **changes):
    with pytest.raises(MergeTagError) as raised:
        compiled(html, **changes)
    return raised.value.faults[0]


def test_a_message_has_text_first_and_then_html():
    message = compiled("<p>Hei [[customer.firstname]]</p>", text="Hei [[customer.firstname]] der")
    mail = parsed(message.render(recipient(message, NAMED)))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail.get_body(("plain",)).get_content() == "Hei Kari der"
    assert all(part["Content-Transfer-Encoding"] == "quoted-printable" for part in mail.iter_parts())


def test_marketing_mail_has_the_headers_bulk_mail_needs():
    message = compiled(
        list_id="Nyhetsbrev ø <news.example.com>",
        feedback_id="m7:news:acme:bud",
        unsubscribe_email="off@example.com",
        reply_to_name="Åse",
        reply_to="aase@example.com",
        language="nb",
        headers=(("X-Mailing", "7"),),
    )
    mail = parsed(message.render(recipient(message)))
    off = token(message.token_slots.index(TokenSlot("unsubscribe")))
    assert mail["List-Unsubscribe"].replace("\r\n", "") == (
        f"<{PUBLIC_URL}/u/{off}>, <mailto:off@example.com?subject={off}>"
    )
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"] == "Nyhetsbrev ø <news.example.com>"
    assert mail["Feedback-ID"] == "m7:news:acme:bud"
    assert mail["Reply-To"] == "Åse <aase@example.com>"
    assert (mail["Precedence"], mail["Content-Language"], mail["X-Mailing"]) == ("bulk", "nb", "7")
    assert (mail["From"], mail["To"]) == ("Sender <sender@example.com>", "Kari <kari@example.com>")
    assert (mail["Message-ID"], mail["MIME-Version"]) == ("<1@m.example.com>", "1.0")


def test_a_form_response_says_it_is_automatic_and_has_no_list_headers():
    message = compiled(marketing=False, auto_submitted=True)
    mail = parsed(message.render(recipient(message)))
    assert mail["Auto-Submitted"] == "auto-replied"
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post", "Precedence"} & set(mail.keys())


def test_a_header_that_cannot_be_written_is_refused():
    with pytest.raises(HeaderError, match="Feedback-ID"):
        compiled(feedback_id="a\r\nBcc: everyone@example.com")
    with pytest.raises(HeaderError, match="List-Id"):
        compiled(list_id="no identifier")


@pytest.mark.parametrize(
    "address", ["no-at", "a@b@c", "a b@example.com", "a@exam\r\nple.com", "bjørn@example.com", "@x"]
)
def test_an_address_no_header_can_carry_is_refused_without_repeating_it(address):
    message = compiled()
    with pytest.raises(UnsendableAddressError) as raised:
        message.render(recipient(message, to_email=address))
    assert address not in str(raised.value)


def test_a_domain_is_sent_in_its_ascii_form():
    message = compiled()
    assert (
        parsed(message.render(recipient(message, to_email="kari@blåbær.no")))["To"].addresses[0].domain
        == "xn--blbr-roah.no"
    )


def test_the_sender_may_be_the_recipients_own_contact():
    """D5: header, tags in subject and text, and targets of links tell the same sender."""
    html = '<a href="https://x.example/?by=[[sender.email]]">[[sender.name|default("us")]]</a>'
    message = compiled(
        html, subject="From [[sender.name]]", sender_contact="our_contact", reply_contact="support_contact",
        reply_to="re@example.com",
    )  # fmt: skip
    message = CompiledMessage.from_dict(json.loads(json.dumps(message.to_dict())))
    contacts = {f"{contact}.{field}" for contact in ("our_contact", "support_contact") for field in ("name", "email")}
    assert (message.tags, message.undefaulted) == (contacts, set())

    def seen(**values):
        given = recipient(message, {tag.replace("_contact_", "_contact."): value for tag, value in values.items()})
        mail = parsed(message.render(given))
        assert mail["Subject"] == f"From {mail['From'].addresses[0].display_name}"
        assert f">{mail['From'].addresses[0].display_name}</a>" in preview(message, given).html
        target = fill_target(message.links[0].target, given.values)
        assert target == f"https://x.example/?by={quote(mail['From'].addresses[0].addr_spec, safe='')}"
        return mail["From"], mail["Reply-To"]

    both = {"our_contact_email": "ola@example.com", "support_contact_email": "help@example.com"}
    assert seen(our_contact_name="Ola", **both) == ("Ola <ola@example.com>", "help@example.com")
    assert seen(our_contact_name=" ", **both) == ("Sender <ola@example.com>", "help@example.com")
    assert seen() == ("Sender <sender@example.com>", "re@example.com")
    assert seen(our_contact_email=both["our_contact_email"]) == ("Sender <ola@example.com>", "re@example.com")
    named = seen(support_contact_name='Siv\r\nBcc: x@y.example "', **both)
    assert named == ("Sender <ola@example.com>", '"Siv Bcc: x@y.example \\"" <help@example.com>')


def test_replies_without_a_rule_of_their_own_have_no_header():
    message = compiled(reply_contact="our_contact")
    assert parsed(message.render(recipient(message)))["Reply-To"] is None


def test_an_address_for_replies_that_no_header_can_carry_is_no_fault_of_the_recipients():
    with pytest.raises(UnsendableAddressError, match="Reply-To"):
        compiled(reply_to="åse@example.com")


def test_contacts_are_no_tags_to_write():
    with pytest.raises(MergeTagError, match="there is no tag our_contact"):
        compiled("<p>[[our_contact.name]]</p>")


def test_the_mailings_own_values_are_filled_when_it_is_compiled():
    message = compiled(
        "<p>[[mailing.name]], [[mailing.subject]], [[sender.email]], [[project.name|default('-')]]</p>",
        subject="For [[customer.firstname|default('deg')]]",
        values={"mailing.name": "A & B"},
    )
    assert message.tags == {"customer.firstname"}
    assert "<p>A &amp; B, For Kari, sender@example.com, -</p>" in preview(message, recipient(message, NAMED)).html


def test_a_stored_message_renders_the_same():
    message = compiled(
        NEWSLETTER.replace("Company Name", "[[company.name|default('&quot;')]]"), subject="Hei [[customer.firstname]]"
    )
    stored = CompiledMessage.from_dict(json.loads(json.dumps(message.to_dict())))
    assert stored == message
    assert stored.render(recipient(message, NAMED)) == message.render(recipient(message, NAMED))


def test_a_wrong_number_of_tokens_is_refused():
    message = compiled("<a href='https://example.com'>x</a>")
    with pytest.raises(ValueError, match="3 slots"):
        message.render(recipient(message, tokens=[token(1)]))


def test_empty_tags_are_those_seen_without_value_and_default():
    html = """<p title="[[customer.title]]">[[customer.firstname]] [[customer.name|default('you')]] [[project.name]]</p>
        <a href="https://example.com/?n=[[customer.number]]">x</a>"""
    message = compiled(html, subject="[[company.name]]")
    values = {"customer.firstname": "Kari", "customer.title": " "}
    assert empty_tags(message, values) == {"customer.title", "customer.number", "project.name", "company.name"}


# Links


def test_tracked_links_become_tokens_and_all_else_stays_byte_for_byte():
    message = compiled(NEWSLETTER, track_opens=False)
    seen = preview(message, recipient(message)).html
    assert len(message.links) == 3
    for link in message.links:
        assert link.target == "https://google.com/"
        seen = seen.replace(f"{PUBLIC_URL}/c/{token(link.position)}", link.target)
    assert seen == NEWSLETTER


def test_conditional_comments_keep_their_links():
    html = '<!--[if mso]><a href="https://example.com/?n=[[customer.firstname]]">[[customer.firstname]]</a><![endif]-->'
    assert html_of(html, {"customer.firstname": "<-->"}, track_opens=False) == (
        '<!--[if mso]><a href="https://example.com/?n=%3C--%3E">&lt;&#45;&#45;&gt;</a><![endif]-->'
    )


def test_only_web_links_are_tracked():
    html = "".join(
        f'<a href="{href}">x</a>'
        for href in ("mailto:a@example.com", "tel:+4711", "#top", "/relative", "https://", "[[company.url]]", "")
    )
    message = compiled(html)
    assert not message.links
    assert hrefs(preview(message, recipient(message, {"company.url": "https://acme.example/?a=b&c"})).html) == [
        *["mailto:a@example.com", "tel:+4711", "#top", "/relative", "https://", "https://acme.example/?a=b&c", ""]
    ]


def test_without_track_all_links_only_library_links_are_tracked():
    html = "<a href='https://a.example/?x&amp;y'>a</a><a href=https://b.example>b</a>"
    message = compiled(html, track_all_links=False, library={3: "https://a.example/?x&y"})
    assert [link.written for link in message.links] == ["https://a.example/?x&y"]
    assert hrefs(preview(message, recipient(message)).html)[1] == "https://b.example"


def test_analytics_tags_are_added_to_links_that_are_not_tracked_too():
    html = "<a href=https://b.example/?a=1&amp;b=[[customer.firstname]]#c class=d>b</a>"
    assert hrefs(html_of(html, {"customer.firstname": "a b"}, track_all_links=False, utm_source="bud")) == [
        "https://b.example/?a=1&b=a%20b&utm_medium=email&utm_source=bud#c"
    ]


def test_who_denied_tracking_gets_the_links_as_written_and_no_pixel():
    message = compiled(NEWSLETTER, utm_source="bud")
    seen = preview(message, recipient(message), clicks=False, opens=False)
    assert seen.html == NEWSLETTER
    assert "Primary Button <https://google.com/>" in seen.text
    assert f"{PUBLIC_URL}/c/" not in seen.text


def test_opens_and_clicks_can_be_denied_separately():
    message = compiled("<body><a href=https://a.example>a</a></body>")
    data = recipient(message)
    assert "/o/" in (opens := preview(message, data, clicks=False).html)
    assert "/c/" not in opens
    assert "/c/" in (clicks := preview(message, data, opens=False).html)
    assert "/o/" not in clicks


def test_the_pixel_stands_at_the_end_of_the_body():
    message = compiled("<body><p>x</p></body>")
    pixel = Reader(preview(message, recipient(message)).html).tags[-1]
    assert pixel[0] == "img"
    assert pixel[1]["src"] == f"{PUBLIC_URL}/o/{token(0)}.gif"
    assert preview(message, recipient(message)).html.endswith("></body>")


def test_special_links_get_their_own_tokens():
    html = """<a href="[[link.unsubscribe]]">a</a> [[link.view_in_browser]]
        <a href="https://a.example/?back=[[link.manage_subscriptions]]">b</a>"""
    message = compiled(html, track_opens=False)
    assert [slot.kind for slot in message.token_slots] == ["unsubscribe", "view", "preferences"]
    seen = preview(message, recipient(message)).html
    assert hrefs(seen) == [
        f"{PUBLIC_URL}/u/{token(0)}",
        f"https://a.example/?back=https%3A%2F%2Fm.example.com%2Fp%2F{token(2)}",
    ]
    assert f" {PUBLIC_URL}/v/{token(1)}\n" in seen


# Where values land


@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", " JaVaScRiPt:x", "\x01javascript:x", "data:text/html,x", "//x.y", ""]
)
def test_a_value_cannot_make_a_link_run_a_script(value):
    assert hrefs(html_of('<a href=" [[customer.extra.page]]">x</a>', {"customer.extra.page": value})) == [" #"]


def test_a_value_without_quotes_around_it_cannot_leave_its_attribute():
    html = '<td width=a"[[customer.title]] class=b><a href=https://x.example/[[customer.title]]>x</a></td>'
    for value in ("", "1 onclick=x", "'\"><b>"):
        tags = Reader(html_of(html, {"customer.title": value}, track_all_links=False, track_opens=False)).tags
        assert tags[0] == ("td", {"width": f'a"{value}', "class": "b"})
        assert [name for name, _ in tags] == ["td", "a"]


@pytest.mark.parametrize(
    "html",
    [
        "<style>p { color: [[customer.title]] }</style>",
        "<script>[[customer.title]]</script>",
        "<p style='color: [[customer.title]]'>",
        "<p onclick='[[customer.title]]'>",
        "<a href='javascript:f([[customer.title]])'>",
        "<a href='java&Tab;script:f([[customer.title]])'>",
        "<[[customer.title]]>",
        "<p [[customer.title]]=x>",
        "<p>Kari <[[customer.email]]>",
        "<!DOCTYPE [[customer.title]]>",
        "<p title='[[customer.title]]",
        "<meta http-equiv=refresh content='0;[[customer.title]]'>",
        "<!--[if mso]><style>[[customer.title]]</style><![endif]-->",
    ],
)
def test_a_tag_where_no_value_is_harmless_is_refused_with_its_place(html):
    fault = fault_of("<p>x</p>\n" + html)
    assert (fault.line, fault.column) == (2, html.index("[[") + 1)
    assert "cannot stand" in fault.message


def test_faults_of_all_texts_are_reported_together():
    with pytest.raises(MergeTagError) as raised:
        compiled("[[x]]", subject="[[mailing.subject]] [[link.unsubscribe]] [[company.citty]]", text="[[")
    assert {fault.where for fault in raised.value.faults} == {"subject", "html", "text"}


def test_literal_brackets_reach_the_reader():
    message = compiled('<p>[["[["]]x]]</p>', subject='[["[["]]', text='[["[["]]')
    seen = preview(message, recipient(message), opens=False)
    assert (seen.subject, seen.html, seen.text) == ("[[", "<p>[[x]]</p>", "[[")


# The text part


def test_a_derived_text_part_follows_the_html_and_names_its_links():
    html = """<html><head><title>No</title><style>no</style></head><body><!-- no --><table><tr><td>Hei
        [[customer.firstname]]&nbsp;&amp; co</td><td><a href="https://a.example">
        <img src=x alt="Buy [[company.name]]"></a></td></tr></table>
        <div style="display:none">no</div><ul><li><a href="[[link.unsubscribe]]">Off</a></ul>
        <a href="mailto:a@example.com">Write</a> <a href="mailto:b@example.com">b@example.com</a></body>"""
    assert text_of(html, NAMED | {"company.name": "A <b>"}) == (
        f"Hei Kari & co\nBuy A <b> <{PUBLIC_URL}/c/{token(0)}>\n"
        f"  * Off <{PUBLIC_URL}/u/{token(2)}>\nWrite <a@example.com> b@example.com\n"
    )


def test_the_urls_of_a_written_text_part_are_links_those_of_the_html_or_their_own():  # D36
    html = '<a href="https://a.example/?x=1&amp;n=[[ customer.firstname ]]">a</a>'
    text = "(https://a.example/?x=1&n=[[customer.firstname]]). https://b.example/[[customer.firstname]]"
    values = {"customer.firstname": "a b"}
    assert text_of(html, values, text=text) == f"({PUBLIC_URL}/c/{token(0)}). {PUBLIC_URL}/c/{token(1)}"
    assert text_of(html, values, text=f"{text} {text}").count(token(1)) == 2
    assert text_of(html, values, text=text, track_all_links=False) == (
        "(https://a.example/?x=1&n=a%20b). https://b.example/a%20b"
    )
    tagged = text_of(html, values, text=text, track_all_links=False, utm_source="bud")
    assert tagged.endswith("https://b.example/a%20b?utm_medium=email&utm_source=bud")
    assert text_of(html, values, {"clicks": False}, text=text) == (
        "(https://a.example/?x=1&n=a%20b). https://b.example/a%20b"
    )


@pytest.mark.parametrize(
    "html", ["", " ", "<!-- x -->", "<p></p>", "\x00", "<table>", "&nbsp;", "<?xml version='1.0'?>"]
)
def test_html_without_text_gives_an_empty_text_part(html):
    assert text_of(html).strip() == ""


def test_the_text_part_of_a_real_template_reads_like_a_letter():
    """Without its preheader, styles and spacers; cells and blocks are paragraphs, each link has its address."""
    text = text_of(NEWSLETTER, options={"clicks": False})
    lines = text.splitlines()
    assert lines[0] == "Praesent laoreet malesuada cursus."
    assert "inbox preview" not in text
    assert "{" not in text
    assert lines.count("Primary Button <https://google.com/>") >= 2
    assert "  * A list item." in lines
    assert not re.search(r"\n{3,}|[ \t]\n|\u00a0|&\w+;", text)


def test_a_marker_in_the_content_stays_content():
    assert text_of("<p>marker0z [[customer.firstname]] markerq1z</p>", NAMED) == "marker0z Kari markerq1z\n"


@pytest.mark.parametrize(
    "html", ["<p>[[customer.extra.bio]]</p>", "<a href='https://a.example/[[customer.extra.bio]]'>x</a>"]
)
def test_a_value_that_is_too_long_is_refused_and_not_cut(html):
    message = compiled(html, subject="[[customer.title]]", track_all_links=False)
    long = "b" * (VALUE_LIMIT + 1)
    for values in ({"customer.extra.bio": long}, {"customer.title": long}):
        with pytest.raises(UnsendableError, match="10001 characters; at most 10000"):
            message.render(recipient(message, values))
    with pytest.raises(UnsendableError, match="10001 characters"):
        message.render(recipient(message, to_name=long))
    message.render(recipient(message, {"customer.extra.bio": long[1:]}))


# Attachments


def test_attachments_and_inline_images_come_along():
    files = {7: b"%PDF" * 100, 8: b"\x89PNG"}
    given = (
        Attachment(7, "Møte.pdf", "application/pdf", len(files[7])),
        Attachment(8, "logo.png", "image/png", len(files[8]), content_id="logo"),
    )
    message = compiled("<img src='cid:logo' alt=Logo>", attachments=given)
    sent = whole(message, recipient(message), files)
    mail = parsed(sent)
    assert not any(part.defects for part in mail.walk())
    assert mail.get_content_type() == "multipart/mixed"
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("Møte.pdf", files[7])
    related = next(part for part in mail.walk() if part.get_content_type() == "multipart/related")
    image = list(related.iter_parts())[1]
    assert (image["Content-ID"], image.get_content()) == ("<logo>", files[8])
    assert len(sent) == len(message.render(recipient(message))) + message.tail_size
    assert abs(message.size - compiled("<img src='cid:logo' alt=Logo>").size) < 1000


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_base64_lines_are_the_same_however_the_octets_are_cut(pieces):
    lines, octets = Base64Lines(), b"".join(pieces)
    encoded = b"".join([*map(lines.feed, pieces), lines.end()])
    assert encoded == base64.encodebytes(octets).strip().replace(b"\n", b"\r\n")
    assert len(encoded) == encoded_size(len(octets))
