"""The relay: hands the ids of due outbox rows to arq, the moment they are committed (architecture, idea 4).

PostgreSQL notifies it; once a second it looks by itself, for rows that became due, whose worker died, or that Redis
forgot. Any number of relays may run: rows are offered under SKIP LOCKED.
"""

import asyncio
import time
from contextlib import suppress

import asyncpg
from arq import ArqRedis
from redis.exceptions import RedisError
from sqlalchemy import text

from app.platform.db import DATABASE_AWAY, is_away, run
from app.platform.outbox import CHANNEL
from app.platform.telemetry import log
from workers.context import Context
from workers.lanes import lane_of

OFFER_SECONDS = 5  # an offer that nobody claimed by then is made again; arq refuses it while it is still queued
# A worker killed between taking an offer and claiming the row leaves arq sure that the job runs, for an hour. So each
# period has names of its own; at most one offer per period waits in Redis, and who comes second finds the row claimed.
REPEAT_SECONDS = 30
LOOK_SECONDS = 1.0
BATCH = 200

_OFFER = text("""
    -- Due rows that nobody runs and that are not on offer; uses outbox_due_idx.
    UPDATE outbox SET offered_until = now() + make_interval(secs => :seconds)
    WHERE id IN (
        SELECT id FROM outbox
        WHERE failed_at IS NULL AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
            AND (offered_until IS NULL OR offered_until < now())
        ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    RETURNING id, job, attempts
""")


async def relay(context: Context, redis: ArqRedis) -> None:
    """Offer due jobs until cancelled; a database or Redis that is away only delays them."""
    woken = asyncio.Event()
    listener = asyncio.create_task(_listen(context.settings.database_url, woken))
    try:
        while True:
            woken.clear()
            try:
                more = await offer_due(context, redis)
            except (*DATABASE_AWAY, RedisError) as error:
                unexpected = not (isinstance(error, RedisError) or is_away(error))
                log.warning("relay.waits", kind=type(error).__name__, exc_info=unexpected)
                more = False
            if not more:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), LOOK_SECONDS)
    finally:
        listener.cancel()


async def offer_due(context: Context, redis: ArqRedis) -> bool:
    """Offer one batch of due rows; return whether there may be more."""
    async with context.database.begin() as session:
        rows = (await run(session, _OFFER, seconds=OFFER_SECONDS, batch=BATCH)).all()
    period = int(time.time() // REPEAT_SECONDS)
    for row in rows:
        queue = lane_of(row.job).queue
        await redis.enqueue_job("run", row.id, _job_id=f"{row.id}:{row.attempts}:{period}", _queue_name=queue)
    return len(rows) == BATCH


async def _listen(database_url: str, woken: asyncio.Event) -> None:
    while True:
        try:
            connection = await asyncpg.connect(database_url, timeout=5)
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _, closed=closed: closed.set())
            await connection.add_listener(CHANNEL, lambda *_: woken.set())
            try:
                await closed.wait()
            finally:
                await connection.close(timeout=1)
        except DATABASE_AWAY as error:
            log.warning("relay.not_listening", kind=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
