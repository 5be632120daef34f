"""What can be wrong with a recipient list."""

from app.platform.errors import NotFound


class RecipientNotFound(NotFound):
    """There is no such recipient on this mailing's list."""

    slug, title = "recipient-not-found", "No such recipient"


class SourceNotFound(NotFound):
    """There is no such source on this mailing."""

    slug, title = "source-not-found", "No such source"
