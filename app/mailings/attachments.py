"""Attachments of a mailing (D4, D16): files kept outside its row, which nothing ever changes and copies share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.file_types import INLINE_TYPES, WrongFileTypeError, clean_name, type_of
from app.mailings import attachment_queries as queries
from app.mailings.errors import AttachmentNotFound, AttachmentTooLarge, InvalidAttachment, WrongAttachmentType
from app.mailings.models import Attachment, Mailing
from app.mailings.states import check_editable
from app.platform.errors import InvalidField
from app.platform.files import PIECE_OCTETS, Readable, read_piece, store
from app.platform.settings import Settings

MAX_ATTACHMENTS = 50  # files of a mailing; nobody opens as many

_NOT_IN_CONTENT_ID = re.compile(r"[^A-Za-z0-9._+\-]+")


class Upload(Readable, Protocol):
    """A file that came in: readable from its beginning, again and again."""

    async def seek(self, offset: int, /) -> None:
        """Go to a place in it."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How many octets one attachment may have, and all of a mailing together."""

    each: int
    together: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits of the settings."""
        return cls(settings.attachment_limit_mb << 20, settings.attachments_limit_mb << 20)

    def over_each(self, size: int | None) -> AttachmentTooLarge:
        """Return the problem of a file of `size` octets, or of one that did not end."""
        came = "more than that came" if size is None else f"this one has {mib(size)}"
        return AttachmentTooLarge(
            f"An attachment may have {mib(self.each)} (BUDSTIKKE_ATTACHMENT_LIMIT_MB), and {came}. Link to it instead."
        )

    def over_together(self, *, size: int, there: int) -> AttachmentTooLarge:
        """Return the problem of a file for which the others leave no room."""
        return AttachmentTooLarge(
            f"The attachments of a mailing may have {mib(self.together)} together (BUDSTIKKE_ATTACHMENTS_LIMIT_MB): "
            f"there are {mib(there)} already, and this file has {mib(size)}. Remove one, or link to it instead."
        )


def mib(size: int) -> str:
    """Return a number of octets in words, exact enough to tell it from a limit next to it."""
    return f"{size >> 20} MiB" if size % (1 << 20) == 0 else f"{size} octets ({size / (1 << 20):.1f} MiB)"


async def add(
    session: AsyncSession, *, mailing: Mailing, upload: Upload, size: int, name: str, declared: str | None,
    inline: bool, content_id: str | None, limits: Limits,
) -> Attachment:  # fmt: skip
    """Attach a file of `size` octets to a draft, whose row is locked; its octets go to the database piece by piece.

    Raises NotEditable, AttachmentTooLarge, WrongAttachmentType, InvalidAttachment.
    """
    check_editable(mailing)
    others = await queries.list_attachments(session, mailing_id=mailing.id)
    there = sum(other.size for other in others)
    if not size:
        raise _invalid("file", "The file is empty.")
    if there + size > limits.together:
        raise limits.over_together(size=size, there=there)
    if len(others) >= MAX_ATTACHMENTS:
        raise _invalid("file", f"A mailing has at most {MAX_ATTACHMENTS} attachments; remove one first.")
    name = clean_name(name)
    content_type = _type_of(name, await upload.read(PIECE_OCTETS), declared=declared)
    content_id = _content_id(
        inline=inline or content_id is not None, wanted=content_id, name=name, content_type=content_type, others=others
    )
    await upload.seek(0)
    stored = await store(session, name=name, source=upload, limit=limits.each)
    attachment = Attachment(
        mailing_id=mailing.id, file_id=stored.id, name=name, content_type=content_type, size=stored.size,
        content_id=content_id,
    )  # fmt: skip
    session.add(attachment)
    await session.flush()
    await session.refresh(attachment)
    return attachment


async def read(session: AsyncSession, *, mailing_id: int, attachment_id: int) -> Attachment:
    """Return an attachment of a mailing; raises AttachmentNotFound."""
    attachment = await queries.find_attachment(session, mailing_id=mailing_id, attachment_id=attachment_id)
    if attachment is None:
        raise AttachmentNotFound(f"Mailing {mailing_id} has no attachment {attachment_id}.")
    return attachment


async def change(
    session: AsyncSession, *, mailing: Mailing, attachment: Attachment, fields: dict[str, Any]
) -> Attachment:
    """Rename an attachment of a draft, or make it an inline image or a file again. Its octets stay.

    Raises NotEditable, WrongAttachmentType, InvalidAttachment.
    """
    check_editable(mailing)
    if "name" in fields:
        name = clean_name(fields["name"])
        head = await read_piece(session, file_id=attachment.file_id, seq=0) or b""
        attachment.content_type = _type_of(name, head, declared=attachment.content_type)
        attachment.name = name
    wanted = fields.get("content_id", attachment.content_id if fields.get("inline", True) else None)
    inline = fields.get("inline", wanted is not None)
    others = [
        other
        for other in await queries.list_attachments(session, mailing_id=mailing.id)
        if other.id != attachment.id
    ]  # fmt: skip
    attachment.content_id = _content_id(
        inline=inline, wanted=wanted, name=attachment.name, content_type=attachment.content_type, others=others
    )
    await session.flush()
    return attachment


async def remove(session: AsyncSession, *, mailing: Mailing, attachment: Attachment) -> None:
    """Remove an attachment from a draft; its file goes when no copy of the mailing has it. Raises NotEditable."""
    check_editable(mailing)
    await session.delete(attachment)
    await session.flush()
    await queries.delete_unused(session, file_ids=[attachment.file_id])


def _type_of(name: str, head: bytes, *, declared: str | None) -> str:
    try:
        return type_of(name, head, declared=declared)
    except WrongFileTypeError as error:
        raise WrongAttachmentType(str(error)) from error


def _content_id(
    *, inline: bool, wanted: str | None, name: str, content_type: str, others: Sequence[Attachment]
) -> str | None:
    """Return the content id of an inline image, None for a file."""
    if not inline:
        if wanted is not None:
            raise _invalid("content_id", "Only an inline image has a content id: leave it out, or set `inline`.")
        return None
    if content_type not in INLINE_TYPES:
        raise WrongAttachmentType(
            f"Mail programs show PNG, JPEG, GIF and WebP by `cid:`; {name!r} is {content_type}. Attach it as a file."
        )
    taken = {other.content_id for other in others}
    if wanted is None:
        return _free_content_id(name, taken)
    if wanted in taken:
        raise _invalid("content_id", f"Another attachment of this mailing is {wanted!r}; take another one.")
    return wanted


def _free_content_id(name: str, taken: set[str | None]) -> str:
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix.lower()
    base = _NOT_IN_CONTENT_ID.sub("-", stem).strip("._+-")[:60] or "image"
    numbered = (f"{base}{f'-{number}' if number > 1 else ''}{suffix}" for number in range(1, MAX_ATTACHMENTS + 2))
    return next(content_id for content_id in numbered if content_id not in taken)


def _invalid(field: str, detail: str) -> InvalidAttachment:
    return InvalidAttachment(detail, errors=[InvalidField(pointer=f"#/{field}", detail=detail)])
