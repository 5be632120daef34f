"""The chaos suite: faults at random moments until there were as many as asked for (exactness.md)."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import redis.asyncio

from app.embedded.postgres import start_postgres
from app.embedded.valkey import start_valkey
from tests.chaos.world import Account, World, world
from tests.conftest import migrate

FAULTS = int(os.environ.get("BUDSTIKKE_CHAOS", "0"))
SEED = int(os.environ.get("BUDSTIKKE_CHAOS_SEED", "1"))
RECIPIENTS = int(os.environ.get("BUDSTIKKE_CHAOS_RECIPIENTS", "5000"))  # of one mailing; one follows the other
CONNECTIONS = 5
SENDERS = 3

PACE = "dot *: wait 0.01; usual"
LYING_SERVER = f"""
    mail 0.3%: 421 4.3.2 closing; close
    rcpt 0.5%: 550 5.1.1 no such user
    rcpt 0.5%: 450 4.2.0 greylisted
    data 0.2%: 421 4.3.2 closing; close
    body 0.1%: reset
    dot 0.2%: accept; close
    dot 0.2%: close
    dot 0.2%: 451 4.3.0 try again
    dot 0.1%: 250 ok; close
    {PACE}
"""


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def postgres(tmp_path):
    """A server of the test's own, whose backends may be killed."""
    server = start_postgres(tmp_path, durable=False)
    migrate(server.url)
    yield server
    server.stop()


@pytest.fixture
async def broken(request, postgres, valkey, tmp_path):
    async with world(
        database_url=postgres.url, redis_url=valkey.url, directory=tmp_path, script=request.param, seed=SEED,
        workers=3, smtp_connections=CONNECTIONS, senders=SENDERS,
    ) as found:  # fmt: skip
        yield found


async def kill(broken: World) -> None:
    broken.signal_worker(signal.SIGKILL)


async def end(broken: World) -> None:
    broken.signal_worker(signal.SIGTERM)


async def empty_redis(broken: World) -> None:
    broken.faults["FLUSHALL"] += 1
    client = redis.asyncio.from_url(broken.settings.redis_url.get_secret_value())
    await client.flushall()
    await client.aclose()


async def cut_off_the_database(broken: World) -> None:
    broken.faults["backends ended"] += 1
    await broken.sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'budstikke worker%' AND pid <> pg_backend_pid()"
    )


async def crash_the_database(broken: World) -> None:
    """A backend that is killed makes PostgreSQL end all others and recover from its log."""
    broken.faults["PostgreSQL crashed"] += 1
    pid = await broken.sql.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'budstikke worker%' ORDER BY random() LIMIT 1"
    )
    if pid:
        os.kill(pid, signal.SIGKILL)
        await broken.reconnect()


async def rage(broken: World, faults: list, *, title: str) -> None:
    """Send mailing after mailing under faults until there were enough, and account for each."""
    total: Counter[str] = Counter()
    while broken.faults.total() < FAULTS:
        before = broken.ledger()
        name = f"m{broken.faults.total()}"
        mailing_id = await broken.start_mailing(f"<{name}-{n}@example.com>" for n in range(RECIPIENTS))
        while broken.faults.total() < FAULTS and not await almost_done(broken, mailing_id):
            await broken.taken_more(broken.dice.randrange(1, 400))
            await broken.dice.choice(faults)(broken)
        await broken.finished(mailing_id)
        account = await broken.account(mailing_id, before=before)
        total += await summary(broken, mailing_id, account)
        print_table(title, broken, total)
        account.check()
        killed = broken.faults["SIGKILL"] + broken.faults["PostgreSQL crashed"]
        assert total["unconfirmed by us"] <= killed * CONNECTIONS * SENDERS


async def almost_done(broken: World, mailing_id: int) -> bool:
    left = "SELECT coalesce(sum(value), 0) FROM recipient_tally WHERE mailing_id = $1 AND name = 'ready'"
    return await broken.sql.fetchval(left, mailing_id) < 500


async def summary(broken: World, mailing_id: int, account: Account) -> Counter[str]:
    ours = await broken.sql.fetchval(
        "SELECT count(*) FROM recipient WHERE mailing_id = $1 AND status = 'unconfirmed' AND reply LIKE 'The sender%'",
        mailing_id,
    )
    return Counter(
        {
            "recipients": account.recipients,
            "lost": len(account.lost) + account.statuses["ready"],
            "twice": len(account.twice),
            "untold": len(account.untold),
            "unconfirmed by us": ours,
            "unconfirmed by the server": account.statuses["unconfirmed"] - ours,
            "bounced": account.statuses["bounced"],
        }
    )


def print_table(title: str, broken: World, total: Counter[str]) -> None:
    lines = [f"\n{title} (seed {SEED})", f"  faults: {dict(broken.faults)}"]
    lines += [f"  {name:26}{total[name]:>10}" for name in (
        "recipients", "lost", "twice", "untold", "unconfirmed by us", "unconfirmed by the server", "bounced"
    )]  # fmt: skip
    text = "\n".join(lines)
    print(text)  # noqa: T201 - it is the suite's product
    Path(broken.settings.data_dir / "table.txt").write_text(text + "\n")


@pytest.mark.parametrize("broken", [PACE], indirect=True, ids=["honest"])
async def test_kills(broken):
    await rage(broken, [kill], title="kill -9 of workers")


@pytest.mark.parametrize("broken", [LYING_SERVER], indirect=True, ids=["lying"])
async def test_kills_beside_a_lying_server(broken):
    await rage(broken, [kill], title="kill -9 of workers beside a server that lies and drops")


@pytest.mark.parametrize("broken", [LYING_SERVER], indirect=True, ids=["lying"])
async def test_everything_at_once(broken):
    faults = [kill, kill, end, empty_redis, cut_off_the_database, crash_the_database]
    await rage(broken, faults, title="everything at once")


@pytest.mark.parametrize("broken", [PACE], indirect=True, ids=["honest"])
async def test_process_that_was_stopped_past_its_lease(broken):
    """It wakes up after another has taken its chunks over, and must not start anything that is not its own."""
    mailing_id = await broken.start_mailing(f"<s{n}@example.com>" for n in range(RECIPIENTS))
    await broken.taken_more(300)
    owner = await broken.sql.fetchval("SELECT owner FROM chunk WHERE owner IS NOT NULL LIMIT 1")
    stopped = next(worker for worker in broken.workers if f"-{worker.pid}-" in owner)
    stopped.send_signal(signal.SIGSTOP)
    broken.faults["SIGSTOP"] += 1
    await broken.until(lambda: broken.sql.fetchval("SELECT NOT EXISTS (SELECT FROM chunk WHERE owner = $1)", owner))
    stopped.send_signal(signal.SIGCONT)
    await broken.finished(mailing_id)
    account = await broken.account(mailing_id)
    print_table("SIGSTOP past the lease, takeover, SIGCONT", broken, await summary(broken, mailing_id, account))
    account.check()
    assert account.statuses["unconfirmed"] <= 256 * SENDERS
