"""What can be wrong with sending domains and their keys."""

from app.platform.errors import Conflict, Invalid, NotFound


class DomainNotFound(NotFound):
    """There is no such sending domain."""

    slug, title = "sending-domain-not-found", "No such sending domain"


class DomainTaken(Conflict):
    """The domain is listed already."""

    slug, title = "sending-domain-taken", "The domain is listed already"


class InvalidDomain(Invalid):
    """It is not the name of a domain that mail can be from."""

    slug, title = "invalid-domain", "No domain name"


class KeyNotFound(NotFound):
    """The domain has no such key."""

    slug, title = "dkim-key-not-found", "No such DKIM key"


class KeyStateRefused(Conflict):
    """The key's state does not allow it."""

    slug, title = "dkim-key-state", "The key's state does not allow it"
