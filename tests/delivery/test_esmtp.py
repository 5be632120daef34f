"""What a server offers is used, and what it does not take is not sent (RFC 1870, 6152, 6531, 3461)."""

import pytest

from app.delivery.replies import Outcome, is_local
from app.delivery.smtp.account import Pipelining
from app.delivery.smtp.wire import Offer, body, envelope_commands
from tests.delivery.feeds import ListFeed, message, send
from tests.delivery.smtp_server import USUAL_KEYWORDS, SmtpServer

DSN = (*USUAL_KEYWORDS, "DSN")


def commands(offer, *, recipient="kari@example.no", sender="b+token=x@bounce.example", content=b"x\r\n", **more):
    envelope = message(1, recipient=recipient, **more)
    envelope = envelope.__class__(1, sender, recipient, **more)
    return [line.decode() for line in envelope_commands(envelope, body(content), offer)]


@pytest.mark.parametrize("level", Pipelining)
async def test_size_and_reports_are_asked_for_where_they_are_offered(level):
    feed = ListFeed(message(1, recipient="kari+a=b@example.no"), message(2), content=b"x" * 100 + b"\r\n")
    async with SmtpServer(keywords=DSN) as server:
        await send(server, feed, pipelining=level)
        asked = [line for line in server.commands if line.startswith(("MAIL", "RCPT"))]
    assert asked[0] == "MAIL FROM:<b+token@bounce.example> SIZE=102 RET=HDRS ENVID=b+2Btoken"
    assert asked[1] == (
        "RCPT TO:<kari+a=b@example.no> NOTIFY=FAILURE,DELAY ORCPT=rfc822;kari+2Ba+3Db@example.no"
    )  # fmt: skip
    assert {result.outcome for result in feed.results.values()} == {Outcome.ACCEPTED}


def test_nothing_is_asked_of_a_server_that_offers_nothing():
    assert commands(Offer())[:2] == ["MAIL FROM:<b+token=x@bounce.example>\r\n", "RCPT TO:<kari@example.no>\r\n"]


def test_report_on_a_message_without_return_path_is_not_asked_for():
    assert commands(Offer(dsn=True), sender="")[:2] == ["MAIL FROM:<>\r\n", "RCPT TO:<kari@example.no>\r\n"]


def test_command_line_stays_within_512_octets():
    long, longest = ("+" * 64 + "@" + ".".join(["a" * 60] * labels) + ".no" for labels in (2, 3))
    offer = Offer(size=0, dsn=True, smtputf8=True)
    assert "ORCPT" not in commands(offer, recipient=long)[1]
    assert "ORCPT" in commands(offer, recipient=long.replace("+", "a"))[1]
    assert all(len(line) <= 512 for line in commands(offer, recipient=longest, sender=longest, smtputf8=True))


def test_original_recipient_that_is_not_ascii_is_left_out():
    assert commands(Offer(dsn=True, smtputf8=True), recipient="kåre@example.no")[1].endswith("NOTIFY=FAILURE,DELAY\r\n")


def test_header_in_utf_8_asks_for_eight_bits():
    offer = Offer(smtputf8=True, eight_bit=True)
    assert commands(offer, smtputf8=True)[0].endswith("> SMTPUTF8 BODY=8BITMIME\r\n")
    assert commands(offer)[0].endswith("bounce.example>\r\n")  # ours are 7-bit


@pytest.mark.parametrize("level", Pipelining)
async def test_local_part_outside_ascii_goes_only_to_a_server_that_takes_it_and_is_no_bounce(level):
    feed = ListFeed(message(1, recipient="kåre@example.no"), message(2))
    async with SmtpServer(keywords=("PIPELINING", "SIZE", "8BITMIME")) as server:
        await send(server, feed, pipelining=level)
        assert [entry.recipient for entry in server.ledger] == ["r2@example.no"]
    assert is_local(feed.results[1])
    feed = ListFeed(message(1, recipient="kåre@example.no"))
    async with SmtpServer() as server:
        await send(server, feed, pipelining=level)
        assert (server.ledger[0].recipient, server.ledger[0].options) == ("kåre@example.no", "SIZE=14 SMTPUTF8")


@pytest.mark.parametrize("level", Pipelining)
async def test_message_over_the_announced_size_is_not_offered_at_any_level(level):
    sizes = {1: 500, 2: 2000, 3: 500}
    feed = ListFeed(message(1), message(2), message(3), content=lambda envelope: b"x" * sizes[envelope.key])
    async with SmtpServer(keywords=("PIPELINING", "SIZE 1000")) as server:
        await send(server, feed, pipelining=level)
        assert [entry.recipient for entry in server.ledger] == ["r1@example.no", "r3@example.no"]
    assert is_local(feed.results[2])
