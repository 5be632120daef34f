"""A mailing that was sent an hour ago, in a database of the test's own."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.tracking.models import EventKind
from app.tracking.recorder import Event
from tests.conftest import settings_for

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)


class Sent:
    """Mailing 1 with links 1… and recipients 1…, and what is asked about them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.browser = CHROME
        self.settings = settings_for(url, machine_seconds=2.0)

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
            "INSERT INTO link (id, mailing_id, position, target)"
            " SELECT g, 1, g - 1, 'https://example.com/' || g FROM generate_series(1, $1::int) AS g", links,
        )  # fmt: skip
        await self.sql(
            "INSERT INTO recipient (id, mailing_id, name, email, status, sent_at)"
            " SELECT g, 1, 'Kari', 'kari@example.com', 'sent', $2 FROM generate_series(1, $1::int) AS g",
            recipients, hour_ago,
        )  # fmt: skip

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


@pytest.fixture
def sent_factory():
    return Sent


@pytest.fixture
async def sent(fresh_database) -> Sent:
    sent = Sent(fresh_database)
    await sent.fill(links=8, recipients=20)
    return sent
