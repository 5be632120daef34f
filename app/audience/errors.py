"""What can be wrong with selections and imports."""

from app.platform.errors import Invalid, NotFound, UnsupportedMedia


class SelectionNotFound(NotFound):
    """There is no such selection."""

    slug, title = "selection-not-found", "No such selection"


class ProjectNotFound(NotFound):
    """There is no such project."""

    slug, title = "project-not-found", "No such project"


class MemberNotFound(NotFound):
    """The person or company is not in the selection."""

    slug, title = "member-not-found", "Not a member"


class ImportNotFound(NotFound):
    """There is no such import."""

    slug, title = "import-not-found", "No such import"


class BrokenUpload(Invalid):
    """The upload cannot be read as multipart/form-data with a file in it."""

    slug, title = "broken-upload", "Broken upload"


class WrongFileType(UnsupportedMedia):
    """The file is not a sheet that can be imported; the detail says what it looks like and what would be right."""

    slug, title = "wrong-file-type", "Not a file to import"


class EmptyFile(Invalid):
    """There is nothing in the file."""

    slug, title = "empty-file", "Empty file"


class InvalidImport(Invalid):
    """The import's fields are wrong; each error names its field."""

    slug, title = "invalid-import", "Invalid import"
