"""The job that sends, with accounts in the database: choice, passwords, faults and trouble, as a mailing shows them."""

import asyncio

import pytest
from pydantic import SecretStr

from app.delivery import accounts
from tests.delivery.sending import TOKENS, sending
from tests.delivery.smtp_server import SmtpServer
from workers.context import Context, JobRun
from workers.jobs.sending import send_dispatch

WITHIN = 20.0


@pytest.fixture
def of(fresh_database, tmp_path):
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


async def add(mailing, server, name, **changes):
    fields = {"name": name, "host": server.host, "port": server.port, "security": "none", **changes}
    async with mailing.database.begin() as session:
        account, _ = await accounts.create_account(session, fields=fields, settings=mailing.settings)
    return account.id


def job(mailing):
    context = Context(settings=mailing.settings, database=mailing.database, tokens=TOKENS)
    return send_dispatch(context, JobRun(id=0, args={"dispatch": mailing.dispatch_id, "number": 0}, attempt=1))


async def shown(mailing):
    return await mailing.sql.fetchrow("SELECT state, state_reason FROM mailing WHERE id = $1", mailing.mailing_id)


async def until_shown(mailing, reason):
    async with asyncio.timeout(WITHIN):
        while not ((await shown(mailing))["state_reason"] or "").startswith(reason):  # noqa: ASYNC110 - it is a row
            await asyncio.sleep(0.02)


async def test_mailing_goes_over_the_account_it_names_with_its_password(of):
    async with of(30) as mailing, SmtpServer() as other, SmtpServer(users={"news": "hem/me?lig"}) as server:
        await add(mailing, other, "other")
        named = await add(mailing, server, "named", username="news", password=SecretStr("hem/me?lig"), weight=0)
        await mailing.sql.execute("UPDATE mailing SET sending_account_id = $1", named)
        await job(mailing)
        assert [len(other.ledger), len(server.ledger)] == [0, 30]
        assert tuple(await shown(mailing)) == ("finished", None)


async def test_mailing_stops_with_the_words_of_every_account_that_keeps_us_out(of):
    async with of(30) as mailing, SmtpServer("connect *: 554 5.7.1 no") as first:
        await add(mailing, first, "Oslo")
        await add(mailing, first, "Bergen")
        await job(mailing)
        state, reason = await shown(mailing)
        assert state == "stopped"
        assert "Oslo: 554 5.7.1 no" in reason
        assert "Bergen: 554 5.7.1 no" in reason
        assert await mailing.statuses() == {"ready": 30}


async def test_account_sealed_under_another_secret_stops_the_mailing_and_says_what_to_do(of):
    async with of(3) as mailing, SmtpServer() as server:
        number = await add(mailing, server, "Oslo")
        await mailing.sql.execute(
            "UPDATE sending_account SET username = 'news', password_sealed = $2 WHERE id = $1", number, b"\x01" * 60
        )
        await job(mailing)
        state, reason = await shown(mailing)
        assert state == "stopped"
        assert "BUDSTIKKE_SECRET_KEY" in reason


async def test_mailing_says_that_it_waits_while_its_account_cannot_be_reached(of):
    async with of(30) as mailing, SmtpServer() as server:
        port = server.port
        server._server.close()
        await add(mailing, server, "Oslo")
        await mailing.sql.execute("DELETE FROM outbox")  # the job that is run here: nobody waits for its slot
        running = asyncio.create_task(job(mailing))
        await until_shown(mailing, "Waiting for a sending account. Oslo: ")
        assert (await shown(mailing))["state"] == "sending"
        await server.listen(port)
        async with asyncio.timeout(WITHIN):
            await running
        assert tuple(await shown(mailing)) == ("finished", None)
        assert len(server.ledger) == 30
