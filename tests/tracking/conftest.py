"""A mailing that was sent an hour ago, in a database of the test's own."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from app.platform.telemetry import Metrics
from app.tracking.draining import Drainer
from app.tracking.events import Event, pack
from app.tracking.models import EventKind
from app.tracking.recorder import Recorder
from tests.conftest import settings_for

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)


class Sent:
    """Mailing 1 with links 1… and recipients 1…, and what is asked about them."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.browser = CHROME
        self.settings = settings_for(url, machine_seconds=2.0, data_dir=directory)

    def event(self, recipient_id: int, link_id: int) -> Event:
        return Event(EventKind.CLICK, 1, recipient_id, link_id, datetime.now(UTC), "GET", CHROME)

    async def sql(self, query: str, *args):
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async def fill(self, *, links: int, recipients: int) -> None:
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        await self.sql(
            "INSERT INTO mailing (id, name, from_name, from_email, subject, html) VALUES (1, 'M', '', '', '', '')"
        )
        await self.sql(
            "INSERT INTO link (id, mailing_id, position, target, frozen)"
            " SELECT g, 1, g - 1, 'https://example.com/' || g, true FROM generate_series(1, $1::int) AS g", links,
        )  # fmt: skip
        await self.sql(
            "INSERT INTO recipient (id, mailing_id, name, email, status, sent_at)"
            " SELECT g, 1, 'Kari', 'kari@example.com', 'sent', $2 FROM generate_series(1, $1::int) AS g",
            recipients, hour_ago,
        )  # fmt: skip

    async def stored(self, number: int, *, within: float = 20.0) -> None:
        """Wait until so many events have been taken from spools."""
        deadline = time.monotonic() + within
        while (taken := (await self.sql("SELECT coalesce(sum(drained), 0) FROM engagement_spool"))[0][0]) < number:
            assert time.monotonic() < deadline, f"{taken} of {number} stored"
            await asyncio.sleep(0.01)
        assert taken == number

    async def assert_tallies_equal_a_recount(self) -> None:
        kept = await self.sql("SELECT * FROM engagement_tally WHERE events <> 0 ORDER BY 1, 2, 3, 4, 5")
        counted = await self.sql(
            "SELECT mailing_id, coalesce(link_id, 0) AS link_id, kind, verdict,"
            " date_trunc('hour', occurred_at, 'UTC') AS hour, count(*) AS events"
            " FROM engagement GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
        )
        assert [tuple(row) for row in kept] == [tuple(row) for row in counted]
        kept = dict(await self.sql("SELECT name, value FROM recipient_tally WHERE mailing_id = 1"))
        counted = (await self.sql(
            "SELECT count(*) AS total, count(opened_at) AS opened, count(clicked_at) AS clicked,"
            " count(coalesce(opened_at, machine_opened_at)) AS opened_total,"
            " count(coalesce(clicked_at, machine_clicked_at)) AS clicked_total FROM recipient WHERE mailing_id = 1"
        ))[0]  # fmt: skip
        assert {name: kept.get(name, 0) for name in dict(counted)} == dict(counted)
        wrong = await self.sql(
            "SELECT r.id FROM recipient AS r LEFT JOIN (SELECT recipient_id,"
            " min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'human') AS opened,"
            " min(occurred_at) FILTER (WHERE kind = 'open' AND verdict = 'machine') AS machine_opened,"
            " min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'human') AS clicked,"
            " min(occurred_at) FILTER (WHERE kind = 'click' AND verdict = 'machine') AS machine_clicked"
            " FROM engagement GROUP BY 1) AS e ON e.recipient_id = r.id"
            " WHERE (r.opened_at, r.machine_opened_at, r.clicked_at, r.machine_clicked_at)"
            " IS DISTINCT FROM (e.opened, e.machine_opened, e.clicked, e.machine_clicked)"
        )
        assert wrong == []
        await self.assert_clickers_equal_a_recount()

    async def assert_clickers_equal_a_recount(self) -> None:
        for table, key in (("link", "e.link_id"), ("library_link", "l.library_link_id")):
            wrong = await self.sql(
                f"WITH counted AS (SELECT {key} AS key, e.recipient_id,"
                " min(e.occurred_at) FILTER (WHERE e.verdict = 'human') AS human,"
                " min(e.occurred_at) FILTER (WHERE e.verdict = 'machine') AS machine,"
                " count(*) FILTER (WHERE e.verdict = 'human') AS clicks,"
                " count(*) FILTER (WHERE e.verdict = 'machine') AS machine_clicks"
                f" FROM engagement AS e JOIN link AS l ON l.id = e.link_id WHERE {key} IS NOT NULL GROUP BY 1, 2)"
                f" SELECT c.key, k.{table}_id FROM counted AS c FULL JOIN {table}_clicker AS k"
                f" ON k.{table}_id = c.key AND k.recipient_id = c.recipient_id"
                " WHERE (k.clicked_at, k.machine_clicked_at) IS DISTINCT FROM (c.human, c.machine)"
                " UNION ALL SELECT s.key, 0 FROM (SELECT key, sum(clicks), sum(machine_clicks), count(human),"
                " count(*) FILTER (WHERE human IS NULL) FROM counted GROUP BY 1) AS s"
                " (key, clicks, machine_clicks, clickers, machine_clickers)"
                f" FULL JOIN (SELECT * FROM {table}_tally WHERE clicks + machine_clicks <> 0) AS t"
                f" ON t.{table}_id = s.key"
                " WHERE (t.clicks, t.machine_clicks, t.clickers, t.machine_clickers)"
                " IS DISTINCT FROM (s.clicks, s.machine_clicks, s.clickers, s.machine_clickers)"
            )
            assert wrong == [], table


class Machine:
    """A recorder with its drainer, on a directory of their own."""

    def __init__(self, settings, *, drainer: type[Drainer] = Drainer) -> None:
        self.metrics = Metrics()
        self.recorder = Recorder(settings, metrics=self.metrics)
        self.told: list[tuple[str, int]] = []
        self.drainer = drainer(settings, tell=lambda what, number: self.told.append((what, number)))
        self.recorded = 0
        self.settings = settings

    async def start(self) -> None:
        await self.recorder.start()
        self.settings.spool_dir.mkdir(parents=True, exist_ok=True)
        self.draining = asyncio.create_task(self.drainer.run())

    async def stop(self) -> None:
        """Stop when everything is stored."""
        await self.recorder.stop()
        self.drainer.stop()
        await self.draining

    async def record(self, *events: Event) -> None:
        """Record events together; return when they are on disk."""
        await asyncio.gather(*[asyncio.ensure_future(self.recorder.record(pack(event))) for event in events])

    async def store(self, *events: Event) -> None:
        """Record events together; return when the database has them."""
        await self.record(*events)
        self.recorded += len(events)
        deadline = time.monotonic() + 20
        while sum(number for what, number in self.told if what in ("stored", "lost")) < self.recorded:
            assert time.monotonic() < deadline
            if self.draining.done():
                await self.draining
            await asyncio.sleep(0.005)


@pytest.fixture
def sent_factory():
    return Sent


@pytest.fixture
async def machine_factory(sent, tmp_path):
    """Makes machines that run on the same database, each with a disk of its own."""
    made: list[Machine] = []

    async def make(**changes) -> Machine:
        directory = tmp_path / f"machine-{len(made)}"
        machine = Machine(sent.settings.model_copy(update={"data_dir": directory}), **changes)
        await machine.start()
        made.append(machine)
        return machine

    yield make
    for machine in made:
        if not machine.draining.done():
            await machine.stop()


@pytest.fixture
async def sent(fresh_database, tmp_path) -> Sent:
    sent = Sent(fresh_database, tmp_path)
    await sent.fill(links=8, recipients=20)
    return sent
