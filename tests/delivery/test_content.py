"""What reaches the server is what the feed gave, byte for byte, and no address can become a command."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.delivery.replies import Outcome, is_hard, is_local
from app.delivery.smtp.account import Pipelining
from app.delivery.smtp.feed import Stuffed
from app.delivery.smtp.wire import Offer, ReplyReader, body, refuse
from tests.delivery.feeds import ListFeed, message, send
from tests.delivery.smtp_server import SmtpServer

LINES = st.lists(
    st.binary(max_size=40).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b""))
    | st.sampled_from([b"", b".", b"..", b".x", b"x."]),
    max_size=20,
)


def unstuff(wire: bytes) -> tuple[bytes, bytes]:
    """Read DATA as RFC 5321 §4.5.2 says: the content, and what follows the final dot."""
    content = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        assert end
        if line == b".":
            return content, wire
        content += line.removeprefix(b".") + end


@given(LINES, st.booleans())
def test_stuffed_body_reads_back_as_the_content(lines, ended):
    content = b"\r\n".join(lines) + (b"\r\n" if ended and lines else b"")
    read, rest = unstuff(b"".join(body(content)) + b"MAIL FROM:<>\r\n")
    assert read == (content if not content or content.endswith(b"\r\n") else content + b"\r\n")
    assert rest == b"MAIL FROM:<>\r\n"


def test_content_that_is_vouched_for_is_not_touched():
    assert b"".join(body(Stuffed(b"a\r\n..b\r\n"))) == b"a\r\n..b\r\n.\r\n"


def test_dot_after_a_bare_line_feed_cannot_end_the_message():
    assert b"\n.\r\n" not in b"".join(body(b"a\n.\r\nMAIL FROM:<evil@x>\r\n"))[:-5]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(LINES.map(b"\r\n".join), min_size=1, max_size=5), level=st.sampled_from(Pipelining))
async def test_content_arrives_byte_for_byte(contents, level):
    feed = ListFeed(*map(message, range(len(contents))), content=lambda envelope: contents[envelope.key])
    async with SmtpServer() as server:
        await send(server, feed, pipelining=level)
        arrived = [entry.content for entry in server.ledger]
    assert arrived == [c if not c or c.endswith(b"\r\n") else c + b"\r\n" for c in contents]


REPLIES = st.lists(
    st.tuples(st.integers(200, 599), st.lists(st.text("abc .-250", max_size=9).map(str.encode), min_size=1, max_size=3))
)


@given(REPLIES, st.sampled_from([b"\r\n", b"\n"]), st.data())
def test_replies_are_read_alike_in_pieces_of_any_size(replies, end, data):
    wire = b"".join(
        b"%d%b%b%b" % (code, b"-" if number + 1 < len(lines) else b" ", line, end)
        for code, lines in replies
        for number, line in enumerate(lines)
    )
    reader, found = ReplyReader(), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        found += reader.feed(wire[:size])
        wire = wire[size:]
    assert found == [(code, b"\n".join(lines)) for code, lines in replies]
    assert not reader.garbled
    assert not reader.halfway


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reply_reader(noise):
    reader = ReplyReader()
    assert all(200 <= code < 600 for code, _ in reader.feed(noise))


HOSTILE = [
    "a@b.no>\r\nRCPT TO:<c@d.no",
    "a@b.no> SIZE=1",
    "a b@c.no",
    "<a@b.no>",
    "a\x00@b.no",
    "a\u2028b@c.no",
    "\ud800@c.no",
    "",
    "a",
    "@b.no",
    "a@",
    "a" * 250 + "@b.no",
]


@pytest.mark.parametrize("address", HOSTILE)
@pytest.mark.parametrize("level", Pipelining)
async def test_address_that_could_break_out_is_refused_here_and_never_written(address, level):
    feed = ListFeed(message(1, recipient=address), message(2))
    feed.waiting[0] = message(1, recipient=address) if address else message(1).__class__(1, "b@x.no", "")
    async with SmtpServer() as server:
        await send(server, feed, pipelining=level)
        assert server.messages == 1
    result = feed.results[1]
    assert (result.outcome, result.code) == (Outcome.REJECTED, None)
    assert is_local(result)
    assert not is_hard(result)
    assert feed.outcome(2) is Outcome.ACCEPTED


async def test_hostile_return_path_is_our_fault():
    envelope = message(1).__class__(1, "a@b.no> X\r\nRSET", "r@example.no")
    feed = ListFeed(envelope)
    async with SmtpServer() as server:
        await send(server, feed)
        assert server.messages == 0
    assert feed.outcome(1) is Outcome.SENDER_FAULT


async def test_null_return_path_is_written_as_such():
    feed = ListFeed(message(1).__class__(1, "", "r@example.no"))
    async with SmtpServer() as server:
        await send(server, feed)
        assert server.ledger[0].sender == ""


@pytest.mark.parametrize("level", Pipelining)
async def test_non_ascii_local_part_goes_where_smtputf8_is_offered(level):
    feed = ListFeed(message(1, recipient="bjørn@example.no"), message(2))
    async with SmtpServer() as server:
        await send(server, feed, pipelining=level)
        assert [entry.recipient for entry in server.ledger] == ["bjørn@example.no", "r2@example.no"]
        assert "SMTPUTF8" in server.ledger[0].options
        assert "SMTPUTF8" not in server.ledger[1].options


async def test_non_ascii_local_part_elsewhere_is_a_local_failure_and_no_bounce():
    feed = ListFeed(message(1, recipient="bjørn@example.no"), message(2))
    async with SmtpServer(keywords=("PIPELINING",)) as server:
        await send(server, feed)
        assert server.messages == 1
    assert feed.outcome(1) is Outcome.REJECTED
    assert is_local(feed.results[1])
    assert not is_hard(feed.results[1])


def test_plain_envelope_passes():
    assert refuse(message(1, recipient="ola+x@xn--blbr-roah.no"), Offer()) is None
