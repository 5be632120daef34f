"""The chaos suite: faults at random moments until there were as many as asked for (exactness.md, D33-D35)."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from app.embedded.postgres import start_postgres
from app.embedded.valkey import start_valkey
from tests.bench.errors import BenchError
from tests.bench.tools import find_program
from tests.chaos import faults as of
from tests.chaos.world import Account, World, world
from tests.conftest import migrate

FAULTS = int(os.environ.get("BUDSTIKKE_CHAOS", "0"))
SEED = int(os.environ.get("BUDSTIKKE_CHAOS_SEED", "1"))
RECIPIENTS = int(os.environ.get("BUDSTIKKE_CHAOS_RECIPIENTS", "5000"))  # of one mailing; one follows the other
BETWEEN = int(os.environ.get("BUDSTIKKE_CHAOS_BETWEEN", RECIPIENTS // 12))  # messages from fault to fault, at most
CONNECTIONS = 5
SENDERS = 3

PACE = "dot *: wait 0.01; usual"
LYING_SERVER = f"""
    mail 0.3%: 421 4.3.2 closing; close
    mail 0.1%: 250 ok; drop
    rcpt 0.5%: 550 5.1.1 no such user
    rcpt 0.5%: 450 4.2.0 greylisted
    data 0.2%: 421 4.3.2 closing; close
    data 0.1%: 354 go on; close
    body 0.1%: reset
    dot 0.2%: accept; close
    dot 0.2%: close
    dot 0.2%: 451 4.3.0 try again
    dot 0.1%: 250 ok; close
    dot 0.05%: stall
    {PACE}
"""
FAILING_TLS = f"""
    starttls 20%: 454 4.7.0 TLS not available
    starttls 10%: 220 go ahead; close
    {PACE}
"""
IMPATIENT = "smtp://127.0.0.1:{port}?timeout=2"  # RFC 5321's minutes are too long for a suite


@pytest.fixture
def servers(tmp_path):
    """PostgreSQL and Valkey of the test's own, which may be killed. Commits are durable: they survive a kill."""
    valkey = start_valkey(tmp_path)
    postgres = start_postgres(tmp_path, durable=True)
    migrate(postgres.url)
    running = of.Servers(tmp_path, postgres=postgres, valkey=valkey)
    yield running
    running.stop()


@pytest.fixture
async def broken(request, servers, tmp_path):
    setting = {"script": PACE} | getattr(request, "param", {})
    async with world(
        database_url=servers.postgres.url, redis_url=servers.valkey.url, directory=tmp_path, seed=SEED,
        workers=3, smtp_connections=CONNECTIONS, senders=SENDERS, **setting,
    ) as found:  # fmt: skip
        yield found


async def rage(broken: World, faults: list, *, title: str, rows: dict[str, Counter[str]]) -> None:
    """Send mailing after mailing under faults until there were enough, and account for each."""
    began = time.monotonic()
    total = rows.setdefault(title, Counter())
    while broken.faults.total() < FAULTS:
        before = broken.ledger()
        name = f"m{broken.faults.total()}"
        mailing_id = await broken.start_mailing(f"<{name}-{n}@example.com>" for n in range(RECIPIENTS))
        while broken.faults.total() < FAULTS and not await broken.is_through(mailing_id):
            await broken.taken_more(broken.dice.randrange(1, BETWEEN), mailing_id=mailing_id)
            await broken.dice.choice(faults)(broken)
        await broken.finished(mailing_id)
        account = await broken.account(mailing_id, before=before)
        total.update(tell(account))
        note(total, broken, seconds=time.monotonic() - began)
        account.check()
    killed = sum(count for name, count in broken.faults.items() if "SIGKILL" in name or "crashed" in name)
    assert await unconfirmed_by_us(broken) <= killed * CONNECTIONS * SENDERS


async def unconfirmed_by_us(broken: World) -> int:
    """How many are in doubt because of a process of ours that was killed, over all mailings."""
    [seen] = await broken.ask(
        "SELECT count(*) AS found FROM recipient WHERE status = 'unconfirmed' AND reply LIKE 'The sender%'"
    )
    return seen["found"]


def tell(account: Account) -> dict[str, int]:
    return {
        "recipients": account.recipients,
        "lost": len(account.lost) + account.statuses["ready"],
        "twice": len(account.twice),
        "untold": len(account.untold),
        "unconfirmed": account.statuses["unconfirmed"],
        "bounced": account.statuses["bounced"],
    }


def note(total: Counter[str], broken: World, *, seconds: float) -> None:
    total["faults"], total["seconds"] = broken.faults.total(), round(seconds)
    total.update({f"fault: {name}": count - total[f"fault: {name}"] for name, count in broken.faults.items()})


async def test_kills(broken, rows):
    await rage(broken, [of.kill], title="kill -9 of workers (with relay and watch)", rows=rows)


LYING = pytest.mark.parametrize("broken", [{"script": LYING_SERVER, "smtp": IMPATIENT}], indirect=True, ids=["lying"])


@LYING
async def test_kills_beside_a_lying_server(broken, rows):
    await rage(broken, [of.kill], title="kill -9 beside a server that lies, drops, stalls", rows=rows)


async def test_killed_mail_server(broken, rows):
    await rage(broken, [of.kill_the_mail_server], title="kill -9 of the SMTP server", rows=rows)


async def test_database_restarted_and_killed(broken, servers, rows):
    faults = [servers.restart_the_database, servers.kill_the_database, of.cut_off_the_database, of.crash_the_database]
    await rage(broken, faults, title="PostgreSQL restarted, killed, crashed, cut off", rows=rows)


async def test_redis_restarted_killed_and_emptied(broken, servers, rows):
    faults = [servers.restart_redis, servers.kill_redis, of.empty_redis]
    await rage(broken, faults, title="Valkey restarted, killed, emptied", rows=rows)


@pytest.fixture
async def failing_tls(servers, tmp_path, certificate):
    smtp = f"smtp+starttls://127.0.0.1:{{port}}?timeout=2&ca_file={certificate[0]}"
    async with world(
        database_url=servers.postgres.url, redis_url=servers.valkey.url, directory=tmp_path, seed=SEED, workers=3,
        smtp_connections=CONNECTIONS, senders=SENDERS, script=FAILING_TLS, smtp=smtp, certificate=certificate,
    ) as found:  # fmt: skip
        yield found


async def test_kills_beside_failing_tls(failing_tls, rows):
    await rage(failing_tls, [of.kill], title="kill -9 beside a server whose STARTTLS fails", rows=rows)


@pytest.fixture
async def with_faked_clock(servers, tmp_path):
    try:
        find_program("faketime", package="faketime")
    except BenchError as error:
        pytest.fail(str(error))
    [library, *_] = await asyncio.to_thread(lambda: list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")))
    environment = {
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"), "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    (tmp_path / "clock").write_text("+0", encoding="ascii")
    async with world(
        database_url=servers.postgres.url, redis_url=servers.valkey.url, directory=tmp_path, seed=SEED, workers=3,
        smtp_connections=CONNECTIONS, senders=SENDERS, script=PACE, environment=environment,
    ) as found:  # fmt: skip
        yield found


async def test_jumping_clocks(with_faked_clock, rows):
    faults = [of.jump_the_clock, of.jump_the_clock, of.kill]
    await rage(with_faked_clock, faults, title="clocks that jump, beside kill -9", rows=rows)


async def test_full_disk(broken, rows):
    await rage(broken, [of.fill_the_disk, of.fill_the_disk, of.kill], title="disk full for the journal", rows=rows)


@LYING
async def test_everything_at_once(broken, servers, rows):
    faults = [
        of.kill, of.kill, of.end, of.empty_redis, of.cut_off_the_database, of.crash_the_database,
        servers.restart_the_database, servers.kill_redis, of.kill_the_mail_server,
    ]  # fmt: skip
    await rage(broken, faults, title="everything at once", rows=rows)


@pytest.mark.parametrize(
    "broken", [{"api_process": True, "rate_limit_per_minute": 100_000}], indirect=True, ids=["api"]
)
async def test_killed_api(broken, rows):
    """Whoever asks again with the same key gets what the killed request had done, or it is done now: once."""
    began, total = time.monotonic(), rows.setdefault("kill -9 of the API while mailings are made and sent", Counter())
    number = 0

    async def kill_again_and_again() -> None:
        while True:
            await asyncio.sleep(broken.dice.uniform(0.02, 3.0))  # it takes a second to start
            broken.kill_api()

    while broken.faults.total() < FAULTS:
        before = broken.ledger()
        killer = asyncio.create_task(kill_again_and_again())
        try:
            mailing_id = await broken.start_mailing(
                (f"<a{number}-{n}@example.com>" for n in range(300)), name=f"Mailing {number}"
            )
        finally:
            killer.cancel()
        await broken.finished(mailing_id)
        account = await broken.account(mailing_id, before=before)
        total.update(tell(account))
        note(total, broken, seconds=time.monotonic() - began)
        account.check()
        number += 1
    [seen] = await broken.ask("SELECT count(*) AS made FROM mailing")
    assert seen["made"] == number


async def test_process_that_was_stopped_past_its_lease(broken, rows):
    """It wakes up after another has taken its chunks over, and must not start anything that is not its own."""
    began, total = time.monotonic(), rows.setdefault("SIGSTOP past the lease, takeover, SIGCONT", Counter())
    mailing_id = await broken.start_mailing(f"<s{n}@example.com>" for n in range(RECIPIENTS))
    await broken.taken_more(300)
    [held] = await broken.ask("SELECT owner FROM chunk WHERE owner IS NOT NULL LIMIT 1")
    stopped = next(worker for worker in broken.workers if f"-{worker.pid}-" in held["owner"])
    stopped.send_signal(signal.SIGSTOP)
    broken.faults["SIGSTOP"] += 1
    gone = "SELECT NOT EXISTS (SELECT FROM chunk WHERE owner = $1)"
    await broken.until(lambda: broken.sql.fetchval(gone, held["owner"]))
    stopped.send_signal(signal.SIGCONT)
    await broken.finished(mailing_id)
    account = await broken.account(mailing_id)
    total.update(tell(account))
    note(total, broken, seconds=time.monotonic() - began)
    account.check()
    assert account.statuses["unconfirmed"] <= 256 * SENDERS
