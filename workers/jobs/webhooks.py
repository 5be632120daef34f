"""Delivering events to webhooks: posted without holding a connection, eight at a time."""

import asyncio
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.outbox import Job, enqueue
from app.webhooks import queries, webhook_queries
from app.webhooks.models import Webhook
from app.webhooks.posting import post
from app.webhooks.webhooks import message_of, secret_for, store_answer
from workers.context import Context, JobRun

AT_ONCE = 8
TURN = 40  # batches; then other jobs have their turn, and the watch asks again


async def plan_deliveries(session: AsyncSession) -> None:
    """Make deliveries of new events and see that somebody delivers what is due; costs one look without webhooks."""
    if not await webhook_queries.any_enabled(session):
        return
    upto, _ = await queries.number_events(session)
    await webhook_queries.fan_out(session, upto=upto)
    for webhook_id in await webhook_queries.due_webhooks(session):
        await enqueue(session, Job.WEBHOOK_DELIVER, dedup=f"webhook:{webhook_id}", webhook=webhook_id)


async def deliver(context: Context, run: JobRun) -> None:
    """Deliver what is due of a webhook, oldest first."""
    webhook_id = run.args["webhook"]
    for _ in range(TURN):
        async with context.database.begin() as session:
            webhook = await webhook_queries.find_enabled(session, webhook_id=webhook_id)
            due = await webhook_queries.claim(session, webhook_id=webhook_id, most=AT_ONCE) if webhook else []
        if webhook is None or not due or context.stopping.is_set():
            return
        secret = secret_for(webhook, context.tokens)
        await asyncio.gather(*(_deliver_one(context, webhook, row, secret=secret) for row in due))


async def _deliver_one(context: Context, webhook: Webhook, row: Any, *, secret: str) -> None:
    message = message_of(row, secret=secret)
    answer = await post(
        webhook.url, body=message.body, headers=message.headers,
        allow_private=context.settings.webhook_private_addresses,
    )  # fmt: skip
    async with context.database.begin() as session:
        await store_answer(
            session, webhook_id=webhook.id, delivery_id=row.id, attempts=row.attempts, answer=answer
        )  # fmt: skip
