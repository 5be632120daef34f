"""Windows and leases: what a sender may start, whatever happens to its chunk or to the database."""

import asyncio
import time

import pytest

from app.delivery import queries
from tests.delivery.sending import WITHIN, reached, sending, times_taken, until
from tests.delivery.smtp_server import SmtpServer

IN_WINDOWS = """
    SELECT count(*) FROM chunk AS c JOIN dispatch AS d ON d.id = c.dispatch_id
    JOIN recipient AS r ON r.mailing_id = d.mailing_id AND r.seq BETWEEN c.first_seq AND c.window_end
    WHERE r.status = 'ready'
"""

# Keeps every window that was ever committed, with a time before its commit.
AUDIT = """
    CREATE TABLE audit (number int, window_end int, at timestamptz);
    CREATE FUNCTION audit_chunk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit VALUES (NEW.number, NEW.window_end, clock_timestamp()); RETURN NULL; END $$;
    CREATE TRIGGER audit_chunk AFTER UPDATE ON chunk FOR EACH ROW EXECUTE FUNCTION audit_chunk();
"""


@pytest.fixture
def of(fresh_database, tmp_path):
    """A factory: a mailing to so many."""
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


class TimedServer(SmtpServer):
    """Remembers when it took each message."""

    def record(self, taken):
        super().record(taken)
        self.taken_at.append((int(taken.recipient[1:].partition("@")[0]), time.time()))

    taken_at: list

    async def __aenter__(self):
        self.taken_at = []
        return await super().__aenter__()


async def test_nothing_is_started_outside_a_window_that_was_committed_before(of):
    async with of(1500) as mailing, TimedServer() as server:
        await mailing.sql.execute(AUDIT)
        await mailing.send(server, window=50)
        windows = await mailing.sql.fetch("SELECT number, window_end, extract(epoch FROM at)::float AS at FROM audit")
        for seq, taken_at in server.taken_at:
            number = (seq - 1) // 1000 + 1
            assert any(w["number"] == number and w["window_end"] >= seq and w["at"] < taken_at for w in windows)


async def test_no_more_than_a_window_is_in_doubt_at_any_time(of):
    seen = []
    async with of(1500) as mailing, SmtpServer() as server:
        running = asyncio.create_task(mailing.send(server, window=50))
        while not running.done():
            seen.append(await mailing.sql.fetchval(IN_WINDOWS))
        await running
        assert await mailing.statuses() == {"sent": 1500}
    assert 0 < max(seen) <= 50


async def test_overtaken_sender_starts_nothing_past_its_last_window(of):
    async with of(1000) as mailing, SmtpServer("dot 50+: wait 0.005; usual") as server:
        running = asyncio.create_task(mailing.send(server, window=100))
        await reached(server, 60)
        stolen = await mailing.sql.fetchrow(
            "UPDATE chunk SET owner = 'a thief', epoch = epoch + 1 RETURNING window_end, number"
        )
        ended = await running
        assert not ended.more
        assert len(server.ledger) <= stolen["window_end"]
        assert await mailing.statuses() == {"sent": len(server.ledger), "ready": 1000 - len(server.ledger)}
        assert (await mailing.chunks())[0]["owner"] == "a thief"


async def test_message_whose_chunk_was_lost_before_the_354_is_not_started(of):
    async with of(100) as mailing, SmtpServer("data *: wait 1.5; usual") as server:
        running = asyncio.create_task(mailing.send(server))
        await until(lambda: server.messages)
        await mailing.sql.execute("UPDATE chunk SET owner = 'a thief', epoch = epoch + 1")
        await running  # its heartbeat has told it
        assert server.ledger == []
        assert await mailing.statuses() == {"ready": 100}


async def test_message_whose_lease_ended_before_the_354_is_not_started(of):
    async with of(100) as mailing, SmtpServer("data *: wait 1.2; usual") as server:
        running = asyncio.create_task(mailing.send(server, lease=1.0))
        await until(lambda: server.messages)
        async with mailing.sql.transaction():
            await mailing.sql.execute("SELECT FROM chunk FOR UPDATE")
            await asyncio.sleep(1.6)
            assert server.ledger == []
        server.rules.clear()
        await running
        assert times_taken(server) == {1: 100}


async def test_takeover_doubts_the_window_and_nothing_else(of):
    async with of(1000) as mailing:
        async with mailing.database.begin() as session:
            chunk = await queries.claim_chunk(session, dispatch_id=mailing.dispatch_id, owner="elsewhere", lease=15)
        await mailing.sql.execute("UPDATE chunk SET window_end = 80")
        await mailing.sql.execute("UPDATE recipient SET status = 'sent' WHERE seq <= 30")
        assert await mailing.recover() == 0  # its lease is good
        await mailing.sql.execute("UPDATE chunk SET lease_until = now() - interval '11 s'")
        assert await mailing.recover() == 1
        assert await mailing.statuses() == {"sent": 30, "unconfirmed": 50, "ready": 920}
        [freed] = await mailing.chunks()
        assert (freed["owner"], freed["lease_until"], freed["window_end"]) == (None, None, 0)
        assert freed["epoch"] > chunk.epoch
        async with SmtpServer() as server:
            await mailing.send(server)
            assert {int(entry.recipient[1:].partition("@")[0]) for entry in server.ledger} == set(range(81, 1001))


async def doubted(mailing, owner):
    """Doubt the owner's chunks: while a flush has them locked, they are passed over."""
    async with asyncio.timeout(10):
        while True:
            async with mailing.database.begin() as session:
                doubt = await queries.doubt_owner(session, owner=owner)
            if doubt.freed:
                return doubt
            await asyncio.sleep(0.001)


async def test_result_of_an_overtaken_sender_ends_the_doubt(of):
    """What it had in flight when its window was doubted is known in the end, and is not sent again."""
    async with of(1000) as mailing, SmtpServer("dot 50+: wait 0.01; usual") as server:
        running = asyncio.create_task(mailing.send(server, window=100))
        await reached(server, 60)
        owner = await mailing.sql.fetchval("SELECT owner FROM chunk")
        doubt = await doubted(mailing, owner)
        assert doubt.doubted
        await running
        await mailing.send(server)
        statuses = await mailing.statuses()
        assert statuses["sent"] == len(server.ledger)
        assert statuses.get("unconfirmed", 0) < doubt.doubted <= 100
        assert times_taken(server) == {1: statuses["sent"]}


async def test_sender_without_database_stops_within_its_window_and_by_its_own_clock(of):
    async with of(1000) as mailing, TimedServer("dot 20+: wait 0.02; usual") as server:
        running = asyncio.create_task(mailing.send(server, window=200, lease=1.0))
        await reached(server, 30)
        async with mailing.sql.transaction():
            window_end = await mailing.sql.fetchval("SELECT window_end FROM chunk FOR UPDATE")
            locked_at = time.time()
            await asyncio.sleep(1.5)
            behind = len(server.ledger)
            assert behind < window_end  # it was the clock that stopped it
            assert max(at for _, at in server.taken_at) < locked_at + 1.0
            await asyncio.sleep(0.3)
            assert len(server.ledger) == behind
        server.rules.clear()
        await running
        assert await mailing.statuses() == {"sent": 1000}
        assert times_taken(server) == {1: 1000}


async def test_database_that_goes_away_and_comes_back_costs_nothing(of):
    async with of(2000) as mailing, SmtpServer("dot 100+: wait 0.002; usual") as server:
        running = asyncio.create_task(mailing.send(server))
        for _ in range(3):
            await reached(server, len(server.ledger) + 150)
            async with mailing.database_away():
                await asyncio.sleep(0.6)
        await running
        assert await mailing.statuses() == {"sent": 2000}
        assert times_taken(server) == {1: 2000}


async def test_sender_that_cannot_give_back_leaves_a_journal_that_tells_all(of, monkeypatch):
    monkeypatch.setattr("app.delivery.sender.GIVE_BACK_SECONDS", 0.5)
    async with of(1000) as mailing, SmtpServer("dot 50+: wait 0.005; usual") as server:
        running = asyncio.create_task(mailing.send(server))
        await reached(server, 100)
        async with mailing.database_away():
            mailing.stopping.set()
            ended = await running
        assert ended.more
        assert mailing.journals()
        assert await mailing.recover() == 1
        taken = len(server.ledger)
        assert await mailing.statuses() == {"sent": taken, "ready": 1000 - taken}
        assert mailing.journals() == []


async def test_sender_that_started_nothing_and_cannot_give_back_leaves_nothing_in_doubt(of, monkeypatch):
    """Its empty journal is what tells recovery that nothing of the open window was started."""
    monkeypatch.setattr("app.delivery.sender.GIVE_BACK_SECONDS", 0.5)
    async with of(100) as mailing, SmtpServer("connect *: stall") as server:
        running = asyncio.create_task(mailing.send(server))
        await until(lambda: server.connections)
        async with mailing.database_away():
            mailing.stopping.set()
            await running
        await mailing.sql.execute("UPDATE chunk SET lease_until = now() - interval '1 hour'")
        await mailing.recover()
        assert await mailing.statuses() == {"ready": 100}
        assert not (await mailing.chunks())[0]["owner"]


async def test_chunk_that_was_lost_can_be_leased_again_by_the_same_sender(of):
    async with of(1000) as mailing, SmtpServer("dot 40: wait 0.2; usual") as server:
        running = asyncio.create_task(mailing.send(server, window=60))
        await reached(server, 41)
        await mailing.sql.execute("UPDATE chunk SET owner = NULL, epoch = epoch + 1, window_end = 0")
        await mailing.sql.execute("UPDATE recipient SET status = 'unconfirmed', attempts = 1 WHERE status = 'ready'")
        await mailing.sql.execute("UPDATE recipient SET status = 'ready', attempts = 0 WHERE seq > 200")
        ended = await running
        assert ended.accepted == len(server.ledger)
        await mailing.send(server)
        assert set(times_taken(server)) == {1}
        statuses = await mailing.statuses()
        assert statuses["sent"] == len(server.ledger) >= 800
        assert statuses["sent"] + statuses["unconfirmed"] == 1000


async def test_full_journal_starts_nothing(of, tmp_path):
    async with of(30) as mailing, SmtpServer() as server:
        sender = await mailing.sender(server)
        running = asyncio.create_task(sender.run())
        await until(lambda: mailing.journals() or running.done())
        sender._journal._limit = 0
        sender._journal._segments[-1].sealed = True
        mailing.settings.journal_dir.rename(tmp_path / "gone")  # no new segment can be made
        taken = len(server.ledger)
        await asyncio.sleep(0.3)
        assert len(server.ledger) <= taken + 4
        (tmp_path / "gone").rename(mailing.settings.journal_dir)
        async with asyncio.timeout(WITHIN):
            await running
        assert await mailing.statuses() == {"sent": 30}
        assert times_taken(server) == {1: 30}
