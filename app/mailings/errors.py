"""What can be wrong with a mailing."""

from app.platform.errors import Conflict, Invalid


class IllegalTransition(Conflict):
    """The verb does not fit the mailing's state; both states are named (D28)."""

    slug, title = "illegal-transition", "Not possible in this state"


class NotEditable(Conflict):
    """The mailing is no draft any more."""

    slug, title = "not-editable", "Only drafts can be changed"


class NotReady(Invalid):
    """The mailing is incomplete; each problem is named (D26)."""

    slug, title = "not-ready", "The mailing is incomplete"


class BlockedTestAddress(Invalid):
    """A test is to go to an address that nothing may go to; each error names its place."""

    slug, title = "blocked-test-address", "An address is blocked"
