"""SQL of attachments."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.mailings.models import Attachment
from app.platform.db import run


async def list_attachments(session: AsyncSession, *, mailing_id: int) -> Sequence[Attachment]:
    """Return a mailing's attachments in the order they came, which is the order they are sent in."""
    query = select(Attachment).where(Attachment.mailing_id == mailing_id).order_by(col(Attachment.id))
    return (await session.exec(query)).all()


async def find_attachment(session: AsyncSession, *, mailing_id: int, attachment_id: int) -> Attachment | None:
    """Return an attachment of a mailing, or None."""
    query = select(Attachment).where(Attachment.id == attachment_id, Attachment.mailing_id == mailing_id)
    return (await session.exec(query)).one_or_none()


_COPY = text("""
    -- Gives a mailing the attachments of another one. Only rows: the files are shared.
    INSERT INTO attachment (mailing_id, file_id, name, content_type, size, content_id)
    SELECT :target_id, file_id, name, content_type, size, content_id
    FROM attachment WHERE mailing_id = :source_id ORDER BY id
""")

_TAKE_AWAY = text("DELETE FROM attachment WHERE mailing_id = :mailing_id RETURNING file_id")

# Two statements: whoever waited for the lock looks with a snapshot of its own, and sees what the other one did. So the
# last of two mailings that let go of a file at once deletes it, and a copy that is made meanwhile keeps it.
_LOCK_FILES = text("SELECT id FROM stored_file WHERE id = ANY(:ids) ORDER BY id FOR UPDATE").bindparams(
    sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger))
)
_DELETE_UNUSED = text("""
    -- Deletes files that no attachment refers to any more, with their pieces. Needs attachment_file_id_idx.
    DELETE FROM stored_file AS f
    WHERE id = ANY(:ids) AND NOT EXISTS (SELECT FROM attachment WHERE file_id = f.id)
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))


async def copy_attachments(session: AsyncSession, *, source_id: int, target_id: int) -> None:
    """Give a mailing the attachments of another one."""
    await run(session, _COPY, source_id=source_id, target_id=target_id)


async def take_away_attachments(session: AsyncSession, *, mailing_id: int) -> None:
    """Delete a mailing's attachments, and the files that no other mailing shares."""
    rows = await run(session, _TAKE_AWAY, mailing_id=mailing_id)
    await delete_unused(session, file_ids=[row.file_id for row in rows])


async def delete_unused(session: AsyncSession, *, file_ids: Sequence[int]) -> None:
    """Delete those of an attachment's files that no attachment refers to any more."""
    if file_ids:
        await run(session, _LOCK_FILES, ids=file_ids)
        await run(session, _DELETE_UNUSED, ids=file_ids)
