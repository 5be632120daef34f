"""Templates, checked when they are saved."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.extra_fields import merge_tags
from app.content import queries
from app.content.errors import InvalidContent, TemplateNotFound
from app.content.library import Library, ids_of, references
from app.content.library_queries import hold_links
from app.content.markup import scan
from app.content.merge_tags import Parsed, Span, TagFault, parse_leniently
from app.content.mjml import MjmlError, compile_mjml
from app.content.models import Template
from app.content.script_links import ScriptLink, script_links
from app.folders.models import FolderKind
from app.folders.service import check_folder
from app.platform.clock import now
from app.platform.errors import InvalidField

MAX_REPORTED = 100  # errors; a person mends the first ones first


_EXTRA = ".extra."  # in content without it no tag of an extra field can be, and nothing needs to be looked up


async def written_out(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with the HTML that their MJML compiles to (D10); HTML takes the place of MJML.

    Raises InvalidContent, with line and column where they are known. Takes a process of its own and perhaps seconds, so
    it comes before anything is read or locked.
    """
    if fields.get("mjml") is None:
        return fields | {"mjml": None} if "html" in fields else fields
    try:
        return fields | {"html": await compile_mjml(fields["mjml"])}
    except MjmlError as error:
        faults = [
            InvalidField(pointer="#/mjml", detail=_placed(fault.message, fault.line, fault.column))
            for fault in error.faults
        ]
        raise InvalidContent(f"The MJML has {len(faults)} fault(s).", errors=faults) from error


def _placed(message: str, line: int | None, column: int | None) -> str:
    return message if line is None else f"Line {line}, column {column}: {message}"


async def check_content(
    session: AsyncSession, *, subject: str, html: str = "", mjml: str | None = None, text: str | None = None
) -> None:
    """Raise InvalidContent with line and column of every unknown or broken merge tag (D11), and of script links.

    Those of MJML are placed in it, not in what it compiled to. Tags of extra fields are known when the field is
    declared, those of library links when the link exists; it cannot be deleted until the commit.
    """
    body = ("html", html) if mjml is None else ("mjml", mjml)
    texts = (("subject", subject), body, ("text", text or ""))
    named = any(_EXTRA in content for _, content in texts)
    extra_tags = (await merge_tags(session)).keys() if named else ()
    found: list[InvalidField] = []
    references_made: list[tuple[Parsed, Span]] = []
    for where, content in texts:
        is_html = where in ("html", "mjml")
        parsed, faults = parse_leniently(content, where=where, html=is_html, extra_tags=extra_tags)
        nodes = scan(parsed.filler) if is_html else None
        found += (_fault(where, fault) for fault in (*faults, *(script_links(parsed, nodes) if nodes else ())))
        references_made += ((parsed, span) for span in references(parsed, nodes))
    library = Library(dict.fromkeys(await hold_links(session, ids=ids_of(span for _, span in references_made)), ()))
    unknown = (library.fault(parsed, span) for parsed, span in references_made)
    found += (_fault(fault.where, fault) for fault in unknown if fault)
    if found:
        raise InvalidContent(f"{len(found)} thing(s) in the content are wrong.", errors=found[:MAX_REPORTED])


def _fault(where: str, fault: TagFault | ScriptLink) -> InvalidField:
    return InvalidField(pointer=f"#/{where}", detail=_placed(fault.message, fault.line, fault.column))


async def create_template(session: AsyncSession, *, fields: dict[str, Any]) -> Template:
    """Add a template; raises InvalidContent, and Invalid for a folder that is none for templates."""
    fields = await written_out(fields)
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.TEMPLATE)
    template = Template(**fields)
    await _check(session, template)
    return await _add(session, template)


async def copy_template(session: AsyncSession, *, template_id: int) -> Template:
    """Add a template with the content of another one, MJML and all, in the same folder (D8)."""
    source = await read_template(session, template_id=template_id)
    kept = {"id", "created_at", "updated_at", "version"}
    fields = source.model_dump(exclude=kept) | {"name": f"{source.name} (copy)"[:200]}
    return await _add(session, Template(**fields))


async def _add(session: AsyncSession, template: Template) -> Template:
    session.add(template)
    await session.flush()
    await session.refresh(template)
    return template


async def _check(session: AsyncSession, template: Template) -> None:
    await check_content(
        session, subject=template.subject, html=template.html, mjml=template.mjml, text=template.text
    )  # fmt: skip


async def read_template(session: AsyncSession, *, template_id: int) -> Template:
    """Return a template; raises TemplateNotFound."""
    template = await queries.find_template(session, template_id=template_id)
    if template is None:
        raise TemplateNotFound(f"There is no template {template_id}.")
    return template


async def change_template(session: AsyncSession, *, template: Template, fields: dict[str, Any]) -> Template:
    """Change a template by fields that are `written_out`.

    Raises InvalidContent, and Invalid for a folder that is none for templates.
    """
    await check_folder(session, folder_id=fields.get("folder_id"), kind=FolderKind.TEMPLATE)
    template.sqlmodel_update(fields)
    await _check(session, template)
    template.version += 1
    template.updated_at = now()
    await session.flush()
    return template


async def delete_template(session: AsyncSession, *, template_id: int) -> None:
    """Delete a template; mailings made from it keep their content."""
    await session.delete(await read_template(session, template_id=template_id))
