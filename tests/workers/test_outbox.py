"""Jobs as rows: claimed by one, postponed, given up, offered again, and never lost with Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from arq import create_pool
from arq.connections import ArqRedis

from app.embedded.valkey import start_valkey
from app.platform.db import Database
from app.platform.operations import open_operation
from app.platform.outbox import Job, enqueue
from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from workers.context import LEASE_SECONDS, MAX_ATTEMPTS, Context, GiveUpError, JobRun, run_job
from workers.lanes import lane_of
from workers.main import redis_settings
from workers.relay import OFFER_SECONDS, offer_due, relay

JOB = Job.LIST_UPDATE  # any job will do: these tests run functions of their own
LANE = lane_of(JOB)


@pytest.fixture
async def context(fresh_database) -> AsyncIterator[Context]:
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="worker")
    yield Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET))
    await database.close()


@pytest.fixture
async def sql(fresh_database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(fresh_database)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
async def redis(valkey) -> AsyncIterator[ArqRedis]:
    pool = await create_pool(redis_settings(valkey.url))
    await pool.flushall()
    yield pool
    await pool.aclose()


async def add(context: Context, sql: asyncpg.Connection, *, dedup: str | None = None, job: Job = JOB) -> int:
    async with context.database.begin() as session:
        await enqueue(session, job, dedup=dedup, mailing=1)
    return await sql.fetchval("SELECT max(id) FROM outbox")


async def row(sql: asyncpg.Connection, job_id: int) -> asyncpg.Record | None:
    return await sql.fetchrow("SELECT *, due_at - now() AS waits FROM outbox WHERE id = $1", job_id)


async def failing(_: Context, __: JobRun) -> None:
    raise RuntimeError("the moon is in the wrong place")


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    while not await condition():  # noqa: ASYNC110 - it looks at what other processes say
        await asyncio.sleep(0.01)


async def test_one_of_many_runs_a_job(context, sql):
    runs = []

    async def job(_, run):
        runs.append(run.id)
        await asyncio.sleep(0.05)

    job_id = await add(context, sql)
    await asyncio.gather(*(run_job(context, {JOB: job}, job_id) for _ in range(8)))
    assert runs == [job_id]
    assert await row(sql, job_id) is None


async def test_job_that_ends_with_its_last_transaction_leaves_no_row(context, sql):
    async def job(context, run):
        async with context.database.begin() as session:
            await run.finish(session)
        await asyncio.sleep(0)

    job_id = await add(context, sql)
    await run_job(context, {JOB: job}, job_id)
    assert await row(sql, job_id) is None


async def test_failing_job_waits_longer_each_time_and_is_given_up_in_the_end(context, sql):
    job_id = await add(context, sql)
    waits = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await run_job(context, {JOB: failing}, job_id)
        found = await row(sql, job_id)
        assert found["attempts"] == attempt
        assert found["lease_until"] is None
        waits.append(round(found["waits"].total_seconds()))
        assert (found["failed_at"] is not None) == (attempt == MAX_ATTEMPTS)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256]
    assert found["last_error"] == "RuntimeError: the moon is in the wrong place"
    await run_job(context, {JOB: failing}, job_id)
    assert (await row(sql, job_id))["attempts"] == MAX_ATTEMPTS


async def test_job_that_cannot_succeed_is_given_up_at_once(context, sql):
    async def job(_, __):
        raise GiveUpError("there is no such thing")

    job_id = await add(context, sql)
    await run_job(context, {JOB: job}, job_id)
    assert (await row(sql, job_id))["failed_at"] is not None


async def test_operation_of_a_job_that_was_given_up_has_failed(context, sql):
    async def job(_, __):
        raise GiveUpError("there is no such thing")

    async with context.database.begin() as session:
        operation = await open_operation(session, kind="update-list")
        await enqueue(session, JOB, mailing=1, operation=operation.id)
    await run_job(context, {JOB: job}, await sql.fetchval("SELECT max(id) FROM outbox"))
    assert await sql.fetchval("SELECT state FROM operation") == "failed"


async def test_work_of_a_job_whose_last_transaction_fails_is_not_done(context, sql):
    async def job(context, run):
        async with context.database.begin() as session:
            await run.finish(session)
            raise RuntimeError

    job_id = await add(context, sql)
    await run_job(context, {JOB: job}, job_id)
    assert (await row(sql, job_id))["attempts"] == 1


async def test_job_of_a_killed_worker_is_offered_and_claimed_again(context, sql, redis):
    job_id = await add(context, sql)
    await offer_due(context, redis)
    await sql.execute("UPDATE outbox SET attempts = 1, lease_until = now() + interval '10 s'")  # claimed, then killed
    await sql.execute("UPDATE outbox SET offered_until = now() - interval '1 s'")
    await offer_due(context, redis)
    assert await redis.zcard(LANE.queue) == 1  # its lease still holds
    await sql.execute("UPDATE outbox SET lease_until = now() - interval '1 s'")
    await offer_due(context, redis)
    assert await redis.zcard(LANE.queue) == 2

    async def job(_, run):
        assert run.attempt == 2

    await run_job(context, {JOB: job}, job_id)
    assert await row(sql, job_id) is None


async def test_lease_of_a_running_job_is_renewed(context, sql, monkeypatch):
    monkeypatch.setattr("workers.context.RENEW_SECONDS", 0.05)

    async def job(_, run):
        await sql.execute("UPDATE outbox SET lease_until = now() WHERE id = $1", run.id)
        async with asyncio.timeout(5):
            while True:
                left = await sql.fetchval("SELECT lease_until - now() FROM outbox WHERE id = $1", run.id)
                if left.total_seconds() > LEASE_SECONDS - 2:
                    return
                await asyncio.sleep(0.01)

    job_id = await add(context, sql)
    await run_job(context, {JOB: job}, job_id)
    assert await row(sql, job_id) is None


async def test_emptied_redis_loses_nothing(context, sql, redis):
    for _ in range(3):
        await add(context, sql)
    await offer_due(context, redis)
    assert await redis.zcard(LANE.queue) == 3
    await redis.flushall()
    await sql.execute("UPDATE outbox SET offered_until = offered_until - $1 * interval '1 s'", OFFER_SECONDS + 1)
    await offer_due(context, redis)
    assert await redis.zcard(LANE.queue) == 3


async def test_offer_is_not_repeated_while_it_stands(context, sql, redis):
    await add(context, sql)
    await offer_due(context, redis)
    await offer_due(context, redis)
    assert await redis.zcard(LANE.queue) == 1


async def test_worker_killed_between_taking_an_offer_and_claiming_the_row_holds_nothing_up(
    context, sql, redis, monkeypatch
):
    """Arq believes for an hour that the job runs, and refuses its name for a day."""
    await add(context, sql)
    await offer_due(context, redis)
    [taken] = await redis.zrange(LANE.queue, 0, -1)
    await redis.psetex(b"arq:in-progress:" + taken, 3_600_000, b"1")
    await sql.execute("UPDATE outbox SET offered_until = NULL")
    monkeypatch.setattr("workers.relay.REPEAT_SECONDS", 0.001)
    await offer_due(context, redis)
    assert len(await redis.zrange(LANE.queue, 0, -1)) == 2


async def test_committed_job_is_offered_at_once(context, sql, redis, monkeypatch):
    monkeypatch.setattr("workers.relay.LOOK_SECONDS", 60.0)
    relaying = asyncio.create_task(relay(context, redis))
    try:
        async with asyncio.timeout(5):
            await until(lambda: sql.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
            await add(context, sql)
            await until(lambda: redis.zcard(LANE.queue))
    finally:
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)


async def test_relay_outlives_a_database_that_goes_and_comes(context, sql, redis, fresh_database):
    address, name = fresh_database.rsplit("/", 1)
    admin = await asyncpg.connect(f"{address}/postgres")
    relaying = asyncio.create_task(relay(context, redis))
    await add(context, sql)
    await sql.close()
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await asyncio.sleep(0.1)
    assert not relaying.done()
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await admin.close()
    async with asyncio.timeout(15):
        await until(lambda: redis.zcard(LANE.queue))
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)


async def test_job_with_a_key_that_waits_already_is_not_added(context, sql):
    first = await add(context, sql, dedup="list:1")
    assert await add(context, sql, dedup="list:1") == first


async def test_what_happens_while_a_job_runs_gets_a_job_of_its_own(context, sql):
    """The running job may have read the old state already."""
    added = []

    async def job(context, _):
        added.append(await add(context, sql, dedup="list:1"))

    job_id = await add(context, sql, dedup="list:1")
    await run_job(context, {JOB: job}, job_id)
    assert added != [job_id]
    assert await row(sql, added[0]) is not None


async def test_sending_job_is_not_doubled_while_it_runs(context, sql):
    added = []

    async def job(context, _):
        added.append(await add(context, sql, dedup="send:1:0", job=Job.DISPATCH_SEND))

    job_id = await add(context, sql, dedup="send:1:0", job=Job.DISPATCH_SEND)
    await run_job(context, {Job.DISPATCH_SEND: job}, job_id)
    assert added == [job_id]


async def test_key_of_a_job_that_was_given_up_is_free_again(context, sql):
    job_id = await add(context, sql, dedup="send:1:0", job=Job.DISPATCH_SEND)
    await sql.execute("UPDATE outbox SET attempts = $1", MAX_ATTEMPTS - 1)
    await run_job(context, {Job.DISPATCH_SEND: failing}, job_id)
    assert (await row(sql, job_id))["failed_at"] is not None
    assert await add(context, sql, dedup="send:1:0", job=Job.DISPATCH_SEND) != job_id


async def test_unknown_job_is_kept_for_a_worker_that_knows_it(context, sql):
    """While a new version is rolled out, an old worker may be offered a job it has never heard of."""
    job_id = await add(context, sql)
    await run_job(context, {}, job_id)
    assert (await row(sql, job_id))["attempts"] == 1
