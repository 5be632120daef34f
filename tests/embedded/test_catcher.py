import asyncio
import mailbox
from pathlib import Path

import pytest
from aiosmtplib import SMTP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.embedded.catcher import start_catcher

BODY = (
    b"Subject: bytes\r\n\r\n.\r\n..\r\n.hidden dot\r\na line that ends with a dot.\r\n"
    + bytes(range(14, 256))
    + b"\r\n"
)


@pytest.fixture(scope="module")
def catcher(tmp_path_factory):
    server = start_catcher(tmp_path_factory.mktemp("catcher"))
    yield server
    server.stop()


@pytest.fixture
def maildir(catcher):
    arguments = list(catcher.child.argv)
    found = mailbox.Maildir(arguments[arguments.index("--maildir") + 1])
    found.clear()
    return found


def port_of(catcher):
    return int(catcher.url.rpartition(":")[2])


def stuffed(body):
    """The message as it crosses the wire (RFC 5321 §4.5.2)."""
    hidden = body.replace(b"\r\n.", b"\r\n..")
    return (b"." + hidden if hidden.startswith(b".") else hidden) + b".\r\n"


async def converse(catcher, *groups):
    """Send groups of commands, each in one write, waiting for each group's last answer; return all answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(catcher))
    answers = [await reader.readline()]
    for group, expected in groups:
        writer.write(group)
        for _ in range(expected):
            while (line := await reader.readline())[3:4] == b"-":
                answers.append(line)
            answers.append(line)
    writer.close()
    await writer.wait_closed()
    return answers


def kept(maildir):
    return [file.read_bytes() for file in sorted((Path(maildir._path) / "new").iterdir())]


async def test_it_offers_what_it_can_do(catcher):
    async with SMTP(hostname="127.0.0.1", port=port_of(catcher)) as client:
        await client.ehlo()
        assert {"pipelining", "8bitmime", "smtputf8", "size"} <= set(client.esmtp_extensions)


async def test_pipelined_mail_is_kept_byte_for_byte(catcher, maildir):
    envelope = b"MAIL FROM:<a@example.no> BODY=8BITMIME\r\nRCPT TO:<b@example.no>\r\nRCPT TO:<c@example.no>\r\nDATA\r\n"
    # RFC 2920 §3.1: after the message data, the next message's commands may follow in the same write.
    answers = await converse(
        catcher, (b"EHLO test\r\n", 1), (envelope, 4), (stuffed(BODY) + envelope, 5), (stuffed(BODY) + b"QUIT\r\n", 2)
    )
    codes = [line[:3] for line in answers[-11:]]
    assert codes == [*[b"250"] * 3, b"354", *[b"250"] * 4, b"354", b"250", b"221"]
    head = b"X-Catcher-From: a@example.no\r\nX-Catcher-Rcpt: b@example.no\r\nX-Catcher-Rcpt: c@example.no\r\n"
    assert kept(maildir) == [head + BODY] * 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.sampled_from([b"", b".", b"..", b"...", b"a.", b".a", b"\r", b"\n.", b"x" * 3000]), max_size=6)
)
async def test_any_message_is_kept_byte_for_byte(catcher, maildir, lines):
    maildir.clear()
    body = b"".join(line + b"\r\n" for line in lines)
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<b@example.no>\r\nDATA\r\n"
    await converse(catcher, (b"EHLO test\r\n", 1), (envelope, 3), (stuffed(body), 1))
    assert kept(maildir) == [b"X-Catcher-From: <>\r\nX-Catcher-Rcpt: b@example.no\r\n" + body]


async def test_a_large_message_is_kept_and_too_large_a_one_refused(catcher, maildir):
    envelope = b"MAIL FROM:<a@example.no>\r\nRCPT TO:<b@example.no>\r\nDATA\r\n"
    large = b"x" * 5_000_000 + b"\r\n"
    too_large = (b"y" * 998 + b"\r\n") * 53_000
    answers = await converse(
        catcher,
        (b"EHLO test\r\n", 1),
        (envelope, 3),
        (stuffed(large), 1),
        (envelope, 3),
        (stuffed(too_large), 1),
        (b"NOOP\r\n", 1),
    )
    assert answers[-2][:3] == b"552"
    assert answers[-1][:3] == b"250"
    (only,) = kept(maildir)
    assert only.endswith(large)


async def test_international_addresses_are_kept(catcher, maildir):
    envelope = "MAIL FROM:<kåre@blåbær.no> SMTPUTF8\r\nRCPT TO:<øystein@blåbær.no>\r\nDATA\r\n".encode()
    await converse(catcher, (b"EHLO test\r\n", 1), (envelope, 3), (b"Subject: hei\r\n\r\n.\r\n", 1))
    (only,) = kept(maildir)
    assert only.startswith("X-Catcher-From: kåre@blåbær.no\r\nX-Catcher-Rcpt: øystein@blåbær.no\r\n".encode())


async def test_a_connection_lost_in_the_data_leaves_no_message(catcher, maildir):
    envelope = b"MAIL FROM:<a@example.no>\r\nRCPT TO:<b@example.no>\r\nDATA\r\n"
    await converse(catcher, (b"EHLO test\r\n", 1), (envelope + b"Subject: half", 3))
    async with SMTP(hostname="127.0.0.1", port=port_of(catcher)) as client:
        await client.sendmail("a@example.no", ["b@example.no"], b"Subject: whole\r\n\r\nyes\r\n")
    assert [message["Subject"] for message in maildir] == ["whole"]
