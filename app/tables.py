"""Every table of the service, so that migrations and the process that starts know them all."""

from app.actions import models as actions
from app.audience import models as audience
from app.bounces import models as bounces
from app.consent import models as consent
from app.contacts import models as contacts
from app.content import models as content
from app.delivery import account_models as accounts
from app.delivery import models as delivery
from app.delivery import pace_models as paces
from app.domains import models as domains
from app.folders import models as folders
from app.letterhead import models as letterhead
from app.links import models as links
from app.mailings import models as mailings
from app.pages import models as pages
from app.platform import audit, auth, files, idempotency, operations, outbox
from app.privacy import models as privacy
from app.recipients import models as recipients
from app.tracking import models as tracking
from app.webhooks import models as webhooks

__all__ = [
    "accounts", "actions", "audience", "audit", "auth", "bounces", "consent", "contacts", "content", "delivery",
    "domains", "files", "folders", "idempotency", "letterhead", "links", "mailings", "operations", "outbox",
    "paces", "pages", "privacy", "recipients", "tracking", "webhooks",
]  # fmt: skip
