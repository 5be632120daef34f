"""What can be wrong with tracked links."""

from app.platform.errors import NotFound


class LinkNotFound(NotFound):
    """There is no such link in the library."""

    slug, title = "library-link-not-found", "No such link in the library"


class MailingNotFound(NotFound):
    """There is no such mailing."""

    slug, title = "mailing-not-found", "No such mailing"
