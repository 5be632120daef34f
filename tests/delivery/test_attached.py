"""Attachments on their way: made once per sender, the same octets for everybody (D16)."""

import random

import pytest

from app.delivery.attached import BODIES_IN_MEMORY, affordable
from app.delivery.replies import Outcome
from app.delivery.smtp.account import Pipelining
from app.delivery.smtp.feed import Stuffed
from tests.content.messages import parsed
from tests.delivery.feeds import ListFeed, message, send
from tests.delivery.sending import sending, times_taken
from tests.delivery.smtp_server import SmtpServer

FILE = random.Random(7).randbytes(1_300_000)  # over a stored piece, over what is written as one buffer


@pytest.mark.parametrize("level", Pipelining)
async def test_everybody_gets_the_file_behind_a_message_of_his_own(fresh_database, tmp_path, level):
    async with sending(fresh_database, tmp_path, count=8, file=FILE) as mailing, SmtpServer() as server:
        ended = await mailing.send(server, account={"pipelining": level})
        assert (ended.accepted, ended.fault) == (8, None)
        assert times_taken(server) == {1: 8}
        for entry in server.ledger:
            mail = parsed(entry.content)
            (attached,) = mail.iter_attachments()
            assert (attached.get_filename(), attached.get_content()) == ("Blåbær.bin", FILE)
            assert mail["To"].addresses[0].addr_spec == entry.recipient
        row = await mailing.sql.fetchrow("SELECT length(compiled::text) AS size FROM dispatch")
        assert row["size"] < 10_000


@pytest.mark.parametrize("level", Pipelining)
async def test_a_server_that_takes_no_message_so_large_stops_the_mailing_and_marks_nobody(
    fresh_database, tmp_path, level
):
    keywords = ("PIPELINING", "SIZE 1000000")
    async with (
        sending(fresh_database, tmp_path, count=3, file=FILE) as mailing,
        SmtpServer(keywords=keywords) as server,
    ):
        ended = await mailing.send(server, account={"pipelining": level})
        assert "the server takes messages of 1000000" in ended.fault.text
        assert server.messages == 0
        assert await mailing.statuses() == {"ready": 3}


async def test_shared_octets_follow_a_message_that_needs_no_stuffing():
    shared = b"".join(b"%08d\r\n" % number for number in range(60_000))

    def content(envelope):
        return Stuffed(b"Subject: %d\r\n\r\n" % envelope.key, tail=shared)

    feed = ListFeed(*map(message, range(5)), content=content)
    async with SmtpServer() as server:
        await send(server, feed)
        assert [entry.content for entry in server.ledger] == [
            b"Subject: %d\r\n\r\n%b" % (number, shared) for number in range(5)
        ]
    assert {feed.outcome(number) for number in range(5)} == {Outcome.ACCEPTED}


def test_large_messages_get_fewer_encrypted_connections_and_never_none():
    assert affordable(20, tail=20 << 20, encrypted=False) == 20
    assert affordable(20, tail=0, encrypted=True) == 20
    assert affordable(20, tail=1 << 20, encrypted=True) == 20
    assert affordable(20, tail=20 << 20, encrypted=True) == 3
    assert affordable(20, tail=BODIES_IN_MEMORY, encrypted=True) == 1


async def test_a_value_of_a_megabyte_fails_its_own_recipient_and_nobody_else(fresh_database, tmp_path):
    """The API takes no such value; one that came in some other way is not cut, and holds nobody up."""
    async with sending(fresh_database, tmp_path, count=3, html="<p>[[customer.name]]</p>") as mailing:
        await mailing.sql.execute("UPDATE recipient SET name = repeat('æ', 1000000) WHERE email = 'r2@example.no'")
        async with SmtpServer() as server:
            ended = await mailing.send(server)
        assert (ended.accepted, ended.fault) == (2, None)
        row = await mailing.recipient(2)
        assert (row["status"], row["bounce"]) == ("failed", None)
        assert "1000000 characters; at most 10000 go into a message" in row["reply"]
        assert await mailing.keep_going()
