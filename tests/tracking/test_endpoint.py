"""Clicks and opens over ASGI, with real commits."""

import httpx2
import pytest

from app.platform.db import Database
from app.platform.telemetry import Metrics
from app.platform.tokens import Purpose, TokenKey
from app.tracking.endpoint import PIXEL, Tracking, TrackingEndpoint


async def behind(scope, receive, send):
    """The application behind the endpoint: a teapot."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def tracking(sent):
    database = Database.connect(sent.settings, name="tests")
    tokens = TokenKey.from_secret(sent.settings.secret_key.get_secret_value())
    tracking = Tracking(sent.settings, database=database, tokens=tokens, metrics=Metrics())
    await tracking.startup()
    yield tracking
    await tracking.shutdown()
    await database.close()


@pytest.fixture
async def reader(tracking, sent):
    transport = httpx2.ASGITransport(TrackingEndpoint(behind, tracking=tracking))
    headers = {"User-Agent": sent.browser}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


def click_path(tracking, recipient_id, link_id, purpose=Purpose.CLICK):
    return f"/c/{tracking.tokens.make(purpose, recipient_id, link_id)}"


async def events(sent):
    rows = await sent.sql("SELECT kind, recipient_id, link_id, method, verdict FROM engagement ORDER BY id")
    return [tuple(row) for row in rows]


async def test_a_click_leads_to_the_target_and_is_stored(sent, tracking, reader):
    answer = await reader.get(click_path(tracking, 3, 2))
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://example.com/2"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in answer.headers["x-robots-tag"]
    assert await events(sent) == [("click", 3, 2, "GET", "human")]


async def test_head_is_answered_like_get_and_judged_a_machine(sent, tracking, reader):
    answer = await reader.head(click_path(tracking, 3, 2))
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/2")
    assert await events(sent) == [("click", 3, 2, "HEAD", "machine")]


async def test_a_click_in_a_test_message_leads_on_and_stores_nothing(sent, tracking, reader):
    assert (await reader.get(click_path(tracking, 0, 2))).status_code == 302
    assert await events(sent) == []


@pytest.mark.parametrize(
    "path",
    [
        lambda t: click_path(t, 3, 2)[:-1],
        lambda t: click_path(t, 3, 2) + "A",
        lambda t: click_path(t, 3, 2)[:-1] + "ø",
        lambda t: click_path(t, 3, 2).lower(),
        lambda t: click_path(t, 3, 2)[:8] + ("A" if click_path(t, 3, 2)[8] != "A" else "B") + click_path(t, 3, 2)[9:],
        lambda t: click_path(t, 3, 2, Purpose.UNSUBSCRIBE),
        lambda t: click_path(t, 3, 2, Purpose.OPEN),
        lambda _: f"/c/{TokenKey.from_secret('another key').make(Purpose.CLICK, 3, 2)}",
        lambda t: click_path(t, 3, 999_999),
        lambda t: "/c/",
        lambda t: "/c/https://evil.example.com",
    ],
)  # fmt: skip
async def test_a_token_that_is_not_ours_leads_nowhere(sent, tracking, reader, path):
    answer = await reader.get(path(tracking))
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    assert await events(sent) == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused_and_store_nothing(sent, tracking, reader, method):
    for path in (click_path(tracking, 3, 2), f"/o/{tracking.tokens.make(Purpose.OPEN, 3)}.gif"):
        answer = await reader.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert await events(sent) == []


async def test_an_open_gives_the_pixel_and_is_stored(sent, tracking, reader):
    answer = await reader.get(f"/o/{tracking.tokens.make(Purpose.OPEN, 3)}.gif")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/gif", PIXEL)
    assert len(PIXEL) == 43
    assert answer.headers["cache-control"] == "no-store"
    assert await events(sent) == [("open", 3, None, "GET", "human")]


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "x.gif", "a/b.gif"])
async def test_the_pixel_is_given_for_any_token_and_nothing_is_stored(sent, reader, token):
    answer = await reader.get(f"/o/{token}")
    assert (answer.status_code, answer.content) == (200, PIXEL)
    assert await events(sent) == []


async def test_a_target_is_filled_for_its_recipient(sent, tracking, reader):
    await sent.sql("INSERT INTO company (id, name, extra) VALUES (1, 'Nordavind & Co', '{}')")
    await sent.sql(
        "INSERT INTO person (id, name, first_name, email, company_id, extra)"
        " VALUES (1, 'Kåre', 'Kåre', 'k@example.com', 1, '{\"plan\": 3}')"
    )
    await sent.sql("UPDATE recipient SET person_id = 1 WHERE id = 3")
    target = (
        'https://example.com/[[customer.firstname|default("du")]]?c=[[company.name]]&p=[[customer.extra.plan]]'
        "&m=[[customer.email]]"
    )
    await sent.sql("INSERT INTO link (id, mailing_id, position, target) VALUES (50, 1, 50, $1)", target)
    found = await reader.get(click_path(tracking, 3, 50))
    assert found.headers["location"] == (
        "https://example.com/K%C3%A5re?c=Nordavind%20%26%20Co&p=3&m=kari%40example.com"
    )
    unknown = await reader.get(click_path(tracking, 4, 50))
    assert unknown.headers["location"].startswith("https://example.com/du?c=&p=&m=")
    gone = await reader.get(click_path(tracking, 4711, 50))
    assert gone.headers["location"] == "https://example.com/du?c=&p=&m="


async def test_everything_else_goes_to_the_application_behind(reader):
    assert (await reader.get("/v1/mailings")).status_code == 418
