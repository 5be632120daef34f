"""`/v1/webhooks`: where the event feed is pushed to (D77, api.md rule 10)."""

from fastapi import Request

from app.platform.auth import Admin
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.idempotency import show_once
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor
from app.webhooks import webhook_queries, webhooks
from app.webhooks.errors import DeliveryNotFound, InvalidUrl, WebhookDisabled, WebhookNotFound
from app.webhooks.models import DeliveryState, EventType, Webhook
from app.webhooks.webhook_schemas import DeliveryOut, NewWebhook, WebhookIn, WebhookOut, WebhookPatch

routes = router(prefix="/v1/webhooks", tag="events and webhooks")


def show_webhook(webhook: Webhook) -> WebhookOut:
    """Return a webhook as the API shows it."""
    types = [EventType(kind) for kind in webhook.types]
    shown = webhook.model_dump(exclude={"types", "secret_salt", "last_seq"})
    return WebhookOut(**shown, types=types, enabled=webhook.disabled_at is None)


@routes.post("", operation_id="create_webhook", status_code=201, responses=declare(InvalidUrl), summary="Add a webhook")
async def create_webhook(caller: Admin, session: Session, request: Request, body: WebhookIn) -> NewWebhook:
    """Push events to a URL from now on. The secret is shown this once.

    Each event is a POST by the Standard Webhooks specification: `webhook-id` (the same in every try), `-timestamp`,
    `-signature`. Anything but 2xx is tried again, ten times over three days; 410 disables the webhook. The URL must be
    https and lead to a public address.
    """
    settings = request.app.state.settings
    webhook = await webhooks.create_webhook(session, fields=body.model_dump(), settings=settings)
    show_once(request, "secret")
    secret = webhooks.secret_for(webhook, request.app.state.tokens)
    return NewWebhook(**show_webhook(webhook).model_dump(), secret=secret)


@routes.get("", operation_id="list_webhooks", responses=declare(), summary="List webhooks")
async def list_webhooks(caller: Admin, session: Session, limit: Limit = 50, cursor: Cursor = None) -> Page[WebhookOut]:
    """List webhooks, oldest first, with whether and why they are disabled."""
    rows = await webhook_queries.page_of_webhooks(session, after=read_cursor(cursor), limit=limit)
    return Page[WebhookOut](**page_of(rows, limit=limit, show=show_webhook))


@routes.get("/{webhook_id}", operation_id="get_webhook", responses=declare(WebhookNotFound), summary="Get a webhook")
async def get_webhook(caller: Admin, session: Session, webhook_id: int) -> WebhookOut:
    """Return one webhook. Its secret cannot be shown again."""
    return show_webhook(await webhooks.read_webhook(session, webhook_id=webhook_id))


@routes.patch(
    "/{webhook_id}", operation_id="update_webhook", responses=declare(WebhookNotFound, InvalidUrl),
    summary="Change a webhook",
)  # fmt: skip
async def update_webhook(
    caller: Admin, session: Session, request: Request, webhook_id: int, body: WebhookPatch
) -> WebhookOut:
    """Change the fields that are sent. `enabled` stops and starts it; what happened in between is left to the feed."""
    fields = body.model_dump(exclude_unset=True)
    settings = request.app.state.settings
    return show_webhook(await webhooks.change_webhook(session, webhook_id=webhook_id, fields=fields, settings=settings))


@routes.delete(
    "/{webhook_id}", operation_id="delete_webhook", status_code=204, responses=declare(WebhookNotFound),
    summary="Delete a webhook",
)  # fmt: skip
async def delete_webhook(caller: Admin, session: Session, webhook_id: int) -> None:
    """Delete a webhook with its log; what still waits is not delivered."""
    await webhooks.delete_webhook(session, webhook_id=webhook_id)


@routes.post(
    "/{webhook_id}/test", operation_id="test_webhook", status_code=202,
    responses=declare(WebhookNotFound, WebhookDisabled), summary="Send a test event",
)  # fmt: skip
async def test_webhook(caller: Admin, session: Session, webhook_id: int) -> DeliveryOut:
    """Send an event of the type `webhook.test` within seconds, signed like any other. Its delivery tells what came."""
    return DeliveryOut(**(await webhooks.send_test(session, webhook_id=webhook_id)).model_dump())


@routes.get(
    "/{webhook_id}/deliveries", operation_id="list_webhook_deliveries", responses=declare(WebhookNotFound),
    summary="List deliveries",
)  # fmt: skip
async def list_deliveries(
    caller: Admin, session: Session, webhook_id: int, state: DeliveryState | None = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeliveryOut]:  # fmt: skip
    """List what was and is to be delivered, newest first. What is over is kept for 30 days."""
    await webhooks.read_webhook(session, webhook_id=webhook_id)
    rows = await webhook_queries.page_of_deliveries(
        session, webhook_id=webhook_id, state=state, below=read_cursor(cursor), limit=limit
    )
    return Page[DeliveryOut](**page_of(rows, limit=limit, show=lambda row: DeliveryOut(**row.model_dump())))


@routes.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay", operation_id="replay_webhook_delivery", status_code=202,
    responses=declare(WebhookNotFound, DeliveryNotFound, WebhookDisabled), summary="Deliver again",
)  # fmt: skip
async def replay_delivery(caller: Admin, session: Session, webhook_id: int, delivery_id: int) -> DeliveryOut:
    """Deliver an event again, whatever came of it before, under the same `webhook-id`."""
    delivery = await webhooks.replay(session, webhook_id=webhook_id, delivery_id=delivery_id)
    return DeliveryOut(**delivery.model_dump())
