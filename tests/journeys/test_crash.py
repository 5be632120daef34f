"""Workers are killed in the middle of a mailing: nobody is lost, nobody gets it twice, and the mailing ends (D34)."""

import asyncio
import signal

import pytest
import redis.asyncio

from app.embedded.valkey import start_valkey
from tests.chaos.world import world

CONNECTIONS = 5
SENDERS = 2
PACE = "dot *: wait 0.01; usual"  # so that there is time to break something


def addresses(count: int) -> list[str]:
    return [f"Person {number} <p{number}@example.com>" for number in range(count)]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
async def broken(fresh_database, valkey, tmp_path):
    async with world(
        database_url=fresh_database, redis_url=valkey.url, directory=tmp_path, script=PACE,
        smtp_connections=CONNECTIONS, senders=SENDERS,
    ) as found:  # fmt: skip
        yield found


async def test_killed_workers_lose_nobody_and_mail_nobody_twice(broken):
    mailing_id = await broken.start_mailing(addresses(3000))
    for _ in range(3):
        await broken.taken_more(broken.dice.randrange(100, 700))
        broken.signal_worker(signal.SIGKILL)
    await broken.finished(mailing_id)
    account = await broken.account(mailing_id)
    account.check()
    assert account.recipients == 3000
    assert account.statuses["unconfirmed"] <= 3 * CONNECTIONS * SENDERS
    assert account.statuses["sent"] + account.statuses["unconfirmed"] == 3000


async def test_workers_that_are_asked_to_end_leave_nothing_in_doubt(broken):
    await broken.all_started()
    mailing_id = await broken.start_mailing(addresses(1500))
    await broken.taken_more(300)
    asked = [broken.signal_worker(signal.SIGTERM, index=0) for _ in range(2)]
    await broken.finished(mailing_id)
    for worker in asked:
        assert await asyncio.to_thread(worker.wait, 20) == 0
    account = await broken.account(mailing_id)
    account.check()
    assert account.statuses == {"sent": 1500}
    assert list(broken.settings.journal_dir.glob("*.journal")) == []


async def test_emptied_redis_loses_nothing(broken):
    mailing_id = await broken.start_mailing(addresses(1500))
    client = redis.asyncio.from_url(broken.settings.redis_url.get_secret_value())
    for _ in range(3):
        await broken.taken_more(200)
        await client.flushall()
    await client.aclose()
    await broken.finished(mailing_id)
    account = await broken.account(mailing_id)
    account.check()
    assert account.statuses == {"sent": 1500}
