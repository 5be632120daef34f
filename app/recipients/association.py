"""The selection or project a mailing is associated with is one of its sources (D19).

What the setup says is kept as at most one source with `associated` set: the selection's; the project's only where no
selection is associated.
"""

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.platform.errors import InvalidField
from app.recipients.models import MailingSource, SourceKind

_NAMES = text("""
    -- The names of a selection and a project; each null where there is none. By primary keys. Neither can be deleted
    -- until the commit, so that what refers to them from here on refers to something.
    SELECT (SELECT name FROM selection WHERE id = :selection_id FOR KEY SHARE) AS selection,
           (SELECT name FROM project WHERE id = :project_id FOR KEY SHARE) AS project
""").bindparams(sa.bindparam("selection_id", type_=sa.BigInteger), sa.bindparam("project_id", type_=sa.BigInteger))


async def missing_associations(
    session: AsyncSession, *, selection_id: int | None, project_id: int | None
) -> list[InvalidField]:
    """Return what is wrong with an association: that there is no such selection or project."""
    names = (await run(session, _NAMES, selection_id=selection_id, project_id=project_id)).one()
    found = []
    if selection_id is not None and names.selection is None:
        found.append(InvalidField(pointer="#/selection_id", detail=f"There is no selection {selection_id}."))
    if project_id is not None and names.project is None:
        found.append(InvalidField(pointer="#/project_id", detail=f"There is no project {project_id}."))
    return found


async def keep_association(
    session: AsyncSession, *, mailing_id: int, selection_id: int | None, project_id: int | None
) -> bool:
    """Make the associated source what the setup says (D19); return whether that changed anything.

    The mailing's row is locked by the caller. A source whose selection or project is gone is none of the setup's any
    more, and goes.
    """
    query = select(MailingSource).where(MailingSource.mailing_id == mailing_id, col(MailingSource.associated))
    source = (await session.exec(query.execution_options(populate_existing=True))).one_or_none()
    if selection_id is not None:
        project_id = None  # of both, only the selection's persons are added
    wanted = (selection_id, project_id)
    if source is None and wanted == (None, None):
        return False
    if source is not None:
        if wanted == (source.selection_id, source.project_id) != (None, None):
            return False
        await session.delete(source)
        await session.flush()
    if wanted != (None, None):
        names = (await run(session, _NAMES, selection_id=selection_id, project_id=project_id)).one()
        session.add(
            MailingSource(
                mailing_id=mailing_id,
                kind=SourceKind.PROJECT if selection_id is None else SourceKind.SELECTION,
                label=names.selection or names.project or "",
                associated=True,
                selection_id=selection_id,
                project_id=project_id,
            )
        )
        await session.flush()
    return True
