"""What can be wrong with content."""

from app.platform.errors import Invalid, NotFound


class TemplateNotFound(NotFound):
    """There is no such template."""

    slug, title = "template-not-found", "No such template"


class InvalidContent(Invalid):
    """Merge tags are unknown or broken; each error names its line and column (D11)."""

    slug, title = "invalid-content", "The content has errors"
