"""What can go wrong with limits of destinations."""

from app.platform.errors import NotFound


class DestinationLimitNotFound(NotFound):
    """The destination has no limit of its own."""

    slug, title = "destination-limit-not-found", "No such limit"


class DestinationNotSlowed(NotFound):
    """The destination is not slowed down."""

    slug, title = "destination-not-slowed", "The destination is not slowed down"
