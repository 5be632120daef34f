"""What one network address may ask of the public addresses: much, and clicks without end."""

import httpx2
import pytest

from app.letterhead.looks import Looks
from app.platform.tokens import Purpose, TokenKey
from app.tracking import client_limits
from app.tracking.client_limits import CHANGES, LOOKS, WRONG_TOKENS, ClientLimits, LimitedPages, client_of

TOKENS = TokenKey.from_secret("s" * 32)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limits(clock):
    return ClientLimits(clock=clock)


async def behind(scope, receive, send):
    """The pages: 200 to everybody."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def reader(limits, clock):
    """A client of the pages, from an address of its own."""
    pages = LimitedPages(behind, limits=limits, tokens=TOKENS, looks=Looks(clock))

    def reader(host: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=pages, client=(host, 1)), base_url="http://news.example.com"
        )

    return reader


def at(host):
    return {"type": "http", "client": (host, 1)}


def path(letter, purpose):
    return f"/{letter}/{TOKENS.make(purpose, 7)}"


def test_a_budget_is_so_many_at_once_and_then_so_many_a_second(limits, clock):
    assert [limits.spend(WRONG_TOKENS, at("192.0.2.1")) for _ in range(60)] == [0.0] * 60
    assert limits.spend(WRONG_TOKENS, at("192.0.2.1")) == pytest.approx(1.0)
    assert limits.spend(LOOKS, at("192.0.2.1")) == limits.spend(WRONG_TOKENS, at("192.0.2.2")) == 0.0
    clock.now += 1.0
    assert limits.spend(WRONG_TOKENS, at("192.0.2.1")) == 0.0
    assert limits.spend(WRONG_TOKENS, at("192.0.2.1")) > 0.0


def test_a_factor_widens_budgets_and_none_lifts_them(clock):
    wide, off = ClientLimits(2.0, clock), ClientLimits(0.0, clock)
    assert [bool(wide.spend(CHANGES, at("192.0.2.1"))) for _ in range(241)] == [False] * 240 + [True]
    assert not any(off.spend(CHANGES, at("192.0.2.1")) for _ in range(1000))


@pytest.mark.parametrize(
    ("host", "same"),
    [("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::2")],
)
def test_one_site_is_one_client(host, same):
    assert client_of(at(host)) == client_of(at(same))


def test_other_networks_are_other_clients_and_a_socket_has_none():
    assert client_of(at("2001:db8:1:2::1")) != client_of(at("2001:db8:1:3::1"))
    assert client_of({"type": "http", "client": None}) == ""


@pytest.mark.parametrize("budget", [WRONG_TOKENS, CHANGES, LOOKS])
def test_the_smallest_factor_leaves_one_at_a_time(budget, clock):
    narrow = ClientLimits(0.001, clock)
    assert narrow.spend(budget, at("192.0.2.1")) == 0.0
    wait = narrow.spend(budget, at("192.0.2.1"))
    assert wait > 0.0
    clock.now += wait
    assert narrow.spend(budget, at("192.0.2.1")) == 0.0


def test_memory_is_bounded_and_who_was_seen_last_is_remembered(limits, monkeypatch):
    monkeypatch.setattr(client_limits, "MOST_CLIENTS", 100)
    for _ in range(60):
        limits.spend(WRONG_TOKENS, at("192.0.2.1"))
    for number in range(1000):
        limits.spend(LOOKS, at(f"10.0.{number // 250}.{number % 250}"))
        assert limits.spend(WRONG_TOKENS, at("192.0.2.1")) > 0
    assert len(limits) == 100


async def test_guessing_is_refused_and_harms_nobody_else_behind_the_address(reader):
    async with reader("192.0.2.1") as client:
        answers = [(await client.get(f"/v/{'A' * 32}")).status_code for _ in range(61)]
        assert answers == [200] * 60 + [429]
        refused = await client.get("/u/x", headers={"Accept-Language": "nb"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "Prøv igjen" in refused.text
        assert refused.headers["content-security-policy"].startswith("default-src 'none'")
        assert refused.headers["referrer-policy"] == "no-referrer"
        assert (await client.get(path("v", Purpose.VIEW))).status_code == 200


async def test_pages_are_limited_and_unsubscribing_is_not(reader):
    async with reader("192.0.2.1") as client:
        looks = [(await client.get(path("p", Purpose.PREFERENCES))).status_code for _ in range(601)]
        assert looks == [200] * 600 + [429]
        changes = [(await client.post(path("p", Purpose.PREFERENCES))).status_code for _ in range(121)]
        assert changes == [200] * 120 + [429]
        assert {(await client.post(path("u", Purpose.UNSUBSCRIBE))).status_code for _ in range(700)} == {200}
        assert (await client.get("/v1/mailings")).status_code == 200
