"""Fairness with a real worker: what people wait for starts at once, however many large mailings are sent (D31)."""

import asyncio
import time

import pytest

from app.delivery import service
from app.embedded.valkey import start_valkey
from app.mailings.models import Mailing, MailingState
from app.platform.db import Database
from tests.chaos.world import World, world
from tests.content.messages import compiled

LARGE = 12  # mailings, with two senders each: three times as many as a worker has slots for
WITHIN = 2.0  # seconds (issue 4, point 5)
RECIPIENTS = 2100  # more than FEW_CHUNKS chunks
SLOW = "dot *: wait 0.4; usual"  # 8 senders with 20 connections send 400 messages a second, so none of them ends

_LINES = """
    INSERT INTO recipient (mailing_id, seq, name, email, email_key, status)
    SELECT $1::bigint, n, 'Kari', address, address, 'ready'
    FROM generate_series(1, $2::int) AS n, format('m%s.%s@example.no', $1::bigint, n) AS address
"""


@pytest.fixture
def valkey(tmp_path):
    server = start_valkey(tmp_path / "valkey")
    yield server
    server.stop()


async def start_large(world: World, database: Database) -> None:
    async with database.begin() as session:
        mailing = Mailing(name="Large", state=MailingState.SENDING)
        session.add(mailing)
        await session.flush()
    await world.sql.execute(_LINES, mailing.id, RECIPIENTS)
    async with database.begin() as session:
        await service.freeze(session, mailing_id=mailing.id, compiled=compiled("<p>Hei</p>"), link_ids=[], senders=2)


async def seconds_until_taken(world: World, address: str) -> float:
    began = time.monotonic()
    async with asyncio.timeout(30):
        while not world.ledger()[address]:  # noqa: ASYNC110 - it is a file of another process
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_small_mailing_and_a_test_start_at_once_while_many_large_mailings_are_sent(
    fresh_database, valkey, tmp_path
):
    async with world(
        database_url=fresh_database, redis_url=valkey.url, directory=tmp_path, script=SLOW, workers=1
    ) as house:
        database = Database.connect(house.settings, name="tests")
        for _ in range(LARGE):
            await start_large(house, database)
        await database.close()
        owners = "SELECT count(DISTINCT owner) FROM chunk"
        await house.until(lambda: _at_least(house, owners, 8))
        mailing_id = await house.start_mailing([f"small{n}@example.no" for n in range(10)])
        small = await seconds_until_taken(house, "small0@example.no")
        await house.request("POST", f"/v1/mailings/{mailing_id}/test", {"addresses": ["test@example.no"]})
        test = await seconds_until_taken(house, "test@example.no")
        assert house.taken() < LARGE * RECIPIENTS, "the large mailings were over before the small one began"
        assert max(small, test) < WITHIN, (small, test)
        # … and the large ones share the slots: each has sent something after two short turns.
        sent = "SELECT count(DISTINCT mailing_id) FROM recipient WHERE sent_at IS NOT NULL"
        await house.until(lambda: _at_least(house, sent, LARGE + 1), within=30)


async def _at_least(house: World, query: str, count: int) -> bool:
    return await house.sql.fetchval(query) >= count
