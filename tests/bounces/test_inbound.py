"""The SMTP server for return paths, over real SMTP."""

import asyncio
import smtplib
from contextlib import asynccontextmanager, suppress

import aiosmtplib
import pytest
from sqlalchemy import text
from sqlmodel import select

from app.bounces.inbound import RECIPIENT_LIMIT, SIZE_LIMIT, serve
from app.bounces.models import InboundMessage
from app.embedded.postgres import start_postgres
from app.platform.db import Database
from app.platform.outbox import Job, OutboxJob
from app.platform.tokens import TokenKey
from tests.bounces.reports import postfix_report
from tests.bounces.rows import OLA
from tests.conftest import SECRET, settings_for

DOMAIN = "news.example.com"
TOKENS = TokenKey.from_secret(SECRET)


def return_path(recipient_id: int) -> str:
    return f"{TOKENS.make_return_path(recipient_id)}@{DOMAIN}"


@asynccontextmanager
async def inbound(database, **changes):
    """Run the server on a free port; yield the port."""
    started = asyncio.get_running_loop().create_future()
    settings = settings_for("postgresql://unused", inbound_port=0, **changes)
    server = asyncio.create_task(serve(settings, database, TOKENS, started=started))
    try:
        yield (await asyncio.wait_for(started, 5))[1]
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


@asynccontextmanager
async def connected(port: int):
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, timeout=20, use_tls=False, start_tls=False)
    async with client:
        yield client


async def messages(database) -> list[InboundMessage]:
    async with database.begin() as session:
        return list((await session.exec(select(InboundMessage).order_by(InboundMessage.id))).all())


async def jobs(database) -> list[OutboxJob]:
    async with database.begin() as session:
        return list((await session.exec(select(OutboxJob))).all())


async def test_a_report_is_stored_with_its_job_before_the_250(database):
    octets = postfix_report(to=OLA)
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("", [return_path(7)], octets)
        [message], [job] = await messages(database), await jobs(database)
    assert (message.recipient_id, message.octets, message.read_at) == (7, octets, None)
    assert (job.job, job.args) == (Job.BOUNCE_READ, {"message": message.id})


async def test_the_standard_librarys_client_gets_through(database):
    def send(port):
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            return client.sendmail("", [return_path(7)], postfix_report(to=OLA))

    async with inbound(database) as port:
        assert await asyncio.to_thread(send, port) == {}
    assert len(await messages(database)) == 1


async def test_the_case_of_a_return_path_may_be_changed_on_the_way(database):
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("", [return_path(7).upper()], postfix_report(to=OLA))
    assert [message.recipient_id for message in await messages(database)] == [7]


FORGED = {
    "altered": return_path(7).replace("b+", "b+a", 1).replace("b+aa", "b+b", 1),
    "truncated": TOKENS.make_return_path(7)[:-3] + "@" + DOMAIN,
    "without a token": f"b+@{DOMAIN}",
    "of another key": f"{TokenKey.from_secret('another secret').make_return_path(7)}@{DOMAIN}",
    "of another domain": f"{TOKENS.make_return_path(7)}@example.org",
    "a person's": f"postmaster@{DOMAIN}",
    "beyond ASCII": f"b+\N{LATIN SMALL LETTER AE}@{DOMAIN}",
}


@pytest.mark.parametrize("address", FORGED.values(), ids=FORGED.keys())
async def test_any_other_address_is_refused_for_good(database, address):
    async with inbound(database) as port, connected(port) as client:
        await client.ehlo()
        await client.mail("", options=["SMTPUTF8"], encoding="utf-8")
        with pytest.raises(aiosmtplib.SMTPRecipientRefused) as refusal:
            await client.rcpt(address, encoding="utf-8")
    assert refusal.value.code == 550
    assert refusal.value.message.startswith("5.1.1 No such address")
    assert "example" not in refusal.value.message
    assert await messages(database) == []


async def test_a_message_that_is_delivered_twice_is_stored_once(database):
    octets = postfix_report(to=OLA)
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("", [return_path(7)], octets)
        await client.sendmail("", [return_path(7), return_path(7).upper()], octets)
    assert len(await messages(database)) == len(await jobs(database)) == 1


async def test_a_message_to_two_return_paths_is_read_for_each(database):
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("", [return_path(7), return_path(8)], postfix_report(to=OLA))
    assert [message.recipient_id for message in await messages(database)] == [7, 8]
    assert len(await jobs(database)) == 2


async def test_the_size_limit_is_announced_and_kept(database):
    async with inbound(database) as port, connected(port) as client:
        await client.ehlo()
        assert client.esmtp_extensions["size"] == str(SIZE_LIMIT)
        with pytest.raises(aiosmtplib.SMTPSenderRefused) as refusal:
            await client.mail("", options=[f"SIZE={SIZE_LIMIT + 1}"])
        assert refusal.value.code == 552
        await client.rset()
        await client.mail("")
        await client.rcpt(return_path(7))
        with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
            await client.data(b"x: y\r\n" * (SIZE_LIMIT // 6 + 1))
        assert refusal.value.code == 552
    assert await messages(database) == []


async def test_recipients_over_the_limit_are_put_off(database):
    async with inbound(database) as port, connected(port) as client:
        await client.ehlo()
        await client.mail("")
        for recipient_id in range(RECIPIENT_LIMIT):
            await client.rcpt(return_path(recipient_id))
        with pytest.raises(aiosmtplib.SMTPRecipientRefused) as refusal:
            await client.rcpt(return_path(RECIPIENT_LIMIT))
    assert refusal.value.code == 452


async def test_long_lines_of_a_returned_message_are_taken(database):
    octets = postfix_report(to=OLA) + b"x" * 5000 + b"\r\n"
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("", [return_path(7)], octets)
    assert [message.octets for message in await messages(database)] == [octets]


async def test_while_the_database_is_away_the_other_server_keeps_the_message(tmp_path):
    server = start_postgres(tmp_path, durable=False)
    database = Database.connect(settings_for(server.url), name="inbound")
    await database.ping()
    server.stop()
    try:
        async with inbound(database) as port, connected(port) as client:
            with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
                await client.sendmail("", [return_path(7)], postfix_report(to=OLA))
    finally:
        await database.close()
    assert refusal.value.code == 451
    assert refusal.value.message == "4.3.0 The message cannot be stored for now: try again later"


async def test_a_failing_commit_is_no_250(database):
    async with database.begin() as session:
        await session.exec(text("ALTER TABLE inbound_message ADD CHECK (recipient_id <> 7)"))
    async with inbound(database) as port, connected(port) as client:
        with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
            await client.sendmail("", [return_path(7)], postfix_report(to=OLA))
    assert refusal.value.code == 451
    assert await jobs(database) == []


async def test_connections_over_the_limit_are_sent_away_and_let_in_again(database, monkeypatch):
    monkeypatch.setattr("app.bounces.inbound.CONNECTION_LIMIT", 1)
    async with inbound(database) as port:
        async with connected(port):
            with pytest.raises(aiosmtplib.SMTPConnectResponseError) as refusal:
                await aiosmtplib.SMTP(hostname="127.0.0.1", port=port, timeout=5, start_tls=False).connect()
        assert refusal.value.code == 421
        async with asyncio.timeout(5):
            while True:
                with suppress(aiosmtplib.SMTPException):
                    async with connected(port) as client:
                        await client.noop()
                        break


async def test_neither_addresses_nor_words_of_a_report_get_into_the_log(database, capfd, caplog):
    caplog.set_level("DEBUG")
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("sender@example.net", [return_path(7)], postfix_report(to=OLA))
        with suppress(aiosmtplib.SMTPException):
            await client.execute_command(b"OLA@EXAMPLE.ORG")
    out, err = capfd.readouterr()
    logged = (out + err + caplog.text).lower()
    assert "inbound.stored" in logged
    assert not [word for word in ("ola@", "sender@", "b+", "user unknown") if word in logged]
