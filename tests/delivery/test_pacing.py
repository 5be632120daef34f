"""Limits over all senders together, destinations that ask for less, and what is kept back meanwhile (D31)."""

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest

from app.delivery import pace_queries
from app.delivery.budgets import GRANT_SECONDS, Budget, Limit, columns
from app.platform.db import Database
from tests.conftest import settings_for
from tests.delivery.sending import sending, times_taken, until
from tests.delivery.smtp_server import SmtpServer

SLOW = "UPDATE recipient SET email = 'r' || seq || '@slow.no', email_key = 'r' || seq || '@slow.no' WHERE seq % 10 <> 0"
LIMIT = "INSERT INTO destination_limit (domain, max_per_second, max_per_hour) VALUES ($1, $2, $3)"


@pytest.fixture
def of(fresh_database, tmp_path):
    """A factory: a mailing to so many."""
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


@pytest.fixture
async def paces(fresh_database):
    """Leases from budgets, each in a transaction of its own."""
    database = Database.connect(settings_for(fresh_database), name="tests")

    async def lease(key: str, want: int, **limit) -> tuple[int, float]:
        budget = Budget(key, Limit(**limit), wanted=want)
        async with database.begin() as session:
            await pace_queries.add_keys(session, [key])
            [row] = await pace_queries.lease(session, **columns([budget]))
        return row.granted, row.wait

    lease.database = database
    yield lease
    await database.close()


class TimedServer(SmtpServer):
    """Remembers when it took each message."""

    def record(self, taken):
        super().record(taken)
        self.times.append((time.monotonic(), taken.recipient.rpartition("@")[2]))

    async def __aenter__(self):
        self.times = []
        return await super().__aenter__()

    def most_in_a_second(self, domain: str) -> int:
        times = [at for at, of in self.times if of == domain]
        return max(sum(begin <= at < begin + 1 for at in times) for begin in times)


# Budgets


async def test_a_budget_gives_no_more_than_its_limit_in_a_window_whoever_asks(paces):
    began, granted = time.monotonic(), 0
    while time.monotonic() - began < 0.9:
        granted += sum(
            [got for got, _ in await asyncio.gather(*(paces("domain:a.no", 9, per_second=100.0) for _ in "ab"))]
        )
    assert 50 <= granted <= 100


async def test_a_budget_by_the_hour_is_spread_over_it(paces):
    assert (await paces("mailing:1", 500, per_hour=200))[0] == 10  # a twentieth at once
    granted, wait = await paces("mailing:1", 500, per_hour=200)
    assert (granted, wait) == (0, pytest.approx(3600 / 191, abs=0.5))  # 10 at once and 190 more make the 200


async def test_a_budget_by_the_day_is_a_count_that_begins_anew_at_midnight(paces, fresh_database):
    assert await paces("account:1", 40, per_day=50) == (40, 0)
    assert (await paces("account:1", 40, per_day=50))[0] == 10
    granted, wait = await paces("account:1", 40, per_day=50)
    tomorrow = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), datetime.min.time(), UTC)
    assert (granted, wait) == (0, pytest.approx((tomorrow - datetime.now(UTC)).total_seconds(), abs=5))
    async with paces.database.begin() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("UPDATE pace SET day = day - 1")
    assert (await paces("account:1", 40, per_day=50))[0] == 40


async def test_a_clock_that_was_set_back_closes_a_budget_for_no_longer_than_its_period(paces):
    await paces("domain:a.no", 1, per_second=10.0)
    async with paces.database.begin() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("UPDATE pace SET second_at = now() + interval '1 year'")
    assert (await paces("domain:a.no", 1, per_second=10.0))[1] < 1.5


async def test_an_account_warms_up_day_by_day(paces, fresh_database):
    async with paces.database.begin() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(
            "INSERT INTO sending_account (name, host, port, security, max_per_day, warm_up_from, warm_up_first_day, "
            "warm_up_growth) SELECT 'A' || days, 'a.no', 25, 'none', 1000, (now() AT TIME ZONE 'UTC')::date - days, "
            "50, 2 FROM unnest(ARRAY[-1, 0, 1, 3, 30]) AS days"
        )
        rows = await pace_queries.read_limits(session, mailing_id=0)
    assert [row.per_day for row in sorted(rows, key=lambda row: int(row.name))] == [50, 50, 100, 400, 1000]


# Sending within limits


async def test_two_senders_keep_a_destinations_limit_together(of):
    async with of(90) as mailing, TimedServer() as server:
        await mailing.sql.execute(LIMIT, "example.no", 40.0, None)
        began = time.monotonic()
        await asyncio.gather(mailing.send(server), mailing.send(server))
        assert times_taken(server) == {1: 90}
        # One grant more than the limit may fall into a window: what was granted just before it.
        assert server.most_in_a_second("example.no") <= 40 + 40 * GRANT_SECONDS
        assert time.monotonic() - began > 90 / 40 - 1


async def test_a_limited_destination_holds_up_neither_its_chunk_nor_the_next(of):
    """900 of each chunk go to it, at 4 a second: more than the window has room for."""
    async with of(2000) as mailing, TimedServer() as server:
        await mailing.sql.execute(SLOW)
        await mailing.sql.execute(LIMIT, "slow.no", 4.0, None)
        running = asyncio.create_task(mailing.send(server))
        await until(lambda: sum(of == "example.no" for _, of in server.times) == 200)
        assert server.most_in_a_second("slow.no") <= 5
        kept = [chunk for chunk in await mailing.chunks() if chunk["destination"]]
        assert {chunk["destination"] for chunk in kept} == {"slow.no"}
        assert set(await mailing.statuses()) == {"ready", "sent"}
        await mailing.sql.execute("DELETE FROM destination_limit")  # within a second, they go at full speed
        await running
        await mailing.sql.execute("UPDATE chunk SET not_before = NULL")  # what had to wait for budget
        assert not (await mailing.send(server)).more
        assert times_taken(server) == {1: 2000}
        assert await mailing.statuses() == {"sent": 2000}


async def test_what_is_kept_back_keeps_within_the_list_and_its_chunks(of):
    async with of(1500) as mailing, TimedServer() as server:
        await mailing.sql.execute(SLOW)
        await mailing.sql.execute(LIMIT, "slow.no", 0.1, None)
        leaving = asyncio.Event()
        running = asyncio.create_task(mailing.send(server, leaving=leaving))
        await until(lambda: sum(of == "example.no" for _, of in server.times) == 150)
        leaving.set()
        await running
        seqs = await mailing.sql.fetch("SELECT seq FROM recipient WHERE status = 'ready' ORDER BY seq")
        chunks = [chunk for chunk in await mailing.chunks() if chunk["done_at"] is None]
        assert len({row["seq"] for row in seqs}) == len(seqs)
        assert all(any(c["first_seq"] <= row["seq"] <= c["last_seq"] for c in chunks) for row in seqs)
        assert all(chunk["owner"] is None and chunk["window_end"] < chunk["first_seq"] for chunk in chunks)
        ordered = sorted(await mailing.chunks(), key=lambda chunk: chunk["first_seq"])
        assert all(a["last_seq"] < b["first_seq"] for a, b in itertools.pairwise(ordered))
        # A budget that is seconds away: the chunk waits for it with nobody holding it.
        assert any(chunk["not_before"] is not None for chunk in chunks)


async def test_nothing_is_kept_back_from_a_chunk_that_another_sender_has(of):
    async with of(1000) as mailing, TimedServer("dot 30+: wait 0.02; usual") as server:
        await mailing.sql.execute(SLOW)
        running = asyncio.create_task(mailing.send(server, window=100))
        await until(lambda: len(server.ledger) >= 40)
        await mailing.sql.execute("UPDATE chunk SET owner = 'a thief', epoch = epoch + 1")
        await mailing.sql.execute(LIMIT, "slow.no", 1.0, None)
        await running
        chunks = await mailing.chunks()
        assert [(chunk["owner"], chunk["destination"]) for chunk in chunks] == [("a thief", None)]
        assert await mailing.sql.fetchval("SELECT max(seq) FROM recipient") == 1000


async def test_a_mailing_without_budget_gives_its_slot_away_and_has_no_senders_meanwhile(of):
    async with of(50) as mailing, TimedServer() as server:
        await mailing.sql.execute("UPDATE mailing SET max_per_hour = 10")
        ended = await mailing.send(server)
        assert ended.more
        assert 100 < ended.rest <= 3600 / 10
        assert len(server.ledger) == 1
        assert await mailing.statuses() == {"sent": 1, "ready": 49}
        async with mailing.database.begin() as session:
            await pace_queries.rest_dispatch(session, dispatch_id=mailing.dispatch_id, wait=ended.rest)
        await mailing.sql.execute("DELETE FROM outbox")
        assert not await mailing.keep_going()
        assert await mailing.sql.fetchval("SELECT count(*) FROM outbox") == 0
        await mailing.sql.execute("UPDATE dispatch SET rest_until = now()")
        await mailing.keep_going()
        assert await mailing.sql.fetchval("SELECT count(*) FROM outbox") > 0


# Destinations that ask for less


async def test_a_destination_that_asks_for_less_is_slowed_down_and_the_others_are_not(of):
    script = "rcpt r11@slow.no: 451 4.7.1 <r11@slow.no> too many messages"
    async with of(1000) as mailing, TimedServer(script) as server:
        await mailing.sql.execute(SLOW)
        running = asyncio.create_task(mailing.send(server))
        await until(lambda: sum(of == "example.no" for _, of in server.times) == 100)
        slowed = await mailing.sql.fetchrow("SELECT * FROM slowed_destination")
        assert (slowed["domain"], slowed["code"]) == ("slow.no", 451)
        assert slowed["words"] == "4.7.1 <…> too many messages"
        assert slowed["rate"] == slowed["peak"] / 2
        await mailing.sql.execute("UPDATE slowed_destination SET cut_at = now() - interval '1 hour'")  # recovered
        await running
        await mailing.sql.execute("UPDATE chunk SET not_before = NULL")  # what had to wait for budget
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 999, "deferred": 1}
        assert times_taken(server) == {1: 999}


async def test_a_slowed_destination_is_halved_once_for_a_burst_and_recovers_evenly(paces):
    async def slow(words: str = "too many") -> None:
        async with paces.database.begin() as session:
            await pace_queries.slow_down(session, domain="a.no", measured=100.0, code=421, words=words)

    async def rate(seconds_later: float = 0) -> float | None:
        async with paces.database.begin() as session:
            connection = await session.connection()
            await connection.exec_driver_sql(
                f"UPDATE slowed_destination SET cut_at = cut_at - interval '{seconds_later} s'"
            )
            rows = await pace_queries.read_limits(session, mailing_id=0)
        return rows[0].per_second if rows else None

    await asyncio.gather(slow(), slow(), slow())
    assert await rate() == pytest.approx(50, abs=1)
    assert await rate(120) == pytest.approx(70, abs=1)
    await slow("still too many")
    assert await rate() == pytest.approx(35, abs=1)
    assert await rate(600) is None
    await slow()
    assert await rate() == pytest.approx(50, abs=1)
