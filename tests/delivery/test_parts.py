"""Chunks that wait for their recipients' time (D27): nobody is lost, nobody gets it twice, and nobody gets it late."""

import asyncio

import pytest

from app.delivery import queries, service
from app.delivery.part_queries import TOO_LATE
from tests.delivery.sending import reached, sending, times_taken
from tests.delivery.smtp_server import SmtpServer

WAITS = "UPDATE chunk SET not_before = now() + interval '1 hour' WHERE number = $1"
IS_DUE = "UPDATE chunk SET not_before = now() WHERE number = $1"


@pytest.fixture
def of(fresh_database, tmp_path):
    """A factory: a mailing to so many."""
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


async def jobs(mailing) -> int:
    """Take the sending jobs away, as workers do that run them; return how many there were."""
    return len(await mailing.sql.fetch("DELETE FROM outbox WHERE job LIKE 'dispatch.send%' RETURNING id"))


async def test_a_chunk_is_sent_when_its_time_has_come_and_keeps_nobody_busy_until_then(of):
    async with of(3000) as mailing, SmtpServer() as server:
        await mailing.sql.execute(WAITS, 1)
        await mailing.sql.execute(IS_DUE, 2)
        ended = await mailing.send(server)
        assert not ended.more
        assert await mailing.statuses() == {"sent": 2000, "ready": 1000}
        await jobs(mailing)
        for _ in range(3):
            assert not await mailing.keep_going()
        assert await jobs(mailing) == 0  # nobody is asked to send what is not due
        await mailing.sql.execute(IS_DUE, 1)
        assert not await mailing.keep_going()
        assert await jobs(mailing) == 1
        await mailing.send(server)
        assert await mailing.keep_going()
        assert await mailing.statuses() == {"sent": 3000}
        assert times_taken(server) == {1: 3000}


async def test_retries_do_not_wait_for_the_zones_that_do(of):
    async with of(1100) as mailing, SmtpServer("rcpt r7@example.no: 450 4.7.1 Greylisted") as server:
        await mailing.sql.execute(WAITS, 2)
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 999, "deferred": 1, "ready": 100}
        server.rules.clear()
        await mailing.sql.execute("UPDATE recipient SET due_at = now() WHERE status = 'deferred'")
        assert not await mailing.keep_going()
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 1000, "ready": 100}
        assert [chunk["done_at"] is None for chunk in await mailing.chunks()] == [False, True, False]


async def test_stop_and_start_leave_what_waits_waiting(of):
    async with of(1100) as mailing, SmtpServer() as server:
        await mailing.sql.execute(WAITS, 2)
        async with mailing.database.begin() as session:
            await service.halt(session, mailing_id=mailing.mailing_id)
        await mailing.sql.execute(IS_DUE, 2)
        assert not await mailing.keep_going()
        await mailing.sql.execute(WAITS, 2)
        async with mailing.database.begin() as session:
            assert await service.resume(session, mailing_id=mailing.mailing_id, senders=1)
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 1000, "ready": 100}


async def test_recovery_of_a_lost_sender_leaves_what_waits_waiting(of):
    async with of(1100) as mailing, SmtpServer() as server:
        await mailing.sql.execute(WAITS, 2)
        async with mailing.database.begin() as session:
            await queries.claim_chunk(session, dispatch_id=mailing.dispatch_id, owner="elsewhere", lease=15)
        await mailing.sql.execute(
            "UPDATE chunk SET window_end = 50, lease_until = now() - interval '1 hour' WHERE owner IS NOT NULL"
        )
        assert await mailing.recover() == 1
        [_, waiting] = await mailing.chunks()
        assert (waiting["epoch"], waiting["owner"], waiting["done_at"]) == (0, None, None)
        await mailing.send(server)
        assert await mailing.statuses() == {"unconfirmed": 50, "sent": 950, "ready": 100}
        await mailing.sql.execute(IS_DUE, 2)
        await mailing.send(server)
        assert await mailing.statuses() == {"unconfirmed": 50, "sent": 1050}
        assert times_taken(server) == {1: 1050}


async def test_a_chunk_that_was_not_begun_in_time_fails_in_words_and_the_mailing_ends(of):
    """D27: not sent late by surprise, and nobody is lost silently."""
    async with of(3000) as mailing, SmtpServer() as server:
        await mailing.sql.execute(
            "UPDATE chunk SET send_before = now() + interval '1 hour', not_before = now() WHERE number = 1;"
            "UPDATE chunk SET send_before = now() - interval '1 second', not_before = now() WHERE number = 2;"
            "UPDATE chunk SET send_before = now() - interval '1 second', epoch = 1 WHERE number = 3;"  # begun in time
        )
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 2000, "ready": 1000}
        assert await mailing.keep_going()
        assert await mailing.statuses() == {"sent": 2000, "failed": 1000}
        late = await mailing.recipient(1500)
        assert (late["status"], late["reply"], late["attempts"]) == ("failed", TOO_LATE, 0)
        tallies = dict(await mailing.sql.fetch("SELECT name, value FROM recipient_tally WHERE value > 0"))
        assert (tallies["total"], tallies["sent"], tallies["failed"]) == (3000, 2000, 1000)
        assert {int(entry.recipient[1:].partition("@")[0]) for entry in server.ledger} == {
            *range(1, 1001), *range(2001, 3001),
        }  # fmt: skip


async def test_a_stalled_server_delays_no_halt(of, monkeypatch):
    """D29: within two seconds nothing more is started; what is in flight may finish, or its doubt is stored."""
    monkeypatch.setattr("app.delivery.sender.DRAIN_SECONDS", 1.0)
    async with of(1000) as mailing, SmtpServer("dot 100+: stall") as server:
        running = asyncio.create_task((await mailing.sender(server)).run())
        await reached(server, 99)
        async with mailing.database.begin() as session:
            await service.halt(session, mailing_id=mailing.mailing_id)
        await asyncio.sleep(2.0)
        begun = server.messages
        await running
        assert server.messages == begun
        assert len(server.ledger) == 99
        statuses = await mailing.statuses()
        assert statuses["sent"] == 99
        assert statuses.get("unconfirmed", 0) <= 4  # one for each connection
        assert sum(statuses.values()) == 1000
