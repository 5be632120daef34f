"""The link library: links that many mailings refer to (D36)."""

from collections.abc import Sequence
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.extra_fields import merge_tags
from app.content.library import target_key
from app.folders.models import FolderKind
from app.folders.service import check_folder
from app.links import queries
from app.links.errors import InvalidTarget, LibraryLinkInUse, LibraryLinkNotFound
from app.links.models import LibraryLink
from app.links.targets import TargetError, read_library_target
from app.platform.clock import now
from app.platform.errors import InvalidField

NAMED = 10  # of what refers to a link that is to be deleted; who mends those asks again


async def create_link(session: AsyncSession, *, fields: dict[str, Any]) -> LibraryLink:
    """Add a link; raises InvalidTarget, and Invalid for a folder that is none for links."""
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.LINK)
    return await _add(session, LibraryLink(**fields, target_key=await _key(session, fields["target"])))


async def copy_link(session: AsyncSession, *, link_id: int) -> LibraryLink:
    """Add a link with the target, description, folder and actions of another one."""
    source = await read_link(session, link_id=link_id)
    kept = {"id", "created_at", "updated_at", "version"}
    fields = source.model_dump(exclude=kept) | {"name": f"{source.name[:193]} (copy)"}
    copy = await _add(session, LibraryLink(**fields))
    await queries.copy_actions(session, source_id=link_id, target_id=copy.id)
    return copy


async def _add(session: AsyncSession, link: LibraryLink) -> LibraryLink:
    session.add(link)
    await session.flush()
    await session.refresh(link)
    return link


async def read_link(session: AsyncSession, *, link_id: int, lock: bool = False) -> LibraryLink:
    """Return a link of the library; raises LibraryLinkNotFound. `lock` has others who change it wait."""
    return _known(await queries.find_link(session, link_id=link_id, to_change=lock), link_id)


def _known(link: LibraryLink | None, link_id: int) -> LibraryLink:
    if link is None:
        raise LibraryLinkNotFound(f"There is no link {link_id} in the library.")
    return link


async def change_link(session: AsyncSession, *, link: LibraryLink, fields: dict[str, Any]) -> LibraryLink:
    """Change a link; what refers to it follows until it is frozen to be sent (D41).

    Raises InvalidTarget, and Invalid for a folder that is none for links.
    """
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.LINK)
    if "target" in fields:
        link.target_key = await _key(session, fields["target"])
    link.sqlmodel_update(fields)
    link.version += 1
    link.updated_at = now()
    await session.flush()
    return link


async def delete_link(session: AsyncSession, *, link_id: int) -> None:
    """Delete a link; links that were sent work on (D41). Raises LibraryLinkInUse, with what refers to it."""
    link = _known(await queries.find_link(session, link_id=link_id, to_delete=True), link_id)
    found = await queries.uses_of(session, link_id=link_id, sent=False, limit=NAMED)
    if found:
        named = ", ".join(f"{row.kind} {row.id} ({row.name})" for row in found[:NAMED])
        more = " and more" if len(found) > NAMED else ""
        raise LibraryLinkInUse(
            f"Referred to by {named}{more}: see `/v1/links/{link_id}/uses`. Take [[link.library.{link_id}]] out of "
            "their content first; what was sent is not concerned."
        )
    await session.delete(link)
    await session.flush()
    await queries.forget_figures(session, link_id=link_id)


async def page_of_uses(
    session: AsyncSession, *, link_id: int, after: Sequence[Any] | None, limit: int
) -> Sequence[Any]:
    """Return at most `limit + 1` mailings and templates that use a link; raises LibraryLinkNotFound."""
    await read_link(session, link_id=link_id)
    return await queries.uses_of(session, link_id=link_id, after=after, limit=limit)


async def _key(session: AsyncSession, target: str) -> str:
    """Return what a target is found by; raises InvalidTarget."""
    extra_tags = (await merge_tags(session)).keys() if ".extra." in target else ()
    try:
        return target_key(read_library_target(target, extra_tags=extra_tags))
    except TargetError as error:
        raise InvalidTarget(str(error), errors=[InvalidField(pointer="#/target", detail=str(error))]) from error
