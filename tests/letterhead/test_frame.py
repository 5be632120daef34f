"""What every page carries."""

import base64
import re
from hashlib import sha256

import pytest

from app.letterhead.frame import AWAY, NOT_FOUND, notice_page, written_page
from app.letterhead.languages import LANGUAGES
from app.letterhead.looks import PLAIN


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_is_a_whole_page_in_its_language_that_leans_on_nothing_outside(language):
    page = notice_page(NOT_FOUND, language=language, look=PLAIN, sender="Nord & Sør")
    text = page.body.decode()
    assert f'<html lang="{language}">' in text
    assert page.headers["Content-Language"] == language
    assert len(re.findall(r"<h1>[^<]+</h1>", text)) == 1
    assert re.search(r"<title>[^<]+ – Nord &amp; Sør</title>", text)
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert not re.search(r'\sstyle="', text)


def test_the_policy_allows_the_pages_own_style_and_no_other():
    page = notice_page(AWAY, language="en", look=PLAIN)
    style = re.search(r"<style>(.*)</style>", page.body.decode(), re.DOTALL)[1]
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_page_keeps_its_address_and_itself_to_the_reader():
    headers = dict(notice_page(AWAY, language="nb", look=PLAIN).raw_headers)
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"noindex" in headers[b"x-robots-tag"]
    assert int(headers[b"content-length"]) == len(notice_page(AWAY, language="nb", look=PLAIN).body)


def test_written_words_are_shown_as_they_are_in_paragraphs_and_never_as_markup():
    page = written_page(title="Save", text="One <b>\n\n\n\nTwo %(x)s {{ y }}\r\n\r\n", language="nb", look=PLAIN)
    text = page.body.decode()
    assert "<h1>Save</h1>" in text  # not translated
    assert re.findall(r"<p[^>]*>([^<]*)</p>", text) == ["One &lt;b&gt;", "Two %(x)s {{ y }}"]
