"""What can be wrong with selections and imports."""

from collections.abc import Sequence

from app.platform.errors import Conflict, Invalid, NotFound, UnsupportedMedia


class SelectionNotFound(NotFound):
    """There is no such selection."""

    slug, title = "selection-not-found", "No such selection"


class ProjectNotFound(NotFound):
    """There is no such project."""

    slug, title = "project-not-found", "No such project"


class MemberNotFound(NotFound):
    """The person or company is not in the selection."""

    slug, title = "member-not-found", "Not a member"


class InvalidSelection(Invalid):
    """The selection or its criteria make no sense; each error points at the node."""

    slug, title = "invalid-selection", "Invalid selection"


class CyclicSelection(Conflict):
    """Selections refer to each other in a circle, so nobody could tell who is in them."""

    slug, title = "cyclic-selection", "Selections in a circle"

    @classmethod
    def of(cls, circle: Sequence[tuple[int, str]]) -> "CyclicSelection":
        """Return the problem that names the circle, its first selection once more at its end."""
        named = " → ".join(f"{selection_id} ({name})" for selection_id, name in circle)
        return cls(f"These selections refer to each other in a circle: {named}. Take one reference away.")


class CriteriaOutOfDate(Conflict):
    """Criteria do not fit what they refer to any more; the selection must be changed before it is used."""

    slug, title = "criteria-out-of-date", "Criteria do not fit any more"


class SelectionInUse(Conflict):
    """Criteria of other selections refer to the selection."""

    slug, title = "selection-in-use", "Selection in use"


class WrongSelectionKind(Conflict):
    """A static selection has members, a dynamic one criteria; the other one was asked for."""

    slug, title = "wrong-selection-kind", "Other kind of selection"


class ImportNotFound(NotFound):
    """There is no such import."""

    slug, title = "import-not-found", "No such import"


class WrongFileType(UnsupportedMedia):
    """The file is not a sheet that can be imported; the detail says what it looks like and what would be right."""

    slug, title = "wrong-file-type", "Not a file to import"


class EmptyFile(Invalid):
    """There is nothing in the file."""

    slug, title = "empty-file", "Empty file"


class InvalidImport(Invalid):
    """The import's fields are wrong; each error names its field."""

    slug, title = "invalid-import", "Invalid import"


class ImportNotWaiting(Conflict):
    """The import is not waiting to be started, or cannot be started as it is."""

    slug, title = "import-not-waiting", "Not waiting"


class MailingNotDraft(Conflict):
    """Recipients can be added until sending starts: to a draft, or to a scheduled mailing (D17)."""

    slug, title = "mailing-not-draft", "Not a draft"


class ImportFileGone(NotFound):
    """The import's file was deleted, so that its rows cannot be shown any more."""

    slug, title = "import-file-gone", "File deleted"


class ImportNotDone(Conflict):
    """The import is still at work; its problems are not complete."""

    slug, title = "import-not-done", "Still at work"
