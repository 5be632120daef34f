"""Messages that are signed with RSA are made ahead, in other threads; nobody is lost or gets two by it."""

import asyncio

import pytest
from sqlalchemy import text

from app.domains.keys import activate, create_key
from app.domains.models import Algorithm
from app.domains.service import add_domain
from app.platform.sealed import SealBrokenError
from tests.delivery.sending import WITHIN, reached, sending, times_taken
from tests.delivery.smtp_server import SmtpServer
from tests.domains.verifying import Published


@pytest.fixture
def of(fresh_database, tmp_path):
    """A factory: a mailing to so many."""
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


async def sign(mailing) -> Published:
    """Give the mailing's From domain a key of each kind."""
    published = Published()
    async with mailing.database.begin() as session:
        domain = await add_domain(session, domain="example.com", trusted=True)
        for algorithm in Algorithm:
            _, key = await create_key(session, domain_id=domain.id, algorithm=algorithm, settings=mailing.settings)
            await activate(session, domain=domain, key=key, force=True, settings=mailing.settings)
            published.publish(domain.domain, key)
    return published


async def test_everybody_gets_it_once_and_signed(of):
    async with of(1300) as mailing, SmtpServer() as server:
        published = await sign(mailing)
        sender = await mailing.sender(server)
        assert sender.plan.signs_slowly
        async with asyncio.timeout(WITHIN):
            ended = await sender.run()
        assert (ended.accepted, ended.more) == (1300, False)
        assert await mailing.statuses() == {"sent": 1300}
        assert times_taken(server) == {1: 1300}
        assert all(published.verify(entry.content) == [True, True] for entry in server.ledger[::100])


async def test_stopping_leaves_what_was_made_to_the_next_sender(of):
    async with of(1300) as mailing, SmtpServer("dot 300+: wait 0.01; usual") as server:
        await sign(mailing)
        running = asyncio.create_task((await mailing.sender(server)).run())
        await reached(server, 320)
        mailing.stopping.set()
        async with asyncio.timeout(WITHIN):
            assert (await running).more
        taken = len(server.ledger)
        assert await mailing.statuses() == {"sent": taken, "ready": 1300 - taken}
        mailing.stopping.clear()
        server.rules.clear()
        await mailing.send(server)
        assert times_taken(server) == {1: 1300}


async def test_a_chunk_that_was_overtaken_is_not_sent_from_what_was_made(of):
    async with of(600) as mailing, SmtpServer("dot 1+: wait 0.05; usual") as server:
        await sign(mailing)
        sender = await mailing.sender(server)
        running = asyncio.create_task(sender.run())
        await reached(server, 4)
        await mailing.sql.execute("UPDATE chunk SET epoch = epoch + 1, owner = 'another', lease_until = now() + '1 h'")
        async with asyncio.timeout(WITHIN):
            await running
        assert len(server.ledger) < 600
        assert max(times_taken(server)) == 1


async def test_a_key_that_cannot_be_opened_stops_the_sender_before_anything_is_sent(of):
    async with of(10) as mailing, SmtpServer() as server:
        await sign(mailing)
        async with mailing.database.begin() as session:
            await session.exec(text("UPDATE dkim_key SET private_key = '\\x01'"))
        with pytest.raises(SealBrokenError, match="DKIM key"):
            await mailing.send(server)
        assert server.ledger == []
        assert await mailing.statuses() == {"ready": 10}
