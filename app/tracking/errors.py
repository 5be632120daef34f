"""What can be wrong with tracked links."""

from app.platform.errors import NotFound


class MailingNotFound(NotFound):
    """There is no such mailing."""

    slug, title = "mailing-not-found", "No such mailing"
