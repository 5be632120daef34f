"""The table of smtp-faults: what each event means for the message it concerns and for the next one, at every level.

Three messages go over one connection; the event strikes the second, so that with full pipelining its envelope was on
its way behind the first one's body, as the third one's is behind its own.
"""

import asyncio
from dataclasses import replace

import pytest
import uvloop

from app.delivery.replies import Outcome
from app.delivery.smtp.account import Pipelining
from app.delivery.smtp.feed import EndReason
from tests.delivery.feeds import QUICK, ListFeed, connect, message, send
from tests.delivery.smtp_server import SmtpServer

ACCEPTED, DEFERRED, REJECTED = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED
UNKNOWN, NOT_STARTED, SENDER_FAULT = Outcome.UNKNOWN, Outcome.NOT_STARTED, Outcome.SENDER_FAULT

TABLE = {
    # each event with its script, then what it means for this message and for the next
    "421 to MAIL": ("mail 2: 421 4.3.2 closing; close", NOT_STARTED, NOT_STARTED),
    "close at MAIL": ("mail 2: close", NOT_STARTED, NOT_STARTED),
    "reset at MAIL": ("mail 2: reset", NOT_STARTED, NOT_STARTED),
    "MAIL without answer": ("mail 2: stall", NOT_STARTED, NOT_STARTED),
    "354 to MAIL": ("mail 2: 354 go", NOT_STARTED, NOT_STARTED),
    "two replies to MAIL": ("mail 2: 250 ok; 250 ok", NOT_STARTED, NOT_STARTED),
    "close at RCPT": ("rcpt 2: close", NOT_STARTED, NOT_STARTED),
    "RCPT without answer": ("rcpt 2: stall", NOT_STARTED, NOT_STARTED),
    "garbage for RCPT": ("rcpt 2: raw \\xff\\x00 what\\r\\n", NOT_STARTED, NOT_STARTED),
    "endless line for RCPT": ("rcpt 2: endless", NOT_STARTED, NOT_STARTED),
    "354 to RCPT": ("rcpt 2: 354 go", NOT_STARTED, NOT_STARTED),
    "close at DATA": ("data 2: close", NOT_STARTED, NOT_STARTED),
    "250 to DATA": ("data 2: 250 ok", NOT_STARTED, NOT_STARTED),
    "334 to DATA": ("data 2: 334 ok", NOT_STARTED, NOT_STARTED),
    "354 and more to DATA": ("data 2: raw 354 go\\r\\n250 ok\\r\\n; stall", NOT_STARTED, NOT_STARTED),
    "DATA without answer": ("data 2: stall", NOT_STARTED, NOT_STARTED),
    "421 to RCPT": ("rcpt 2: 421 4.3.2 closing; close", DEFERRED, NOT_STARTED),
    "421 to DATA": ("data 2: 421 4.3.2 closing; close", DEFERRED, NOT_STARTED),
    "MAIL 4xx": ("mail 2: 451 4.3.0 later", DEFERRED, ACCEPTED),
    "RCPT greylisted": ("rcpt 2: 450 4.7.1 Greylisted", DEFERRED, ACCEPTED),
    "DATA 4xx": ("data 2: 451 4.3.0 later", DEFERRED, ACCEPTED),
    "MAIL 5xx": ("mail 2: 550 no", REJECTED, ACCEPTED),
    "RCPT 5xx": ("rcpt 2: 550 5.1.1 unknown", REJECTED, ACCEPTED),
    "DATA 5xx": ("data 2: 554 5.6.0 no", REJECTED, ACCEPTED),
    "RCPT 5xx, then close": ("rcpt 2: 550 5.1.1 unknown; close", REJECTED, NOT_STARTED),
    "RCPT 5xx, yet 354": ("rcpt 2: 550 5.1.1 unknown\ndata 2: 354 go", REJECTED, ACCEPTED),
    "RCPT 4xx, yet 354": ("rcpt 2: 450 4.2.0 later\ndata 2: 354 go", DEFERRED, ACCEPTED),
    "RCPT 5xx, 354, 250": ("rcpt 2: 550 5.1.1 no\ndata 2: 354 go\ndot 2: raw 250 ok\\r\\n", REJECTED, ACCEPTED),
    "dot 250": ("", ACCEPTED, ACCEPTED),
    "dot 4xx": ("dot 2: 451 4.3.0 later", DEFERRED, ACCEPTED),
    "dot 5xx": ("dot 2: 554 5.6.0 no", REJECTED, ACCEPTED),
    "dot 421, close": ("dot 2: 421 4.3.2 closing; close", DEFERRED, NOT_STARTED),
    "250 and FIN": ("dot 2: 250 ok; close", ACCEPTED, NOT_STARTED),
    "250 and RST": ("dot 2: 250 ok; wait 0.05; reset", ACCEPTED, NOT_STARTED),
    "two replies at once": ("dot 2: raw 250 ok\\r\\n250 ok\\r\\n; accept", ACCEPTED, NOT_STARTED),
    "two replies in pieces": ("dot 2: 250 ok; wait 0.02; 250 ok", ACCEPTED, NOT_STARTED),
    "250 and 550": ("dot 2: 250 ok; wait 0.02; 550 no", ACCEPTED, NOT_STARTED),
    "421 after 250": ("dot 2: 250 ok; 421 4.3.2 closing; close", ACCEPTED, NOT_STARTED),
    "close after 354": ("data 2: 354 go; close", UNKNOWN, NOT_STARTED),
    "reset after 354": ("data 2: 354 go; wait 0.02; reset", UNKNOWN, NOT_STARTED),
    "close in the body": ("body 2: close", UNKNOWN, NOT_STARTED),
    "reset in the body": ("body 2: reset", UNKNOWN, NOT_STARTED),
    "close after the dot": ("dot 2: close", UNKNOWN, NOT_STARTED),
    "taken, then reset": ("dot 2: accept; reset", UNKNOWN, NOT_STARTED),
    "dot without reply": ("dot 2: stall", UNKNOWN, NOT_STARTED),
    "half a reply to the dot": ("dot 2: raw 250; stall", UNKNOWN, NOT_STARTED),
    "garbage for the dot": ("dot 2: raw \\xff\\x00 what\\r\\n", UNKNOWN, NOT_STARTED),
    "codes that differ": ("dot 2: raw 250-ok\\r\\n550 no\\r\\n", UNKNOWN, NOT_STARTED),
    "endless line for the dot": ("dot 2: endless", UNKNOWN, NOT_STARTED),
    "354 to the dot": ("dot 2: 354 go", UNKNOWN, NOT_STARTED),
    "byte by byte": ("mail *: bytewise 250 o\nrcpt *: bytewise 250-a|250 b\ndot *: bytewise 250 o", ACCEPTED, ACCEPTED),
    "several lines": ("mail *: 250-a|250\nrcpt *: 250-a|250\ndata *: 354-a|354\ndot *: 250-a|250", ACCEPTED, ACCEPTED),
    "LF only": ("mail *: lf 250 ok\nrcpt *: lf 250-a|250 b\ndata *: lf 354 go\ndot *: lf 250 ok", ACCEPTED, ACCEPTED),
    "sender fault at RCPT": ("rcpt 2: 550 5.7.515 Access denied", SENDER_FAULT, ACCEPTED),
    "sender fault at the dot": ("dot 2: 550 5.7.26 unauthenticated", SENDER_FAULT, ACCEPTED),
    "sender fault at MAIL": ("mail 2: 530 5.7.0 Authentication required", SENDER_FAULT, ACCEPTED),
}  # fmt: skip


async def settled(feed: ListFeed, number: int) -> None:
    async with asyncio.timeout(5):
        while number not in feed.results:  # noqa: ASYNC110 - the feed is called by the connection, not by a task
            await asyncio.sleep(0.001)


async def check(event: str, level: Pipelining) -> None:
    script, this, following = TABLE[event]
    feed = ListFeed(message(1), message(2), message(3))
    async with SmtpServer(script) as server:
        await send(server, feed, pipelining=level)
        found = [feed.outcome(1), feed.outcome(2), feed.outcome(3)]
        assert found == [ACCEPTED, this, following], feed.results
        # Nothing is called accepted that the ledger lacks, and what the ledger has is accepted or in doubt.
        ledger = [entry.recipient for entry in server.ledger]
        assert len(set(ledger)) == len(ledger)
        for number in (1, 2, 3):
            if feed.outcome(number) is not UNKNOWN:
                assert (f"r{number}@example.no" in ledger) == (feed.outcome(number) is ACCEPTED)
            # What is in doubt was started; what was not started has no start, so that it may be sent at once.
            assert (number in feed.started) or feed.outcome(number) not in (ACCEPTED, UNKNOWN)
            assert (number not in feed.started) or feed.outcome(number) is not NOT_STARTED


@pytest.mark.parametrize("level", Pipelining)
@pytest.mark.parametrize("event", TABLE)
async def test_event_means_what_the_table_says(event, level):
    await check(event, level)


@pytest.mark.parametrize("level", Pipelining)
def test_events_mean_the_same_under_uvloop(level):
    async def check_all():
        await asyncio.gather(*(check(event, level) for event in TABLE))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(check_all())


@pytest.mark.parametrize("level", [Pipelining.FULL, Pipelining.ENVELOPE])
async def test_garbage_for_a_lone_dot_does_not_change_the_refusal(level):
    feed = ListFeed(message(1), message(2))
    async with SmtpServer("rcpt 1: 550 5.1.1 no\ndata 1: 354 go\ndot 1: raw what\\r\\n") as server:
        await send(server, feed, pipelining=level)
        assert not server.ledger
    assert [feed.outcome(1), feed.outcome(2)] == [REJECTED, NOT_STARTED]
    assert feed.started == []


@pytest.mark.parametrize("level", Pipelining)
async def test_missing_lease_closes_without_content(level):
    feed = ListFeed(message(1), message(2), message(3))
    feed.refuse_start_of = 2
    async with SmtpServer() as server:
        end = await send(server, feed, pipelining=level)
        assert end.reason is EndReason.LEASE_GONE
        assert [feed.outcome(n) for n in (1, 2, 3)] == [ACCEPTED, NOT_STARTED, NOT_STARTED]
        assert [entry.recipient for entry in server.ledger] == ["r1@example.no"]


@pytest.mark.parametrize("level", Pipelining)
async def test_server_that_stops_reading_in_the_body_leaves_it_unknown(level):
    feed = ListFeed(message(1), message(2), content=b"x" * 76 * 1024 * 256)
    async with SmtpServer("data 1: 354 go; deaf; stall", keywords=("PIPELINING",)) as server:
        end = await send(server, feed, pipelining=level)
    assert end.reason is EndReason.TIMED_OUT
    assert [feed.outcome(1), feed.outcome(2)] == [UNKNOWN, NOT_STARTED]


async def test_server_that_stops_reading_before_the_body_defers_it():
    # It answers the first message and the second's envelope without reading them, so the second cannot even begin.
    answers = r"raw 250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"
    feed = ListFeed(message(1), message(2), content=b"x" * 76 * 1024 * 256)
    async with SmtpServer(f"data 1: deaf; 354 go; wait 0.1; {answers}; stall") as server:
        end = await send(server, feed)
    assert end.reason is EndReason.TIMED_OUT
    assert feed.started == [1]
    assert [feed.outcome(1), feed.outcome(2)] == [ACCEPTED, DEFERRED]


async def test_slow_reader_is_not_given_up_while_it_reads():
    size = 76 * 1024 * 256
    feed = ListFeed(message(1), content=b"x" * size)
    async with SmtpServer(keywords=("PIPELINING",), latency=0.01) as server:
        # Only reading is under test: what 19 MB take to be stored before the reply depends on the machine.
        await send(server, feed, timeouts=replace(QUICK, dot=5))
        assert feed.outcome(1) is ACCEPTED
        assert len(server.ledger[0].content) == size + 2


async def test_refused_recipient_does_not_leave_its_transaction_behind():
    feed = ListFeed(message(1), message(2))
    async with SmtpServer("rcpt 1: 550 5.1.1 unknown") as server:
        await send(server, feed)
        assert "RSET" in server.commands
    assert feed.outcome(2) is ACCEPTED


@pytest.mark.parametrize("level", Pipelining)
async def test_draining_finishes_what_is_in_flight_and_starts_nothing(level):
    feed = ListFeed(message(1), message(2), message(3))
    async with SmtpServer("dot 2: wait 0.1; 250 ok") as server:
        connection = await connect(server, feed, pipelining=level)
        feed.on_start = lambda envelope: connection.drain() if envelope.key == 2 else None
        end = await asyncio.wait_for(connection.closed, 5)
        assert [entry.recipient for entry in server.ledger] == ["r1@example.no", "r2@example.no"]
    assert end.reason is EndReason.DRAINED
    assert [feed.outcome(n) for n in (1, 2, 3)] == [ACCEPTED, ACCEPTED, NOT_STARTED]


async def test_draining_an_idle_connection_says_quit():
    async with SmtpServer() as server:
        connection = await connect(server, ListFeed())
        connection.drain()
        end = await asyncio.wait_for(connection.closed, 5)
        assert end.reason is EndReason.DRAINED
        assert server.commands[-1] == "QUIT"


async def test_aborting_leaves_the_started_message_in_doubt():
    feed = ListFeed(message(1), message(2))
    async with SmtpServer("dot 1: stall") as server:
        connection = await connect(server, feed)
        feed.on_start = lambda _: asyncio.get_running_loop().call_soon(connection.abort)
        end = await asyncio.wait_for(connection.closed, 5)
    assert end.reason is EndReason.ABORTED
    assert [feed.outcome(1), feed.outcome(2)] == [UNKNOWN, NOT_STARTED]


async def test_waking_sends_what_the_feed_got_since():
    feed = ListFeed(message(1))
    async with SmtpServer() as server:
        connection = await connect(server, feed)
        await settled(feed, 1)
        feed.waiting.append(message(2))
        connection.wake()
        end = await asyncio.wait_for(connection.closed, 5)
    assert end.reason is EndReason.IDLE
    assert feed.outcome(2) is ACCEPTED


@pytest.mark.parametrize("level", Pipelining)
async def test_connection_ends_after_its_number_of_messages(level):
    feed = ListFeed(*map(message, range(5)))
    async with SmtpServer() as server:
        end = await send(server, feed, pipelining=level, max_messages=2)
        assert (end.reason, end.started, end.accepted) == (EndReason.FULL_COUNT, 2, 2)
        assert server.commands[-1] == "QUIT"
    assert feed.taken == [0, 1]


@pytest.mark.parametrize("level", Pipelining)
async def test_feed_that_raises_ends_the_connection_with_its_error(level):
    def content(envelope):
        if envelope.key == 2:
            raise LookupError("no merge data")
        return b"x\r\n"

    feed = ListFeed(message(1), message(2), message(3), content=content)
    async with SmtpServer() as server:
        end = await send(server, feed, pipelining=level)
    assert end.reason is EndReason.FEED_FAILED
    assert isinstance(end.error, LookupError)
    # With full pipelining, the second message is made for the write that would have started the first.
    first = NOT_STARTED if level is Pipelining.FULL else ACCEPTED
    assert [feed.outcome(n) for n in (1, 2, 3)] == [first, NOT_STARTED, NOT_STARTED]


async def test_server_without_pipelining_gets_one_command_at_a_time():
    feed = ListFeed(message(1), message(2))
    async with SmtpServer(keywords=("SIZE 1000",)) as server:
        connection = await connect(server, feed, pipelining=Pipelining.FULL)
        await asyncio.wait_for(connection.closed, 5)
        assert connection.pipelining is Pipelining.OFF
        assert len(server.ledger) == 2
        assert server.ledger[0].options == "SIZE=14"


async def test_message_over_the_announced_size_is_refused_here():
    feed = ListFeed(message(1), content=b"x" * 2000)
    async with SmtpServer(keywords=("SIZE 1000",)) as server:
        await send(server, feed)
        assert server.messages == 0
    assert feed.results[1].outcome is REJECTED
    assert feed.results[1].code is None
