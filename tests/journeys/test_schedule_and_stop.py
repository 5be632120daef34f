"""Real workers start a scheduled mailing at its time, and stop and go on as they are told (D27, D29)."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from app.embedded.valkey import start_valkey
from tests.chaos.world import world

PACE = "dot *: wait 0.01; usual"  # so that there is something left to be stopped
COUNT = 4000
# Measured: started 1.3 to 1.7 s after its time (the watch looks every two), the last message 0.04 s after the stop. A
# sender that has nothing to store notices with its heartbeat, after 1.1 s. The rest is for a machine that others use.
START_SECONDS = 15.0
STOP_SECONDS = 4.0


@pytest.fixture
async def house(fresh_database, tmp_path):
    valkey = start_valkey(tmp_path / "valkey")
    try:
        async with world(
            database_url=fresh_database, redis_url=valkey.url, directory=tmp_path, script=PACE, smtp_connections=4,
            senders=2,
        ) as found:  # fmt: skip
            yield found
    finally:
        valkey.stop()


async def test_a_scheduled_mailing_starts_at_its_time_and_stops_within_two_seconds(house):
    mailing_id = await house.draft(f"Person {number} <p{number}@example.com>" for number in range(COUNT))
    path = f"/v1/mailings/{mailing_id}"
    await house.until(lambda: _runs(house))
    due = datetime.now(UTC) + timedelta(seconds=1)
    await house.request("POST", f"{path}/schedule", {"send_at": due.isoformat(timespec="milliseconds")})
    await house.until(lambda: _is(house, mailing_id, "sending"))
    assert 0 <= time.time() - due.timestamp() < START_SECONDS
    await house.taken_more(200)
    await house.request("POST", f"{path}/stop")
    taken, asked_at = house.taken(), time.monotonic()
    last_at = asked_at
    while time.monotonic() < asked_at + STOP_SECONDS + 1.0:
        if taken != (taken := house.taken()):
            last_at = time.monotonic()
        await asyncio.sleep(0.02)
    assert last_at - asked_at < STOP_SECONDS
    assert 200 <= taken < COUNT
    await house.request("POST", f"{path}/start")
    await house.finished(mailing_id)
    account = await house.account(mailing_id)
    account.check()
    assert account.statuses == {"sent": COUNT}


async def _runs(house):
    return b"worker.started" in (house.settings.data_dir / "workers.log").read_bytes()


async def _is(house, mailing_id, state):
    return await house.state(mailing_id) == state
