"""What previews and tests hold of tracking: the reader's choices, and nobody's tokens (D14, D15, D42, D43)."""

import re

import pytest

from app.mailings.composing import Composer, render_test
from app.mailings.queries import find_mailing
from app.platform.tokens import Purpose, TokenKey
from tests.conftest import SECRET
from tests.content.messages import parsed
from tests.mailings.desk import Desk

TOKENS = TokenKey.from_secret(SECRET)
HTML = '<html lang="en"><p><a href="https://a.example/?n=1&amp;x">A</a></p></html>'
KINDS = {"c": Purpose.CLICK, "o": Purpose.OPEN}


@pytest.fixture
def desk(client, database, settings):
    return Desk(client, database, settings)


def tokens_in(html):
    """(kind, whose) of every link and pixel."""
    return [(kind, TOKENS.read(KINDS[kind], token)[0]) for kind, token in re.findall(r"/([co])/([\w-]{32})", html)]


@pytest.mark.parametrize(("action", "holds"), [("given", [("c", 0), ("o", 0)]), ("withdrawn", [])])
async def test_a_preview_and_a_test_show_what_the_person_would_get_and_count_for_nobody(desk, action, holds):
    """A click or an open of recipient 0 is answered and stored nowhere: tests/tracking/test_endpoint.py."""
    kari = await desk.person()
    for purpose in ("track_opens", "track_clicks"):
        await desk.post(f"persons/{kari}/consents", {"purpose": purpose, "action": action, "source": "form"})
    mailing = await desk.mailing(selection_id=await desk.selection(kari), from_email="post@a.example")
    await desk.content(mailing, html=HTML, text="A")
    shown = await desk.get(f"mailings/{mailing}/preview")
    async with desk.database.begin() as session:
        row = await find_mailing(session, mailing_id=mailing)
        composer = Composer(desk.context.settings, TOKENS)
        message, path, _ = await render_test(
            session, mailing=row, composer=composer, recipient_id=shown["recipient_id"]
        )  # fmt: skip
    tested = parsed(bytes(message)).get_body(["html"]).get_content()
    assert TOKENS.read_return_path(path.partition("@")[0]) == 0
    for html in (shown["html"], tested):
        assert tokens_in(html) == holds
        assert ('href="https://a.example/?n=1&amp;x"' in html) is (action == "withdrawn")
