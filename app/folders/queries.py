"""SQL of folders."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.folders.errors import FolderNameTaken
from app.folders.models import Folder, FolderKind
from app.platform.db import run

_LOCK = 0x666F6C64  # "fold": its advisory locks have the kind's place as their second number

TABLES: Mapping[FolderKind, str] = {
    FolderKind.MAILING: "mailing",
    FolderKind.TEMPLATE: "template",
    FolderKind.LINK: "library_link",
    FolderKind.SELECTION: "selection",
    FolderKind.PROJECT: "project",
}
"""Where the things of a kind are; their slices lie above. Each has an index on folder_id."""

# They have entity tags, which a move must change.
_VERSIONED = (FolderKind.MAILING, FolderKind.TEMPLATE, FolderKind.LINK)


async def take_turn(session: AsyncSession, *, kind: FolderKind) -> None:
    """Wait until no other transaction changes the tree of this kind.

    Two moves at once, each of them fine, could make a cycle together; a folder could be filled while it is deleted.
    """
    place = list(FolderKind).index(kind)
    await run(session, text("SELECT pg_advisory_xact_lock(:lock, :place)"), lock=_LOCK, place=place)


async def find_folder(session: AsyncSession, *, folder_id: int) -> Folder | None:
    """Return a folder, or None."""
    return await session.get(Folder, folder_id, populate_existing=True)


async def lock_folder(session: AsyncSession, *, folder_id: int) -> None:
    """Wait for those who are putting things into a folder, and keep others from it until the commit."""
    await session.exec(select(Folder.id).where(Folder.id == folder_id).with_for_update())


async def kind_of(session: AsyncSession, *, folder_id: int) -> FolderKind | None:
    """Return a folder's kind, or None; it cannot be deleted until the commit, so that things can be put into it."""
    query = select(Folder.kind).where(Folder.id == folder_id).with_for_update(read=True, key_share=True)
    found = (await session.exec(query)).one_or_none()
    return None if found is None else FolderKind(found)


async def save(session: AsyncSession, folder: Folder) -> None:
    """Write a new or changed folder; raises FolderNameTaken."""
    name = folder.name
    session.add(folder)
    try:
        await session.flush()
    except IntegrityError as error:
        if "folder_name_key" not in str(error.orig):
            raise
        raise FolderNameTaken(f"There is a folder {name!r} in the same place; choose another one.") from error
    await session.refresh(folder)


async def page_of_folders(
    session: AsyncSession,
    *,
    kinds: Sequence[FolderKind],
    parent_id: int | None,
    top: bool,
    after: int | None,
    limit: int,
) -> Sequence[Folder]:
    """Return at most `limit + 1` folders with ids over `after`: those in a folder, those at the top, or all."""
    query = select(Folder).where(col(Folder.kind).in_(kinds)).order_by(col(Folder.id)).limit(limit + 1)
    if parent_id is not None:
        query = query.where(Folder.parent_id == parent_id)
    if top:
        query = query.where(col(Folder.parent_id).is_(None))
    if after is not None:
        query = query.where(col(Folder.id) > after)
    return (await session.exec(query)).all()


async def folders_of(session: AsyncSession, *, kind: FolderKind, most: int) -> Sequence[Any]:
    """Return (id, name, parent_id) of every folder of a kind by name, at most so many; walks folder_name_key."""
    query = select(Folder.id, Folder.name, Folder.parent_id).where(Folder.kind == kind)
    return (await session.exec(query.order_by(sa.func.lower(Folder.name), col(Folder.id)).limit(most))).all()


_COUNT = text("""
    -- How many folders of a kind there are, counted no further than asked.
    SELECT count(*) AS folders FROM (SELECT FROM folder WHERE kind = :kind LIMIT :most) AS counted
""").bindparams(sa.bindparam("kind", type_=sa.Text))


async def count_folders(session: AsyncSession, *, kind: FolderKind, most: int) -> int:
    """Return how many folders of a kind there are, at most so many."""
    return int((await run(session, _COUNT, kind=kind.value, most=most)).one().folders)


_ABOVE = text("""
    -- The folder and those it lies in, itself first: by primary keys, one row for each. UNION ends a cycle, which
    -- take_turn rules out.
    WITH RECURSIVE above AS (
        SELECT id, parent_id FROM folder WHERE id = :folder_id
        UNION
        SELECT f.id, f.parent_id FROM folder AS f JOIN above AS a ON f.id = a.parent_id
    )
    SELECT id FROM above
""").bindparams(sa.bindparam("folder_id", type_=sa.BigInteger))


async def ids_above(session: AsyncSession, *, folder_id: int) -> set[int]:
    """Return the ids of a folder and of every folder it lies in; empty when there is none."""
    return {row.id for row in await run(session, _ABOVE, folder_id=folder_id)}


_HEIGHT = text("""
    -- How many levels a folder and all that lies in it have; 1 when it is empty. Needs folder_parent_id_idx.
    WITH RECURSIVE below AS (
        SELECT id, 1 AS level FROM folder WHERE id = :folder_id
        UNION ALL
        SELECT f.id, b.level + 1 FROM folder AS f JOIN below AS b ON f.parent_id = b.id
    )
    SELECT max(level) AS height FROM below
""").bindparams(sa.bindparam("folder_id", type_=sa.BigInteger))


async def height_of(session: AsyncSession, *, folder_id: int) -> int:
    """Return how many levels of folders begin with this one, itself counted."""
    return int((await run(session, _HEIGHT, folder_id=folder_id)).one().height)


def _count_contents(table: str | None) -> sa.TextClause:
    things = f"(SELECT count(*) FROM {table} WHERE folder_id = :folder_id)" if table else "0"
    return text(f"""
        -- What is right in a folder: by folder_parent_id_idx and the index on the things' folder_id.
        SELECT (SELECT count(*) FROM folder WHERE parent_id = :folder_id) AS folders, {things} AS things
    """).bindparams(sa.bindparam("folder_id", type_=sa.BigInteger))


_CONTENTS = {kind: _count_contents(TABLES.get(kind)) for kind in FolderKind}


async def count_contents(session: AsyncSession, *, folder: Folder) -> tuple[int, int]:
    """Return how many folders and how many things are right in a folder."""
    row = (await run(session, _CONTENTS[folder.kind], folder_id=folder.id)).one()
    return row.folders, row.things


_STEP_ASIDE = text("UPDATE folder SET name = chr(1) || id WHERE id = :folder_id")  # no other folder can be named so
_MOVE_FOLDERS = text("UPDATE folder SET parent_id = :target WHERE parent_id = :folder_id")
_MOVE_THINGS = {
    kind: text(
        f"UPDATE {table} SET folder_id = :target{', version = version + 1' if kind in _VERSIONED else ''} "
        "WHERE folder_id = :folder_id"
    )
    for kind, table in TABLES.items()
}


async def move_contents(session: AsyncSession, *, folder: Folder) -> None:
    """Move what is right in a folder that is about to go to where it is; raises FolderNameTaken.

    It gives up its name, which one of the folders in it may have.
    """
    name = folder.name
    await run(session, _STEP_ASIDE, folder_id=folder.id)
    values = {"folder_id": folder.id, "target": folder.parent_id}
    if folder.kind in _MOVE_THINGS:
        await run(session, _MOVE_THINGS[folder.kind], **values)
    try:
        await run(session, _MOVE_FOLDERS, **values)
    except IntegrityError as error:
        if "folder_name_key" not in str(error.orig):
            raise
        detail = f"A folder in {name!r} has the name of one beside {name!r}; rename one of them first."
        raise FolderNameTaken(detail) from error
