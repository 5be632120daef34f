"""Uploaded files, kept in the database in pieces so that any worker on any host can read them (api.md rule 11)."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlmodel import Field, SQLModel, col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import Database
from app.platform.errors import TooLarge
from app.platform.tables import Row

PIECE_OCTETS = 1 << 20  # 1 MiB: few rows, small memory


class StoredFile(Row, table=True):
    """A file's name, size in octets and SHA-256."""

    __tablename__ = "stored_file"

    name: str
    size: int = Field(sa_type=sa.BigInteger)
    sha256: bytes


class StoredPiece(SQLModel, table=True):
    """One piece of a file."""

    __tablename__ = "stored_piece"

    file_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        sa_column_args=[sa.ForeignKey("stored_file.id", ondelete="CASCADE")],
    )
    seq: int = Field(primary_key=True)
    octets: bytes


class Readable(Protocol):
    """What an upload offers: its next octets, empty at the end."""

    async def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` octets."""
        ...


async def store(session: AsyncSession, *, name: str, source: Readable, limit: int) -> StoredFile:
    """Copy an upload into the database piece by piece; raises TooLarge past `limit` octets (and nothing is kept)."""
    stored = StoredFile(name=name, size=0, sha256=b"")
    session.add(stored)
    await session.flush()
    digest, seq = sha256(), 0
    while piece := await source.read(PIECE_OCTETS):
        stored.size += len(piece)
        if stored.size > limit:
            raise TooLarge(
                f"The file is over the limit of {limit >> 20} MiB; split it, or raise BUDSTIKKE_UPLOAD_LIMIT_MB."
            )
        digest.update(piece)
        row = StoredPiece(file_id=stored.id, seq=seq, octets=piece)
        session.add(row)
        await session.flush()
        session.expunge(row)  # else the session would hold every piece until the commit
        seq += 1
    stored.sha256 = digest.digest()
    await session.flush()
    return stored


async def read_piece(session: AsyncSession, *, file_id: int, seq: int) -> bytes | None:
    """Return one piece of a file, counted from 0; None behind the last."""
    query = select(StoredPiece.octets).where(StoredPiece.file_id == file_id, StoredPiece.seq == seq)
    return (await session.exec(query)).one_or_none()


async def stored_pieces(session: AsyncSession, *, file_id: int) -> AsyncIterator[bytes]:
    """Yield a file's pieces in order."""
    seq = 0
    while (octets := await read_piece(session, file_id=file_id, seq=seq)) is not None:
        yield octets
        seq += 1


async def read_slowly(database: Database, *, file_id: int) -> AsyncIterator[bytes]:
    """Yield a file's pieces, each read in a transaction of its own, so that a slow reader holds none."""
    seq = 0
    while True:
        async with database.begin() as session:
            octets = await read_piece(session, file_id=file_id, seq=seq)
        if octets is None:
            return
        yield octets
        seq += 1


async def fetch(session: AsyncSession, *, file_id: int, target: Path) -> None:
    """Write a stored file to `target`, piece by piece."""
    with target.open("wb") as out:
        async for octets in stored_pieces(session, file_id=file_id):
            out.write(octets)


async def drop(session: AsyncSession, *, file_id: int) -> None:
    """Delete a stored file with its pieces."""
    await session.exec(delete(StoredFile).where(col(StoredFile.id) == file_id))
