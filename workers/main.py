"""The worker process: arq runs the jobs, the relay feeds it, the watch mends what crashes left behind."""

import asyncio
import json
import signal
from typing import Any

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app import tables
from app.platform.db import JOB_IDLE_SECONDS, Database
from app.platform.memory import settle
from app.platform.outbox import Job
from app.platform.settings import Settings
from app.platform.telemetry import log, set_up_logging
from app.platform.tokens import TokenKey
from workers.context import Context, JobFunction, run_job
from workers.jobs import (
    actions,
    bounces,
    consents,
    domains,
    engagement,
    erasing,
    exports,
    extra_fields,
    fresh_links,
    imports,
    preparing,
    sending,
    unsubscribing,
    webhooks,
)
from workers.lanes import LANES, Lane
from workers.relay import relay
from workers.watch import watch

JOB_TIMEOUT = 3600  # seconds; leases in PostgreSQL recover what dies, so this bounds only what hangs
# Together within the 20 s that the supervisor leaves a child at SIGTERM. A sender needs up to 16 (delivery/sender.py).
DRAIN_SECONDS = 17.0  # how long running jobs may take to come to a good place
CLOSE_SECONDS = 2.0

JOBS: dict[str, JobFunction] = {
    Job.IMPORT_RUN: imports.run_import,
    Job.IMPORT_EXPIRE: imports.expire_import,
    Job.MAILING_PREPARE: preparing.prepare_mailing,
    Job.LIST_UPDATE: sending.update_list,
    Job.LIST_EXPORT: exports.export_list,
    Job.DISPATCH_SEND: sending.send_dispatch,
    Job.DISPATCH_SEND_FEW: sending.send_dispatch,
    Job.TEST_SEND: sending.send_test,
    Job.RECIPIENT_UNSUBSCRIBE: unsubscribing.unsubscribe_recipient,
    Job.WEBHOOK_DELIVER: webhooks.deliver,
    Job.BOUNCE_READ: bounces.read_bounce,
    Job.ADDRESS_TAKE_OUT: consents.take_out_address,
    Job.CONSENT_EXPIRE: consents.expire_consents,
    Job.ERASURE_SEARCH: erasing.search_uploads,
    Job.EXTRA_FIELD_DROP: extra_fields.drop_extra_field,
    Job.DOMAIN_CHECK: domains.check_domain,
    Job.ACTION_PERFORM: actions.perform_actions,
    Job.ACTION_CALL: actions.call_scripts,
    Job.PREFERENCES_SEND_LINK: fresh_links.send_link,
    Job.VERDICTS_RECOMPUTE: engagement.recompute_verdicts,
    Job.ENGAGEMENT_RESET: engagement.reset_engagement,
}

__all__ = ["JOBS", "run_worker", "tables"]


def redis_settings(url: str) -> RedisSettings:
    """Return arq's settings for a Redis URL, with retries: without them a Redis restart ends the worker."""
    settings = RedisSettings.from_dsn(url)
    settings.conn_retries = 30
    settings.retry_on_timeout = True
    settings.retry_on_error = [RedisConnectionError, RedisTimeoutError, ConnectionError]
    settings.retry = Retry(ExponentialBackoff(cap=2, base=0.05), retries=30)
    return settings


async def run_worker(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT, then let running ones come to a good place."""
    set_up_logging(settings.log_level)
    context = Context(
        settings=settings,
        database=Database.connect(settings, name="worker", idle_seconds=JOB_IDLE_SECONDS),
        tokens=TokenKey.from_secret(settings.secret_key.get_secret_value()),
    )
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, context.stopping.set)
    redis = redis_settings(settings.redis_url.get_secret_value())
    pool = await create_pool(redis, job_serializer=_dump, job_deserializer=_load)
    arq_workers = [_arq_worker(context, redis, lane) for lane in LANES]
    background = [
        *(asyncio.create_task(worker.async_run(), name="arq") for worker in arq_workers),
        asyncio.create_task(relay(context, pool), name="relay"),
        asyncio.create_task(watch(context), name="watch"),
    ]
    settle()
    log.info("worker.started")
    stop = asyncio.create_task(_until(context.stopping))
    done, _ = await asyncio.wait([stop, *background], return_when=asyncio.FIRST_COMPLETED)
    context.stopping.set()  # also when one of them failed: running jobs come to a good place
    for worker in arq_workers:
        worker.allow_pick_jobs = False
    running = [task for worker in arq_workers for task in worker.tasks.values()]
    if running:
        await asyncio.wait(running, timeout=DRAIN_SECONDS)
    for task in (stop, *background):
        task.cancel()
    await asyncio.gather(stop, *background, return_exceptions=True)
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            for worker in arq_workers:
                await worker.close()
            await pool.aclose()
            await context.database.close()
    except (RedisError, OSError) as error:  # it is away: nothing is lost by not saying goodbye
        log.warning("worker.not_closed", kind=type(error).__name__)
    log.info("worker.ended")
    for task in done - {stop}:
        task.result()


async def _until(stopping: asyncio.Event) -> None:
    await stopping.wait()


def _arq_worker(context: Context, redis: RedisSettings, lane: Lane) -> Worker:
    async def run(_: dict[Any, Any], job_id: int) -> None:
        await run_job(context, JOBS, job_id)

    return Worker(
        functions=[func(run, name="run")],  # type: ignore[arg-type] # arq types the context as a plain dict[Any, Any]
        redis_settings=redis,
        handle_signals=False,
        queue_name=lane.queue,
        max_jobs=lane.slots,
        job_timeout=JOB_TIMEOUT,
        keep_result=0,  # a kept result would make arq refuse the same id later
        poll_delay=lane.poll,
        max_tries=1,
        log_results=False,
        job_serializer=_dump,
        job_deserializer=_load,
    )


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _load(octets: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(octets)
    return value
