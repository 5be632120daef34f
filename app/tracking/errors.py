"""What can be wrong with tracked links."""

from app.platform.errors import Conflict, NotFound


class MailingNotFound(NotFound):
    """There is no such mailing."""

    slug, title = "mailing-not-found", "No such mailing"


class LinksChanged(Conflict):
    """A mailing's links are registered already, with other targets; registered links never change (D41)."""

    slug, title = "links-changed", "The mailing's links are registered already"
