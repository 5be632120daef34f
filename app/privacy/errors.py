"""What can go wrong with a data subject's request."""

from app.platform.errors import NotFound


class PersonUnknown(NotFound):
    """Nothing is known of this person: never was, or not any more."""

    slug, title = "person-unknown", "Nothing known of this person"
