"""`/v1/folders`."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query

from app.folders import queries, service
from app.folders.errors import FolderMoveRefused, FolderNameTaken, FolderNotEmpty, FolderNotFound
from app.folders.models import Folder, FolderKind
from app.folders.schemas import Contents, FolderIn, FolderOut, FolderPatch, FolderTree, Key
from app.platform.auth import AnyCaller, Caller, Scope
from app.platform.errors import Forbidden, Invalid, declare
from app.platform.http import Session, router
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/folders", tag="folders")

_READ: Mapping[FolderKind, Scope] = {
    kind: Scope.CONTACTS_READ if kind in (FolderKind.SELECTION, FolderKind.PROJECT) else Scope.MAILINGS_READ
    for kind in FolderKind
}
_WRITE = {
    kind: Scope.CONTACTS_WRITE if scope is Scope.CONTACTS_READ else Scope.MAILINGS_WRITE
    for kind, scope in _READ.items()
}

Parent = Annotated[Key | None, Query(description="Only folders right in this one")]
Top = Annotated[bool, Query(description="Only folders at the top of their kind")]
WhatIsIn = Annotated[
    Contents,
    Query(description="`refuse`: delete it only when it is empty; `move_up`: what is in it moves to where it was"),
]


def show(folder: Folder) -> FolderOut:
    """Return a folder as the API shows it."""
    return FolderOut(**folder.model_dump())


def allow(caller: Caller, kind: FolderKind, scopes: Mapping[FolderKind, Scope]) -> None:
    """Raise Forbidden unless the key may do this with what the folders are for."""
    if not caller.may(scopes[kind]):
        raise Forbidden(f"Folders for {kind.value}s need the scope {scopes[kind].value}, which this key lacks.")


@routes.post(
    "", operation_id="create_folder", status_code=201, responses=declare(FolderNameTaken, FolderMoveRefused),
    summary="Create a folder",
)  # fmt: skip
async def create_folder(caller: AnyCaller, session: Session, body: FolderIn) -> FolderOut:
    """Add a folder for one kind of things, at the top or in another folder of the kind.

    Folders beside each other have different names, whatever their case. The key needs the scope to write what the
    folder is for: mailings for mailings, templates, links and forms; contacts for selections and projects.
    """
    allow(caller, body.kind, _WRITE)
    return show(await service.create_folder(session, kind=body.kind, name=body.name, parent_id=body.parent_id))


@routes.get("", operation_id="list_folders", responses=declare(), summary="List folders")
async def list_folders(
    caller: AnyCaller, session: Session, kind: FolderKind | None = None, parent_id: Parent = None,
    top: Top = False, limit: Limit = 50, cursor: Cursor = None,  # noqa: FBT002 - a query parameter
) -> Page[FolderOut]:  # fmt: skip
    """List folders, oldest first: of one kind, in one folder, or at the top.

    Without a kind, those that the key may read are listed.
    """
    if top and parent_id is not None:
        raise Invalid.field("query:top", "A folder at the top is in no other one; send either top or parent_id.")
    if kind is not None:
        allow(caller, kind, _READ)
    kinds = [each for each in FolderKind if caller.may(_READ[each]) and kind in (None, each)]
    rows = await queries.page_of_folders(
        session, kinds=kinds, parent_id=parent_id, top=top, after=read_cursor(cursor), limit=limit
    )
    return Page[FolderOut](**page_of(rows, limit=limit, show=show))


@routes.get("/tree", operation_id="get_folder_tree", responses=declare(), summary="Get the tree of a kind")
async def get_tree(caller: AnyCaller, session: Session, kind: FolderKind) -> FolderTree:
    """Return every folder of a kind, each in the one it lies in, by name: one answer for a navigation pane."""
    allow(caller, kind, _READ)
    return await service.read_tree(session, kind=kind)


@routes.get("/{folder_id}", operation_id="get_folder", responses=declare(FolderNotFound), summary="Get a folder")
async def get_folder(caller: AnyCaller, session: Session, folder_id: int) -> FolderOut:
    """Return one folder; what is in it is found with `folder_id` on the list of what it is for."""
    folder = await service.read_folder(session, folder_id=folder_id)
    allow(caller, folder.kind, _READ)
    return show(folder)


@routes.patch(
    "/{folder_id}", operation_id="update_folder",
    responses=declare(FolderNotFound, FolderNameTaken, FolderMoveRefused), summary="Rename or move a folder",
)  # fmt: skip
async def update_folder(caller: AnyCaller, session: Session, folder_id: int, body: FolderPatch) -> FolderOut:
    """Change the fields that are sent; with `parent_id` the folder moves, with all that is in it.

    It cannot move into itself or what lies in it, into a folder of another kind, or deeper than 10 levels.
    """
    folder = await service.read_folder(session, folder_id=folder_id)
    allow(caller, folder.kind, _WRITE)
    return show(await service.change_folder(session, folder=folder, fields=body.model_dump(exclude_unset=True)))


@routes.delete(
    "/{folder_id}", operation_id="delete_folder", status_code=204,
    responses=declare(FolderNotFound, FolderNotEmpty, FolderNameTaken), summary="Delete a folder",
)  # fmt: skip
async def delete_folder(
    caller: AnyCaller, session: Session, folder_id: int, contents: WhatIsIn = Contents.REFUSE
) -> None:
    """Delete an empty folder. One that is not empty is refused with the counts, or emptied into where it was.

    Nothing that was in the folder is ever deleted with it.
    """
    folder = await service.read_folder(session, folder_id=folder_id)
    allow(caller, folder.kind, _WRITE)
    await service.delete_folder(session, folder=folder, contents=contents)
