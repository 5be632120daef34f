"""What can be wrong with persons and companies."""

from app.platform.errors import Conflict, Invalid, NotFound


class PersonNotFound(NotFound):
    """There is no such person."""

    slug, title = "person-not-found", "No such person"


class CompanyNotFound(NotFound):
    """There is no such company."""

    slug, title = "company-not-found", "No such company"


class EmailNotFound(NotFound):
    """The person does not have this address."""

    slug, title = "email-not-found", "No such address"


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


class ExtraFieldNotFound(NotFound):
    """There is no such extra field."""

    slug, title = "extra-field-not-found", "No such extra field"


class ExtraFieldTaken(Conflict):
    """Another extra field of the same owner has this name."""

    slug, title = "extra-field-taken", "Extra field exists already"


class ExtraFieldInUse(Conflict):
    """Values are in the extra field; the detail counts them."""

    slug, title = "extra-field-in-use", "Extra field has values"


class ExtraValuesContradict(Conflict):
    """Values are in the extra field that the new kind or choices would not take; the detail counts them."""

    slug, title = "extra-values-contradict", "Values do not fit"


class InvalidExtraField(Invalid):
    """A declaration makes no sense; each error names its field."""

    slug, title = "invalid-extra-field", "Invalid extra field"
