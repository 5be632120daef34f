"""Folders: each kind has a tree of its own, and what refers to a folder refers to one of its kind."""

from collections.abc import Sequence
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.folders import queries
from app.folders.errors import FolderMoveRefused, FolderNotEmpty, FolderNotFound
from app.folders.models import Folder, FolderKind
from app.folders.schemas import Contents, FolderNode, FolderTree
from app.platform.errors import Conflict, Invalid, InvalidField

MAX_DEPTH = 10  # levels; a reader finds nothing deeper, and a tree is read with one recursion
MAX_FOLDERS = 5_000  # of one kind: the tree is one answer, some 100 octets a folder


async def create_folder(session: AsyncSession, *, kind: FolderKind, name: str, parent_id: int | None) -> Folder:
    """Add a folder; raises FolderNameTaken, FolderMoveRefused, and Invalid for a parent that cannot be one."""
    await queries.take_turn(session, kind=kind)
    if await queries.count_folders(session, kind=kind, most=MAX_FOLDERS) >= MAX_FOLDERS:
        raise Conflict(f"There are {MAX_FOLDERS} folders for {kind.value}s already, which is as many as there may be.")
    if parent_id is not None:
        await _check_parent(session, kind=kind, parent_id=parent_id, height=1)
    folder = Folder(kind=kind, name=name, parent_id=parent_id)
    await queries.save(session, folder)
    return folder


async def read_folder(session: AsyncSession, *, folder_id: int) -> Folder:
    """Return a folder; raises FolderNotFound."""
    folder = await queries.find_folder(session, folder_id=folder_id)
    if folder is None:
        raise FolderNotFound(f"There is no folder {folder_id}.")
    return folder


async def change_folder(session: AsyncSession, *, folder: Folder, fields: dict[str, Any]) -> Folder:
    """Rename or move a folder, with all that is in it.

    Raises FolderNameTaken, FolderMoveRefused for a place in itself or too deep, and Invalid for a parent that is none.
    """
    folder = await _at_its_turn(session, folder)
    parent_id = fields.get("parent_id")
    if parent_id is not None and parent_id != folder.parent_id:
        if folder.id in await queries.ids_above(session, folder_id=parent_id):
            raise FolderMoveRefused(f"Folder {parent_id} is, or lies in, folder {folder.id}; it cannot hold it.")
        height = await queries.height_of(session, folder_id=folder.id)
        await _check_parent(session, kind=folder.kind, parent_id=parent_id, height=height)
    folder.sqlmodel_update(fields)
    await queries.save(session, folder)
    return folder


async def _at_its_turn(session: AsyncSession, folder: Folder) -> Folder:
    """Return a folder as it is once nobody else changes the tree; raises FolderNotFound when it is gone by then."""
    await queries.take_turn(session, kind=folder.kind)
    return await read_folder(session, folder_id=folder.id)


async def _check_parent(session: AsyncSession, *, kind: FolderKind, parent_id: int, height: int) -> None:
    if found := await misplaced(session, folder_id=parent_id, kind=kind, pointer="#/parent_id"):
        raise Invalid(found[0].detail, errors=found)
    depth = len(await queries.ids_above(session, folder_id=parent_id))
    if depth + height > MAX_DEPTH:
        raise FolderMoveRefused(
            f"It would be {depth + height} levels deep, and {MAX_DEPTH} is the most; choose a place nearer the top."
        )


async def misplaced(
    session: AsyncSession, *, folder_id: int, kind: FolderKind, pointer: str = "#/folder_id"
) -> list[InvalidField]:
    """Return what is wrong with keeping a thing of this kind in a folder; a right one stays until the commit."""
    found = await queries.kind_of(session, folder_id=folder_id)
    if found is kind:
        return []
    if found is None:
        detail = f"There is no folder {folder_id}."
    else:
        detail = f"Folder {folder_id} is for {found.value}s; one for {kind.value}s would be right."
    return [InvalidField(pointer=pointer, detail=detail)]


async def check_folder(session: AsyncSession, *, folder_id: int | None, kind: FolderKind) -> None:
    """Raise Invalid, with its pointer, for a `folder_id` that is no folder of this kind; null is right."""
    if folder_id is not None and (found := await misplaced(session, folder_id=folder_id, kind=kind)):
        raise Invalid(found[0].detail, errors=found)


async def delete_folder(session: AsyncSession, *, folder: Folder, contents: Contents) -> None:
    """Delete a folder. What is in it keeps it from that, or moves to where the folder was.

    Raises FolderNotEmpty with the counts, or FolderNameTaken where a folder that moves up has the name of another one.
    """
    folder = await _at_its_turn(session, folder)
    await queries.lock_folder(session, folder_id=folder.id)
    folders, things = await queries.count_contents(session, folder=folder)
    if folders or things:
        if contents is Contents.REFUSE:
            raise FolderNotEmpty(
                f"Folder {folder.id} has {folders} folder(s) and {things} {folder.kind.value}(s) in it. Move them, or "
                "delete it with contents=move_up, which moves them to where the folder is."
            )
        await queries.move_contents(session, folder=folder)
    await session.delete(folder)
    await session.flush()


async def read_tree(session: AsyncSession, *, kind: FolderKind) -> FolderTree:
    """Return every folder of a kind, each in the one it lies in."""
    rows = await queries.folders_of(session, kind=kind, most=MAX_FOLDERS)
    return FolderTree(kind=kind, folders=_nested(rows))


def _nested(rows: Sequence[Any]) -> list[FolderNode]:
    nodes = {row.id: FolderNode(id=row.id, name=row.name, folders=[]) for row in rows}
    top: list[FolderNode] = []
    for row in rows:
        (nodes[row.parent_id].folders if row.parent_id in nodes else top).append(nodes[row.id])
    return top
