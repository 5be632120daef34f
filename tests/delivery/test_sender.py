"""A sender against a real database and a scripted server: who gets the message, and what the rows say."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from app.delivery import service
from app.platform.db import Database
from tests.delivery.sending import PATIENT, WITHIN, reached, sending, times_taken, until
from tests.delivery.smtp_server import SmtpServer


@pytest.fixture
def of(fresh_database, tmp_path):
    """A factory: a mailing to so many."""
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


async def test_everybody_gets_it_once(of):
    async with of(2500) as mailing, SmtpServer() as server:
        ended = await mailing.send(server)
        assert (ended.accepted, ended.more, ended.fault) == (2500, False, None)
        assert await mailing.statuses() == {"sent": 2500}
        assert times_taken(server) == {1: 2500}
        assert all(chunk["done_at"] and not chunk["owner"] for chunk in await mailing.chunks())
        assert await mailing.keep_going()
        assert mailing.journals() == []


async def test_two_senders_share_the_chunks(of):
    async with of(3000) as mailing, SmtpServer() as server:
        senders = [await mailing.sender(server) for _ in range(2)]
        async with asyncio.timeout(WITHIN):
            ended = await asyncio.gather(*(sender.run() for sender in senders))
        assert all(one.accepted for one in ended)
        assert await mailing.statuses() == {"sent": 3000}
        assert times_taken(server) == {1: 3000}


async def test_recipient_sees_the_return_path_and_message_id_of_his_own(of):
    async with of(2) as mailing, SmtpServer() as server:
        await mailing.send(server)
        assert len({entry.message_id for entry in server.ledger}) == 2
        assert len({entry.sender for entry in server.ledger}) == 2


async def test_stopping_leaves_unsent_recipients_ready_and_the_next_sender_goes_on(of):
    async with of(1500) as mailing, SmtpServer("dot 300+: wait 0.01; usual") as server:
        sender = await mailing.sender(server)
        running = asyncio.create_task(sender.run())
        await reached(server, 320)
        mailing.stopping.set()
        async with asyncio.timeout(WITHIN):
            ended = await running
        assert ended.more
        taken = len(server.ledger)
        assert await mailing.statuses() == {"sent": taken, "ready": 1500 - taken}
        assert all(
            not chunk["owner"] and chunk["window_end"] < chunk["first_seq"] for chunk in await open_chunks(mailing)
        )
        assert mailing.journals() == []
        mailing.stopping.clear()
        server.rules.clear()
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 1500}
        assert times_taken(server) == {1: 1500}


@pytest.mark.parametrize("seed", range(4))
async def test_cancelled_sender_keeps_what_it_knows(of, seed):
    """A job that takes too long is cancelled, perhaps in the middle of a flush."""
    async with of(1500) as mailing, SmtpServer() as server:
        running = asyncio.create_task((await mailing.sender(server)).run())
        await reached(server, 200 + 97 * seed)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WITHIN)
        taken = len(server.ledger)
        assert await mailing.statuses() == {"sent": taken, "ready": 1500 - taken}
        await mailing.send(server)
        assert times_taken(server) == {1: 1500}


async def test_halted_dispatch_starts_nothing_more(of):
    async with of(1500) as mailing, SmtpServer("dot 200+: wait 0.01; usual") as server:
        running = asyncio.create_task((await mailing.sender(server)).run())
        await reached(server, 220)
        async with mailing.database.begin() as session:
            await service.halt(session, mailing_id=mailing.mailing_id)
        async with asyncio.timeout(2):  # "within seconds" (D29)
            await running
        taken = len(server.ledger)
        assert 220 <= taken < 1500
        assert await mailing.statuses() == {"sent": taken, "ready": 1500 - taken}


async def test_halt_is_noticed_while_nothing_is_going_on(of):
    async with of(100) as mailing, SmtpServer("connect *: stall") as server:
        running = asyncio.create_task((await mailing.sender(server)).run())
        await until(lambda: server.connections)
        async with mailing.database.begin() as session:
            await service.halt(session, mailing_id=mailing.mailing_id)
        async with asyncio.timeout(2):
            await running
        assert await mailing.statuses() == {"ready": 100}


async def test_fault_of_ours_stops_with_the_servers_words_and_marks_nobody(of):
    script = "dot 50+: 550 5.7.26 Unauthenticated email is not accepted"
    async with of(200) as mailing, SmtpServer(script) as server:
        ended = await mailing.send(server)
        assert ended.fault is not None
        assert (ended.fault.code, ended.fault.text) == (550, "5.7.26 Unauthenticated email is not accepted")
        taken = len(server.ledger)
        assert await mailing.statuses() == {"sent": taken, "ready": 200 - taken}
        assert mailing.journals() == []
        server.rules.clear()
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 200}
        assert times_taken(server) == {1: 200}


async def test_wrong_password_stops_and_marks_nobody(of):
    async with of(30) as mailing, SmtpServer(users={"me": "right"}) as server:
        ended = await mailing.send(server, account={"username": "me", "password": "wrong"})
        assert ended.fault is not None
        assert ended.fault.code == 535
        assert await mailing.statuses() == {"ready": 30}


async def test_temporary_failure_is_tried_again_when_due_with_the_same_message_id(of):
    async with of(3) as mailing, SmtpServer("dot r2@example.no: accept; 451 4.3.0 try later") as server:
        await mailing.send(server)
        deferred = await mailing.recipient(2)
        assert (deferred["status"], deferred["attempts"], deferred["code"]) == ("deferred", 1, 451)
        assert deferred["due_at"] - deferred["tried_at"] == timedelta(minutes=30)
        assert not await mailing.keep_going()
        await mailing.send(server)
        assert (await mailing.recipient(2))["status"] == "deferred"
        server.rules.clear()
        await mailing.sql.execute("UPDATE recipient SET due_at = now() WHERE status = 'deferred'")
        await mailing.sql.execute("UPDATE dispatch SET look_again_at = now()")
        assert not await mailing.keep_going()
        await mailing.send(server)
        sent = await mailing.recipient(2)
        assert (sent["status"], sent["attempts"], sent["due_at"]) == ("sent", 2, None)
        assert await mailing.keep_going()
        first, second = [entry for entry in server.ledger if entry.recipient == "r2@example.no"]
        assert first.message_id == second.message_id


async def test_wait_doubles_with_every_attempt(of):
    async with of(1) as mailing, SmtpServer("dot *: 451 4.3.0 try later") as server:
        waits = []
        for _ in range(5):
            await mailing.send(server)
            row = await mailing.recipient(1)
            waits.append(row["due_at"] - row["tried_at"])
            await mailing.sql.execute("UPDATE recipient SET due_at = now()")
            await mailing.sql.execute("UPDATE dispatch SET look_again_at = NULL")
            await mailing.keep_going()
        assert waits == [timedelta(minutes=minutes) for minutes in (30, 60, 120, 240, 240)]


async def test_server_that_names_a_longer_wait_is_heeded(of):
    async with of(1) as mailing, SmtpServer("rcpt *: 450 4.2.0 Busy, please try again in 90 minutes") as server:
        await mailing.send(server)
        row = await mailing.recipient(1)
        assert row["due_at"] - row["tried_at"] == timedelta(minutes=90)


async def test_temporary_failure_is_a_bounce_when_the_first_one_was_three_days_ago(of):
    """D32: the recipient's own first failure counts. The mailing may have been stopped for days."""
    async with of(2) as mailing, SmtpServer("dot *: 451 4.3.0 try later") as server:
        await mailing.sql.execute("UPDATE dispatch SET created_at = now() - interval '80 hours'")
        await mailing.sql.execute(
            "UPDATE recipient SET attempts = 3, first_tried_at = now() - seq * interval '49 hours' WHERE seq = 1"
        )
        await mailing.send(server)
        assert await mailing.statuses() == {"deferred": 2}
        await mailing.sql.execute("UPDATE recipient SET due_at = now()")
        await mailing.sql.execute(
            "UPDATE recipient SET first_tried_at = now() - interval '73 hours' WHERE email = 'r1@example.no'"
        )
        await mailing.sql.execute("UPDATE dispatch SET look_again_at = NULL")
        await mailing.keep_going()
        await mailing.send(server)
        assert (await mailing.recipient(2))["status"] == "deferred"
        bounced = await mailing.recipient(1)
        assert (bounced["status"], bounced["bounce"]) == ("bounced", "soft")
        assert await mailing.sql.fetchval("SELECT count(*) FROM bounce WHERE kind = 'soft'") == 1


async def test_unknown_address_bounces_and_is_blocked(of):
    async with of(3) as mailing, SmtpServer("rcpt r2@example.no: 550 5.1.1 no such user") as server:
        await mailing.send(server)
        bounced = await mailing.recipient(2)
        assert (bounced["status"], bounced["bounce"], bounced["code"]) == ("bounced", "hard", 550)
        assert bounced["reply"] == "5.1.1 no such user"
        assert bounced["bounced_at"] is not None
        row = await mailing.sql.fetchrow("SELECT * FROM bounce")
        assert (row["recipient_id"], row["origin"], row["kind"]) == (bounced["id"], "smtp", "hard")
        assert await mailing.sql.fetchval("SELECT email_key FROM blocked_address") == "r2@example.no"
        assert await mailing.keep_going()


async def test_dropped_connection_leaves_unconfirmed_what_was_in_flight(of):
    async with of(300) as mailing, SmtpServer("dot 100: accept; close\ndot 200: close") as server:
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 298, "unconfirmed": 2}
        assert set(times_taken(server)) == {1}
        assert await mailing.keep_going()


async def test_unconfirmed_are_sent_again_only_by_policy(of):
    async with of(20) as mailing, SmtpServer("dot 10: accept; close") as server:
        await mailing.send(server)
        assert await mailing.keep_going()
        assert not await mailing.keep_going(resend_unconfirmed=True)
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 20}
        assert times_taken(server) == {1: 19, 2: 1}
        assert len({entry.message_id for entry in server.ledger}) == 20
        assert await mailing.keep_going(resend_unconfirmed=True)


async def test_unconfirmed_are_not_sent_again_for_ever(of):
    async with of(1) as mailing, SmtpServer("dot *: close") as server:
        for _ in range(8):
            await mailing.send(server)
            await mailing.keep_going(resend_unconfirmed=True)
        assert (await mailing.recipient(1))["attempts"] == 5
        assert await mailing.keep_going(resend_unconfirmed=True)


async def test_address_that_cannot_be_written_fails_and_holds_nobody_up(of):
    async with of(60) as mailing, SmtpServer() as server:
        await mailing.sql.execute("UPDATE recipient SET email = 'a b@example.no' WHERE seq = 30")
        await mailing.sql.execute("UPDATE recipient SET email = E'a\\nb@example.no' WHERE seq = 31")
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 58, "failed": 2}
        assert await mailing.sql.fetchval("SELECT count(*) FROM bounce") == 0
        assert await mailing.keep_going()


async def test_whoever_is_blocked_meanwhile_is_passed_over(of):
    """A chunk of a thousand may take minutes; unsubscribing is effective at once (D47)."""
    async with of(900) as mailing, SmtpServer("dot 1+: wait 0.005; usual") as server:
        running = asyncio.create_task((await mailing.sender(server)).run())
        await reached(server, 10)
        await mailing.sql.execute("UPDATE recipient SET status = 'blocked' WHERE seq > 700")
        async with asyncio.timeout(WITHIN):
            await running
        assert await mailing.statuses() == {"sent": 700, "blocked": 200}
        assert times_taken(server) == {1: 700}
        assert await mailing.keep_going()


async def test_chunk_of_blocked_recipients_is_passed_over(of):
    async with of(2100) as mailing, SmtpServer() as server:
        await mailing.sql.execute("UPDATE recipient SET status = 'blocked' WHERE seq <= 1000")
        ended = await mailing.send(server)
        assert ended.accepted == 1100
        assert await mailing.keep_going()


async def test_recipient_who_became_ready_after_his_chunk_had_passed_is_sent_to(of):
    async with of(20) as mailing, SmtpServer() as server:
        await mailing.sql.execute("UPDATE recipient SET status = 'blocked', reason = 'blocked_address' WHERE seq = 7")
        await mailing.send(server)
        await mailing.sql.execute("UPDATE recipient SET status = 'ready', reason = NULL WHERE seq = 7")
        assert not await mailing.keep_going()
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 20}
        assert await mailing.keep_going()


async def test_message_that_came_back_is_taken_by_a_connection_that_rests(of):
    """The last message comes back not started while the other connections have nothing to do."""
    patient = {"timeouts": replace(PATIENT, idle=10.0)}
    async with of(120) as mailing, SmtpServer("mail 120: wait 0.1; 421 4.3.2 closing; close") as server:
        async with asyncio.timeout(2):
            ended = await mailing.send(server, account=patient)
        assert server.connections == 4  # the one that was closed has not come back yet
        assert ended.accepted == 120
        assert times_taken(server) == {1: 120}


async def test_server_that_is_away_is_waited_for(of):
    async with of(50) as mailing, SmtpServer() as server:
        port = server.port
        server._server.close()
        running = asyncio.create_task((await mailing.sender(server)).run())
        await asyncio.sleep(0.3)
        await server.listen(port)
        async with asyncio.timeout(WITHIN):
            await running
        assert await mailing.statuses() == {"sent": 50}


class LosesAnswers(Database):
    """Every third transaction is committed, but its answer is lost."""

    _count = 0

    @asynccontextmanager
    async def begin(self):
        async with super().begin() as session:
            yield session
        self._count += 1
        if self._count % 3 == 0:
            raise ConnectionResetError


async def test_flush_whose_answer_was_lost_is_made_again(of):
    script = "dot r3@example.no: 550 5.1.1 no such user\ndot r4@example.no: 451 4.3.0 later"
    async with of(600) as mailing, SmtpServer(script) as server:
        database = LosesAnswers.connect(mailing.settings, name="loses answers")
        await mailing.send(server, database=database)
        await database.close()
        assert await mailing.statuses() == {"sent": 598, "bounced": 1, "deferred": 1}
        assert await mailing.sql.fetchval("SELECT count(*) FROM bounce") == 1
        assert times_taken(server) == {1: 598}


async def open_chunks(mailing):
    return [chunk for chunk in await mailing.chunks() if not chunk["done_at"]]
