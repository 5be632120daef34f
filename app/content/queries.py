"""Reading templates."""

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.models import Template


async def find_template(session: AsyncSession, *, template_id: int) -> Template | None:
    """Return a template, or None."""
    return await session.get(Template, template_id)


async def page_of_templates(
    session: AsyncSession, *, folder_id: int | None, after: int | None, limit: int
) -> Sequence[Template]:
    """Return at most `limit + 1` templates with ids over `after`, in the order of their ids: all, or a folder's."""
    query = select(Template).order_by(col(Template.id)).limit(limit + 1)
    if folder_id is not None:
        query = query.where(Template.folder_id == folder_id)
    if after is not None:
        query = query.where(col(Template.id) > after)
    return (await session.exec(query)).all()
