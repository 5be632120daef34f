"""Workers killed while limits keep recipients back: those that are moved are neither lost nor sent twice (D31, D34)."""

import signal
from pathlib import Path

import pytest

from app.embedded.postgres import start_postgres
from app.embedded.valkey import start_valkey
from tests.chaos.test_chaos import CONNECTIONS, FAULTS, PACE, RECIPIENTS, SEED, SENDERS
from tests.chaos.world import world
from tests.conftest import migrate

LIMITS = "INSERT INTO destination_limit (domain, max_per_second) VALUES ('slow.example', $1), ('slower.example', $2)"


@pytest.fixture
def servers(tmp_path: Path):
    postgres, valkey = start_postgres(tmp_path, durable=False), start_valkey(tmp_path / "valkey")
    migrate(postgres.url)
    yield postgres.url, valkey.url
    valkey.stop()
    postgres.stop()


@pytest.fixture
async def limited(servers, tmp_path: Path):
    database_url, redis_url = servers
    async with world(
        database_url=database_url, redis_url=redis_url, directory=tmp_path, script=PACE, seed=SEED, workers=3,
        smtp_connections=CONNECTIONS, senders=SENDERS,
    ) as found:  # fmt: skip
        yield found


async def test_workers_killed_while_limits_keep_recipients_back(limited):
    domains = ("slow.example", "slower.example", "free.example")
    mailing_id = await limited.start_mailing(f"<n{n}@{domains[n % 3]}>" for n in range(RECIPIENTS))
    await limited.taken_more(1)
    await limited.sql.execute(LIMITS, 30.0, 10.0)  # what was read before the limits is put behind, too
    for fault in range(FAULTS):
        if await limited.state(mailing_id) == "finished":
            break
        await limited.taken_more(limited.dice.randrange(1, 60))
        limited.signal_worker(signal.SIGKILL if fault % 3 else signal.SIGTERM)
    assert await limited.sql.fetchval("SELECT count(*) FROM chunk WHERE destination IS NOT NULL") > 0
    await limited.sql.execute("DELETE FROM destination_limit; UPDATE chunk SET not_before = NULL")
    await limited.finished(mailing_id)
    account = await limited.account(mailing_id)
    account.check()
    assert account.statuses["unconfirmed"] <= limited.faults["SIGKILL of a worker"] * CONNECTIONS * SENDERS
    assert account.statuses["sent"] + account.statuses["unconfirmed"] == RECIPIENTS
