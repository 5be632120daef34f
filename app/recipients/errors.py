"""What can be wrong with a recipient list."""

from app.platform.errors import Conflict, NotFound


class MailingNotFound(NotFound):
    """There is no such mailing."""

    slug, title = "mailing-not-found", "No such mailing"


class RecipientNotFound(NotFound):
    """There is no such recipient on this mailing's list."""

    slug, title = "recipient-not-found", "No such recipient"


class ExportNotFound(NotFound):
    """There is no such file: it is not written yet, or its time is over."""

    slug, title = "export-not-found", "No such export"


class SourceNotFound(NotFound):
    """There is no such source on this mailing."""

    slug, title = "source-not-found", "No such source"


class AssociatedSource(Conflict):
    """The source is the mailing's associated selection or project; its setup says so (D19)."""

    slug, title = "associated-source", "The source belongs to the setup"
