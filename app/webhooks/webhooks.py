"""Webhooks: made, changed, tested; and delivering to them (D77)."""

import secrets
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import httpx2
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.clock import now
from app.platform.settings import Settings
from app.platform.tokens import TokenKey
from app.webhooks import queries, webhook_queries
from app.webhooks.errors import DeliveryNotFound, InvalidUrl, WebhookDisabled, WebhookNotFound
from app.webhooks.messages import Message, signed, written
from app.webhooks.models import DeliveryState, Webhook, WebhookDelivery
from app.webhooks.posting import Answer, is_public
from app.webhooks.signing import SALT_OCTETS, secret_of

# The specification's schedule, in seconds: ten tries over three days. The first is at once.
WAITS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
GONE = 410


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise InvalidUrl for what is no https URL, or names a private address outright."""
    try:
        target = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InvalidUrl.field("#/url", "This is no URL.") from error
    schemes = ("https", "http") if allow_private else ("https",)
    if target.scheme not in schemes or not target.host:
        raise InvalidUrl.field("#/url", f"Give a URL that starts with {' or '.join(f'{s}://' for s in schemes)}.")
    if target.userinfo or target.fragment:
        raise InvalidUrl.field("#/url", "Leave user, password and fragment out; the signature says who is calling.")
    try:
        public = is_public(target.host)
    except ValueError:  # a name: it is looked up at each delivery
        public = target.host.rstrip(".") != "localhost"
    if not public and not allow_private:
        raise InvalidUrl.field("#/url", "This address is not public; BUDSTIKKE_WEBHOOK_PRIVATE_ADDRESSES allows it.")
    try:
        ip_address(target.host)
    except ValueError:
        if "." not in target.host.strip(".") and not allow_private:
            detail = "Give the whole name of the host."
            raise InvalidUrl.field("#/url", detail) from None


def secret_for(webhook: Webhook, tokens: TokenKey) -> str:
    """Return a webhook's secret."""
    return secret_of(tokens.secret, webhook_id=webhook.id, salt=webhook.secret_salt)


async def create_webhook(session: AsyncSession, *, fields: Mapping[str, Any], settings: Settings) -> Webhook:
    """Add a webhook that is told of what happens from now on; raises InvalidUrl."""
    check_url(fields["url"], allow_private=settings.webhook_private_addresses)
    last_seq, _ = await queries.number_events(session)
    webhook = Webhook(**fields, secret_salt=secrets.token_bytes(SALT_OCTETS), last_seq=last_seq)
    session.add(webhook)
    await session.flush()
    await session.refresh(webhook)
    return webhook


async def read_webhook(session: AsyncSession, *, webhook_id: int) -> Webhook:
    """Return a webhook; raises WebhookNotFound."""
    webhook = await session.get(Webhook, webhook_id)
    if webhook is None:
        raise WebhookNotFound(f"There is no webhook {webhook_id}.")
    return webhook


async def change_webhook(
    session: AsyncSession, *, webhook_id: int, fields: Mapping[str, Any], settings: Settings
) -> Webhook:
    """Change a webhook; enabling it again leaves out what happened meanwhile. Raises WebhookNotFound, InvalidUrl."""
    webhook = await read_webhook(session, webhook_id=webhook_id)
    values = dict(fields)
    enabled = values.pop("enabled", None)
    if "url" in values:
        check_url(values["url"], allow_private=settings.webhook_private_addresses)
    webhook.sqlmodel_update(values)
    if enabled is True and webhook.disabled_at is not None:
        webhook.disabled_at, webhook.disabled_reason = None, None
        webhook.last_seq, _ = await queries.number_events(session)
    elif enabled is False and webhook.disabled_at is None:
        webhook.disabled_at, webhook.disabled_reason = now(), "asked for"
    await session.flush()
    await session.refresh(webhook)
    return webhook


async def delete_webhook(session: AsyncSession, *, webhook_id: int) -> None:
    """Delete a webhook with its log; raises WebhookNotFound."""
    await session.delete(await read_webhook(session, webhook_id=webhook_id))


async def send_test(session: AsyncSession, *, webhook_id: int) -> WebhookDelivery:
    """Plan the delivery of a test event; raises WebhookNotFound, WebhookDisabled."""
    webhook = await read_webhook(session, webhook_id=webhook_id)
    _check_enabled(webhook)
    delivery = WebhookDelivery(webhook_id=webhook.id)
    session.add(delivery)
    await session.flush()
    await session.refresh(delivery)
    return delivery


def _check_enabled(webhook: Webhook) -> None:
    if webhook.disabled_at is not None:
        raise WebhookDisabled(f"The webhook is disabled ({webhook.disabled_reason}): enable it first.")


async def replay(session: AsyncSession, *, webhook_id: int, delivery_id: int) -> WebhookDelivery:
    """Plan a delivery again, from its first try on; raises WebhookNotFound, DeliveryNotFound, WebhookDisabled."""
    _check_enabled(await read_webhook(session, webhook_id=webhook_id))
    delivery = await session.get(WebhookDelivery, delivery_id)
    if delivery is None or delivery.webhook_id != webhook_id:
        raise DeliveryNotFound(f"Webhook {webhook_id} has no delivery {delivery_id}.")
    delivery.state, delivery.attempts, delivery.due_at = DeliveryState.WAITING, 0, now()
    await session.flush()
    await session.refresh(delivery)
    return delivery


def message_of(row: Any, *, secret: str) -> Message:
    """Return what is posted for a row of `webhook_queries.claim`. Its id is the same in every try, its time is not."""
    if row.seq is None:
        message_id, kind, occurred_at, data = f"test_{row.id}", "webhook.test", row.created_at, {}
    else:
        message_id, kind, occurred_at, data = f"evt_{row.seq}", row.type, row.occurred_at, row.data
    content = {"id": row.seq, "type": kind, "timestamp": written(occurred_at), "data": data}
    return signed(content, message_id=message_id, secret=secret)


async def store_answer(
    session: AsyncSession, *, webhook_id: int, delivery_id: int, attempts: int, answer: Answer
) -> None:
    """Store what came of a try: done, tried again later, or given up after the last. 410 disables the webhook."""
    state, wait = DeliveryState.DELIVERED, 0
    if not answer.is_good:
        gone = answer.status == GONE
        last = gone or attempts > len(WAITS)
        state, wait = (DeliveryState.FAILED, 0) if last else (DeliveryState.WAITING, WAITS[attempts - 1])
        if gone:
            await webhook_queries.disable(session, webhook_id=webhook_id, reason="It answered 410 Gone.")
    await webhook_queries.store(
        session, delivery_id=delivery_id, state=state, status=answer.status, error=answer.error, wait=wait
    )
