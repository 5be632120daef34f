"""Templates, checked when they are saved."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.extra_fields import merge_tags
from app.content import queries
from app.content.errors import InvalidContent, TemplateNotFound
from app.content.merge_tags import MergeTagError, parse
from app.content.models import Template
from app.folders.models import FolderKind
from app.folders.service import check_folder
from app.platform.clock import now
from app.platform.errors import InvalidField

MAX_REPORTED = 100  # errors; a person mends the first ones first


_EXTRA = ".extra."  # in content without it no tag of an extra field can be, and nothing needs to be looked up


async def check_content(session: AsyncSession, *, subject: str, html: str = "", text: str | None = None) -> None:
    """Raise InvalidContent with line and column of every unknown or broken merge tag (D11).

    Tags of extra fields are known when the field is declared.
    """
    named = any(_EXTRA in content for content in (subject, html, text or ""))
    extra_tags = (await merge_tags(session)).keys() if named else ()
    found: list[InvalidField] = []
    for where, content in (("subject", subject), ("html", html), ("text", text or "")):
        try:
            parse(content, where=where, html=where == "html", extra_tags=extra_tags)
        except MergeTagError as error:
            found.extend(
                InvalidField(pointer=f"#/{where}", detail=f"Line {fault.line}, column {fault.column}: {fault.message}")
                for fault in error.faults
            )
    if found:
        raise InvalidContent(f"{len(found)} merge tag(s) are wrong.", errors=found[:MAX_REPORTED])


async def create_template(session: AsyncSession, *, fields: dict[str, Any]) -> Template:
    """Add a template; raises InvalidContent, and Invalid for a folder that is none for templates."""
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.TEMPLATE)
    template = Template(**fields)
    await check_content(session, subject=template.subject, html=template.html, text=template.text)
    session.add(template)
    await session.flush()
    await session.refresh(template)
    return template


async def read_template(session: AsyncSession, *, template_id: int) -> Template:
    """Return a template; raises TemplateNotFound."""
    template = await queries.find_template(session, template_id=template_id)
    if template is None:
        raise TemplateNotFound(f"There is no template {template_id}.")
    return template


async def change_template(session: AsyncSession, *, template: Template, fields: dict[str, Any]) -> Template:
    """Change a template; raises InvalidContent, and Invalid for a folder that is none for templates."""
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.TEMPLATE)
    template.sqlmodel_update(fields)
    await check_content(session, subject=template.subject, html=template.html, text=template.text)
    template.version += 1
    template.updated_at = now()
    await session.flush()
    return template


async def delete_template(session: AsyncSession, *, template_id: int) -> None:
    """Delete a template; mailings made from it keep their content."""
    await session.delete(await read_template(session, template_id=template_id))
