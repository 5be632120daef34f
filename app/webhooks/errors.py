"""What can go wrong with webhooks."""

from app.platform.errors import Conflict, Invalid, NotFound


class WebhookNotFound(NotFound):
    """There is no such webhook."""

    slug, title = "webhook-not-found", "No such webhook"


class DeliveryNotFound(NotFound):
    """The webhook has no such delivery."""

    slug, title = "delivery-not-found", "No such delivery"


class WebhookDisabled(Conflict):
    """Nothing is delivered to a webhook that is disabled."""

    slug, title = "webhook-disabled", "The webhook is disabled"


class InvalidUrl(Invalid):
    """Events cannot be sent there."""

    slug, title = "invalid-webhook-url", "No URL for a webhook"
