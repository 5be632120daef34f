"""Clicks and opens over ASGI, with real commits."""

import httpx2
import pytest

from app.letterhead.colours import Chosen
from app.letterhead.frame import Page
from app.letterhead.looks import Branding
from app.platform.db import Database
from app.platform.telemetry import Metrics
from app.platform.tokens import Purpose, TokenKey
from app.tracking.answers import PIXEL
from app.tracking.client_limits import ClientLimits
from app.tracking.endpoint import Tracking, TrackingEndpoint
from app.tracking.responders import Elsewhere, TextPage


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


async def events(sent, number):
    await sent.stored(number)
    rows = await sent.sql("SELECT kind, recipient_id, link_id, method, verdict FROM engagement ORDER BY id")
    return [tuple(row) for row in rows]


async def test_a_click_leads_to_the_target_and_is_stored(sent, tracking, reader):
    answer = await reader.get(click_path(tracking, 3, 2))
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://example.com/2"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in answer.headers["x-robots-tag"]
    assert await events(sent, 1) == [("click", 3, 2, "GET", "human")]


async def test_head_is_answered_like_get_and_judged_a_machine(sent, tracking, reader):
    answer = await reader.head(click_path(tracking, 3, 2))
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/2")
    assert await events(sent, 1) == [("click", 3, 2, "HEAD", "machine")]


async def test_a_click_and_an_open_of_a_test_message_are_answered_and_store_nothing(sent, tracking, reader):
    """D42"""
    assert (await reader.get(click_path(tracking, 0, 2))).status_code == 302
    assert (await reader.get(f"/o/{tracking.tokens.make(Purpose.OPEN, 0)}.gif")).content == PIXEL
    assert tracking.recorder.recorded == 0


@pytest.mark.parametrize(
    "path",
    [
        lambda t: click_path(t, 3, 2)[:-1],
        lambda t: click_path(t, 3, 2)[:-1] + "ø",
        lambda t: click_path(t, 3, 2)[:20],
        lambda t: click_path(t, 3, 2).upper(),
        lambda t: f"/c/{'%25' * 3000}",
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
    assert tracking.recorder.recorded == 0


@pytest.mark.parametrize(
    "mangle",
    [
        "/c/{}.", "/c/{}),", "/c/<{}>", "/c/{}%3E", "/c/{}%2E", "/c/{}&amp;utm_source=news",
        "/c/{}?fbclid=x&utm_source=y", "/c/{}/", "/c//{}", "/c/%20{}", "/c/{}A",
        "/c/{}%E2%80%8B", "/c/{}=", "/c/{}=3D", "/c/=3D{}", "/c%2F{}",
        "/c%252F{}", "/c/%2520{}%252E", "/c/{}%22%20target=_blank", "/C/{}",
    ],
)  # fmt: skip
async def test_what_mail_programs_add_to_a_link_is_taken_off(sent, tracking, reader, mangle):
    token = click_path(tracking, 3, 2)[3:]
    answer = await reader.get(mangle.format(token))
    assert (answer.status_code, answer.headers.get("location")) == (302, "https://example.com/2")
    assert len(await events(sent, 1)) == 1


@pytest.mark.parametrize("break_", ["=%0D%0A", "%0A", "%20", "=", "%C2%AD", "%3D%0A", "%25" + "0A"])
async def test_a_break_in_a_link_is_closed(sent, tracking, reader, break_):
    token = click_path(tracking, 3, 2)[3:]
    answer = await reader.get(f"/c/{token[:13]}{break_}{token[13:]}")
    assert answer.status_code == 302


async def test_a_token_percent_encoded_twice_is_read(tracking, reader):
    token = next(token for n in range(1, 20) if {"-", "_"} & set(token := click_path(tracking, n, 2)[3:]))
    for times in ("%2D", "%252D"):
        answer = await reader.get("/c/" + token.replace("-", times).replace("_", times.replace("2D", "5F")))
        assert answer.status_code == 302


async def test_a_last_hyphen_that_was_taken_for_punctuation_is_put_back(tracking, reader):
    paths = (click_path(tracking, recipient_id, 2) for recipient_id in range(1, 5000))
    for ending in "-_":
        path = next(path for path in paths if path.endswith(ending))
        assert (await reader.get(path[:-1])).status_code == 302


async def test_a_pixel_is_found_behind_what_was_added(sent, tracking, reader):
    token = tracking.tokens.make(Purpose.OPEN, 3)
    for path in (f"/o/{token}.gif.", f"/o/{token}", f"/o/{token}.gif%3Fx=1", f"/o%2F{token}.gif"):
        assert (await reader.get(path)).content == PIXEL
    assert len(await events(sent, 4)) == 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused_and_store_nothing(sent, tracking, reader, method):
    for path in (click_path(tracking, 3, 2), f"/o/{tracking.tokens.make(Purpose.OPEN, 3)}.gif"):
        answer = await reader.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert tracking.recorder.recorded == 0


async def test_an_open_gives_the_pixel_and_is_stored(sent, tracking, reader):
    answer = await reader.get(f"/o/{tracking.tokens.make(Purpose.OPEN, 3)}.gif")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/gif", PIXEL)
    assert len(PIXEL) == 43
    assert answer.headers["cache-control"] == "no-store"
    assert await events(sent, 1) == [("open", 3, None, "GET", "human")]


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "x.gif", "a/b.gif"])
async def test_the_pixel_is_given_for_any_token_and_nothing_is_stored(tracking, reader, token):
    answer = await reader.get(f"/o/{token}")
    assert (answer.status_code, answer.content) == (200, PIXEL)
    assert tracking.recorder.recorded == 0


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


async def test_a_responder_answers_in_place_of_the_target_and_the_click_is_stored(sent, tracking, reader):
    answers = [
        Elsewhere('https://example.com/[[customer.firstname|default("du")]]/ny'),
        TextPage(Page(b"<p>Takk</p>", {"Content-Type": "text/html; charset=utf-8"})),
        None,
    ]
    asked = []

    async def respond(click):
        asked.append(click)
        return answers[len(asked) - 1]

    await sent.sql("INSERT INTO library_link (id, name, target, target_key) VALUES (77, '', '', '')")
    await sent.sql(
        "INSERT INTO link (id, mailing_id, position, target, library_link_id)"
        " VALUES (78, 1, 78, 'https://example.com/2', 77)"
    )
    tracking.responders[77] = respond
    got = [await reader.get(click_path(tracking, 4, 78)) for _ in answers]
    assert [(answer.status_code, answer.headers.get("location")) for answer in got] == [
        (302, "https://example.com/du/ny"), (200, None), (302, "https://example.com/2"),
    ]  # fmt: skip
    assert got[1].text == "<p>Takk</p>"
    assert (asked[0].recipient_id, asked[0].mailing_id, asked[0].link_id, asked[0].library_link_id) == (4, 1, 78, 77)
    assert len(await events(sent, 3)) == 3


@pytest.mark.parametrize(("wanted", "language", "words"), [("sv", "sv", "leder ingenstans"), ("fr", "en", "nowhere")])
async def test_a_link_that_leads_nowhere_says_so_in_the_readers_language_and_the_senders_looks(
    tracking, reader, wanted, language, words
):
    """D49: the pages that need no database, too."""
    tracking.looks.take(Branding(name="Nordavind", chosen=Chosen(accent="#7a1fa2")))
    answer = await reader.get("/c/nothing", headers={"Accept-Language": wanted})
    assert answer.status_code == 404
    assert answer.headers["content-language"] == language
    assert words in answer.text
    assert "--accent: #7a1fa2;" in answer.text
    assert "Nordavind</p>" in answer.text
    assert (await reader.head("/c/nothing")).content == b""


async def test_who_guesses_tokens_is_asked_to_wait_and_clicks_from_there_lead_on(tracking, reader):
    tracking.limits = ClientLimits()
    guessed = [(await reader.get(f"/c/{'A' * 32}")).status_code for _ in range(61)]
    assert guessed == [404] * 60 + [429]
    assert (await reader.get(click_path(tracking, 3, 2))).status_code == 302
    assert (await reader.get("/o/nonsense.gif")).content == PIXEL
