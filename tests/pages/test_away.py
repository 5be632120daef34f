"""What readers get when the database is away, and what no page gives away."""

import httpx2
import pytest

from app.main import create_app
from app.pages.routes import mask
from app.platform.tokens import Purpose
from tests.conftest import settings_for


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


@pytest.mark.parametrize(
    ("email", "masked"), [("kari@example.com", "k•••@example.com"), ("", "•••"), ("nonsense", "•••")]
)
def test_an_address_is_masked_before_its_domain(email, masked):
    assert mask(email) == masked
