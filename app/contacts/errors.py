"""What can be wrong with persons and companies."""

from app.platform.errors import Conflict, Invalid, NotFound


class PersonNotFound(NotFound):
    """There is no such person."""

    slug, title = "person-not-found", "No such person"


class CompanyNotFound(NotFound):
    """There is no such company."""

    slug, title = "company-not-found", "No such company"


class ExternalIdTaken(Conflict):
    """Another person or company has this external id."""

    slug, title = "external-id-taken", "External id is taken"


class InvalidContact(Invalid):
    """Fields of a person or company are wrong; each error names its field."""

    slug, title = "invalid-contact", "Invalid person or company"


class InterestNotFound(NotFound):
    """There is no such interest."""

    slug, title = "interest-not-found", "No such interest"


class InterestTaken(Conflict):
    """Another interest has this name."""

    slug, title = "interest-taken", "Interest exists already"


class UnknownInterest(Invalid):
    """A person is to have interests that do not exist; each error names its place."""

    slug, title = "unknown-interest", "Unknown interest"
