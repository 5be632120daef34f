"""What can be wrong with consent, subscriptions and blocked addresses."""

from app.platform.errors import Conflict, Invalid, NotFound


class SubscriptionTypeNotFound(NotFound):
    """There is no such subscription type."""

    slug, title = "subscription-type-not-found", "No such subscription type"


class SubscriptionTypeTaken(Conflict):
    """Another subscription type has this name or external id."""

    slug, title = "subscription-type-taken", "Name or external id is taken"


class SubscriptionTypeInUse(Conflict):
    """Mailings are of this subscription type."""

    slug, title = "subscription-type-in-use", "Subscription type is in use"


class PurposeNotFound(NotFound):
    """There is no such purpose."""

    slug, title = "purpose-not-found", "No such purpose"


class PurposeTaken(Conflict):
    """Another purpose has this key."""

    slug, title = "purpose-taken", "Key is taken"


class PurposeInUse(Conflict):
    """The purpose is built in, or the ledger has lines of it."""

    slug, title = "purpose-in-use", "Purpose is in use"


class InvalidConsent(Invalid):
    """A line for the ledger is wrong: its purpose, or its times."""

    slug, title = "invalid-consent", "Invalid consent"


class InvalidSubscription(Invalid):
    """A subscription names a type that does not exist."""

    slug, title = "invalid-subscription", "Invalid subscription"


class BlockedAddressNotFound(NotFound):
    """There is no such blocked address."""

    slug, title = "blocked-address-not-found", "No such blocked address"


class AlreadyBlocked(Conflict):
    """The address is blocked."""

    slug, title = "already-blocked", "Already blocked"


class InvalidAddress(Invalid):
    """The address to block is none."""

    slug, title = "invalid-address", "Invalid address"
