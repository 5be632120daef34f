"""What can be wrong with folders."""

from app.platform.errors import Conflict, NotFound


class FolderNotFound(NotFound):
    """There is no such folder."""

    slug, title = "folder-not-found", "No such folder"


class FolderNameTaken(Conflict):
    """Another folder beside it has the name, whatever its case."""

    slug, title = "folder-name-taken", "A folder beside it has this name"


class FolderNotEmpty(Conflict):
    """Something is in the folder; the counts are named."""

    slug, title = "folder-not-empty", "The folder is not empty"


class FolderMoveRefused(Conflict):
    """The folder would lie in itself, or deeper than folders go."""

    slug, title = "folder-move-refused", "The folder cannot go there"
