"""What can be wrong with links of the library."""

from app.platform.errors import Conflict, Invalid, NotFound


class LibraryLinkNotFound(NotFound):
    """There is no such link in the library."""

    slug, title = "library-link-not-found", "No such link in the library"


class InvalidTarget(Invalid):
    """The target is no address that a link can lead to; the error says why."""

    slug, title = "invalid-target", "A link cannot lead there"


class LibraryLinkInUse(Conflict):
    """Drafts or templates refer to the link; they are named."""

    slug, title = "library-link-in-use", "The link is referred to"
