"""What can go wrong with sending accounts."""

from app.platform.errors import Conflict, NotFound


class AccountNotFound(NotFound):
    """There is no such sending account."""

    slug, title = "sending-account-not-found", "No such sending account"


class AccountNameTaken(Conflict):
    """Another sending account has the name."""

    slug, title = "sending-account-name-taken", "The name is taken"


class AccountInUse(Conflict):
    """Mailings that are not over name the account."""

    slug, title = "sending-account-in-use", "The sending account is in use"
