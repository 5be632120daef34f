"""What every page carries, and what readers get when the database is away."""

import base64
import re
from hashlib import sha256

import httpx2
import pytest

from app.main import create_app
from app.pages.languages import LANGUAGES
from app.pages.render import HEADERS, render
from app.platform.tokens import Purpose
from tests.conftest import settings_for

VALUES = {
    "sender": "Nordavind", "is_test": True, "address": "k•••@example.com", "type": "News", "preferences": "/p/x",
    "types": [(1, "News", True)], "granted": {"track_opens"}, "saved": True, "unsubscribe": "/u/x", "key": "away",
}  # fmt: skip
TEMPLATES = ("unsubscribe.html", "unsubscribed.html", "preferences.html", "message.html")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_in_every_language_has_what_a_reader_needs(template, language):
    page = render(template, language=language, **VALUES)
    assert f'<html lang="{language}">' in page
    assert len(re.findall(r"<h1>[^<]+</h1>", page)) == 1
    assert re.search(r"<title>[^<]+</title>", page)
    assert 'name="viewport"' in page
    assert "<main>" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert not re.search(r'\sstyle="', page)
    inputs = re.findall(r"<input [^>]*>", page)
    assert len(inputs) == len(re.findall(r"<label><input [^>]*><span>[^<]+</span></label>", page))


def test_the_policy_allows_the_pages_own_style_and_no_other():
    page = render("message.html", language="en", **VALUES)
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]


async def test_when_the_database_is_away_nothing_is_lost_and_the_page_says_so():
    app = create_app(settings_for("postgresql://nobody:x@127.0.0.1:1/nothing"))
    token = app.state.tokens.make(Purpose.UNSUBSCRIBE, 1)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        for answer in (
            await client.get(f"/u/{token}"),
            await client.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
            assert answer.headers["content-type"].startswith("text/html")
    await app.state.database.close()
