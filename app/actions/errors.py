"""What can go wrong with link actions, their runs and what they make."""

from app.platform.errors import Conflict, Invalid, NotFound


class ActionNotFound(NotFound):
    """The link has no such action."""

    slug, title = "action-not-found", "No such action"


class InvalidAction(Invalid):
    """The action's settings are wrong; each error names its field."""

    slug, title = "invalid-action", "Invalid action"


class SecondAnswer(Conflict):
    """A link can answer in one way only: one response, and one script that may redirect."""

    slug, title = "second-answer", "The link answers already"


class TooManyActions(Conflict):
    """The link has as many actions as it may have."""

    slug, title = "too-many-actions", "Too many actions"


class RunNotFound(NotFound):
    """There is no such run."""

    slug, title = "action-run-not-found", "No such run"


class RunNotRepeatable(Conflict):
    """The run is done, or still to come."""

    slug, title = "action-run-not-repeatable", "Nothing to repeat"


class ScriptNotFound(NotFound):
    """There is no such script."""

    slug, title = "script-not-found", "No such script"


class ScriptInUse(Conflict):
    """Actions call the script."""

    slug, title = "script-in-use", "Script in use"


class FollowUpNotFound(NotFound):
    """There is no such follow-up."""

    slug, title = "follow-up-not-found", "No such follow-up"


class RequestNotFound(NotFound):
    """There is no such request."""

    slug, title = "request-not-found", "No such request"


class TakenOver(Conflict):
    """It was taken over before, under another reference."""

    slug, title = "taken-over", "Taken over before"
