"""A PostgreSQL of the test's own is killed, hung and started again while readers click."""

import asyncio
import os
import signal
import time

import httpx2
import pytest

from app.embedded.errors import EmbeddedError
from app.embedded.ports import free_port
from app.embedded.postgres import start_postgres
from app.platform.db import Database
from app.platform.telemetry import Metrics
from app.platform.tokens import Purpose, TokenKey
from app.tracking import draining
from app.tracking.endpoint import Tracking, TrackingEndpoint
from app.tracking.events import pack
from app.tracking.keeper import DrainerKeeper
from app.tracking.recorder import Recorder
from tests.conftest import migrate

LINK, TEMPLATE_LINK = 2, 8


class Fragile:
    """A database on a port of its own, with its tracking in front of nothing."""

    def __init__(self, directory, sent_factory) -> None:
        self.directory, self.port = directory, free_port()
        self.start()
        self.sent = sent_factory(self.server.url, directory)

    def start(self) -> None:
        """Start it, again while sessions of one that was killed still hold its memory."""
        deadline = time.monotonic() + 20
        while True:
            try:
                self.server = start_postgres(self.directory, port=self.port, durable=True)
            except EmbeddedError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def kill(self) -> None:
        """End the postmaster as a crash would; it takes its sessions with it."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.process.wait()


@pytest.fixture
def own_postgres(tmp_path, sent_factory):
    fragile = Fragile(tmp_path, sent_factory)
    try:
        migrate(fragile.server.url)
        yield fragile
    finally:
        fragile.server.stop()


@pytest.fixture
async def fragile(own_postgres):
    fragile = own_postgres
    await fragile.sent.fill(links=8, recipients=2000)
    await fragile.sent.sql(
        "UPDATE link SET target = 'https://example.com/[[customer.firstname|default(\"du\")]]' WHERE id = $1",
        TEMPLATE_LINK,
    )
    return fragile


@pytest.fixture
async def tracking(fragile):
    settings = fragile.sent.settings
    database = Database.connect(settings, name="tests")
    tokens = TokenKey.from_secret(settings.secret_key.get_secret_value())
    tracking = Tracking(settings, database=database, tokens=tokens, metrics=Metrics())
    await tracking.startup()
    yield tracking
    await tracking.shutdown()
    await database.close()


@pytest.fixture
async def reader(tracking, fragile):
    transport = httpx2.ASGITransport(TrackingEndpoint(None, tracking=tracking))
    headers = {"User-Agent": fragile.sent.browser}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


async def click(reader, tracking, recipient_id, link_id=LINK) -> float:
    """Click and return how many seconds it took."""
    began = time.monotonic()
    answer = await reader.get(f"/c/{tracking.tokens.make(Purpose.CLICK, recipient_id, link_id)}")
    assert answer.status_code == 302
    return time.monotonic() - began


async def until(condition, *, within=30.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def assert_each_counted_once(sent, recipient_ids):
    await sent.stored(len(list(recipient_ids)))
    stored = await sent.sql("SELECT recipient_id, count(*) FROM engagement GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in stored] == [(recipient_id, 1) for recipient_id in sorted(recipient_ids)]
    await sent.assert_tallies_equal_a_recount()


async def test_killing_the_database_under_clicks_loses_none_and_counts_none_twice(fragile, tracking, reader):
    slowest = 0.0
    clicked: list[int] = []

    async def keep_clicking(first, number):
        nonlocal slowest
        for recipient_id in range(first, first + number):
            slowest = max(slowest, await click(reader, tracking, recipient_id))
            clicked.append(recipient_id)

    for round_number in range(2):
        first = round_number * 1000 + 1
        readers = [asyncio.create_task(keep_clicking(first + 100 * number, 100)) for number in range(10)]
        await until(lambda first=first: len(clicked) > first + 200)
        fragile.kill()
        await asyncio.gather(*readers)
        fragile.start()
        await fragile.sent.stored(len(clicked))
    assert slowest < 1.0
    await assert_each_counted_once(fragile.sent, clicked)


async def test_a_database_that_hangs_keeps_no_reader_waiting(fragile, tracking, reader, monkeypatch):
    monkeypatch.setattr(draining, "GIVE_UP_AFTER", 1.0)
    await click(reader, tracking, 1)
    sessions = await fragile.sent.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'budstikke%'")
    processes = [fragile.server.pid, *[row["pid"] for row in sessions]]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        took = await asyncio.gather(*[click(reader, tracking, number, TEMPLATE_LINK) for number in range(2, 12)])
        assert max(took) < 1.0
        assert await click(reader, tracking, 12, TEMPLATE_LINK) < 0.1  # known to be away by now
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    await assert_each_counted_once(fragile.sent, range(1, 13))


async def test_a_process_that_starts_without_the_database_catches_up(fragile):
    fragile.kill()
    recorder = Recorder(fragile.sent.settings, metrics=Metrics())
    await recorder.start()
    for recipient_id in range(1, 11):
        await recorder.record(pack(fragile.sent.event(recipient_id, LINK)))
    await recorder.stop()  # its spool is a dead one now
    keeper = DrainerKeeper(fragile.sent.settings, metrics=Metrics(), apart=False)
    await keeper.start()
    fragile.start()
    await assert_each_counted_once(fragile.sent, range(1, 11))
    await keeper.stop()
    assert not list(fragile.sent.settings.spool_dir.glob("*.spool"))


async def test_a_link_not_in_memory_while_the_database_is_away_asks_to_try_again(fragile, tracking, reader):
    tracking.links.__init__(tracking.database)
    fragile.kill()
    answer = await reader.get(f"/c/{tracking.tokens.make(Purpose.CLICK, 1, LINK)}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
