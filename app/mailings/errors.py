"""What can be wrong with a mailing."""

from app.platform.errors import Conflict, Invalid, NotFound, TooLarge, UnsupportedMedia


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


class AttachmentNotFound(NotFound):
    """The mailing has no such attachment."""

    slug, title = "attachment-not-found", "No such attachment"


class AttachmentTooLarge(TooLarge):
    """The file, or all attachments together, are over a limit; the detail names limit and size."""

    slug, title = "attachment-too-large", "The attachment is too large"


class WrongAttachmentType(UnsupportedMedia):
    """The file is a program, or not what its name says, or no image that could be shown inline."""

    slug, title = "wrong-attachment-type", "This file cannot be attached"


class InvalidAttachment(Invalid):
    """The form, or a change to an attachment, is wrong; each error names its field."""

    slug, title = "invalid-attachment", "Invalid attachment"
