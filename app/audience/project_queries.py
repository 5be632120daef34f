"""SQL of projects, their members and activities."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.membership import Membership
from app.audience.models import Project, ProjectMember
from app.contacts.errors import ExternalIdTaken
from app.contacts.merging import Draft
from app.contacts.models import Person
from app.folders.models import Folder, FolderKind
from app.platform.db import run

_COLUMNS = {"external_id": "text", "name": "text", "number": "text", "description": "text", "folder_id": "bigint"}
_NAMES = ", ".join(_COLUMNS)

BLANK_PROJECT: dict[str, Any] = dict.fromkeys(_COLUMNS)

_LOCK = 0x70726F6A656374  # "project"


async def find_project(session: AsyncSession, *, project_id: int) -> Project | None:
    """Return a project, or None."""
    return await session.get(Project, project_id)


async def hold_project(session: AsyncSession, *, project_id: int, to_change: bool) -> Project | None:
    """Return a project that nobody deletes until the commit, or None; `to_change` waits for those who hold it."""
    query = select(Project).where(Project.id == project_id).execution_options(populate_existing=True)
    query = query.with_for_update(read=not to_change, key_share=not to_change)
    return (await session.exec(query)).one_or_none()


async def save(session: AsyncSession, project: Project) -> None:
    """Write a new or changed project; raises ExternalIdTaken."""
    session.add(project)
    try:
        await session.flush()
    except IntegrityError as error:
        raise _translated(error) from error
    await session.refresh(project)


def _translated(error: IntegrityError) -> Exception:
    if "project_external_id_key" in str(error.orig):
        return ExternalIdTaken("Another project has this external id; change that one, or send another external id.")
    return error


async def page_of_projects(
    session: AsyncSession, *, external_id: str | None, folder_id: int | None, name: str | None, after: int | None,
    limit: int,
) -> Sequence[Project]:  # fmt: skip
    """Return at most `limit + 1` projects with ids over `after`; `name` is the beginning of the name."""
    query = select(Project).order_by(col(Project.id)).limit(limit + 1)
    if external_id is not None:
        query = query.where(Project.external_id == external_id)
    if folder_id is not None:
        query = query.where(Project.folder_id == folder_id)
    if name is not None:
        query = query.where(func.lower(Project.name).startswith(name.lower(), autoescape=True))
    if after is not None:
        query = query.where(col(Project.id) > after)
    return (await session.exec(query)).all()


# Many at once

_MEANT = text(f"""
    -- The projects that items mean by external id, locked until the commit. Needs project_external_id_key.
    SELECT id, {_NAMES} FROM unnest(:external_ids) AS e (external_id) JOIN project USING (external_id)
    ORDER BY id FOR NO KEY UPDATE OF project
""").bindparams(sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text)))

_WRITE = text(f"""
    -- Writes whole rows, new ones and known ones alike, in the order of their ids. Ids are reserved beforehand, which
    -- tells the caller what became of which item.
    INSERT INTO project (id, {_NAMES})
    SELECT id, {_NAMES} FROM jsonb_to_recordset(cast(:rows AS jsonb))
        AS r (id bigint, {", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
    ORDER BY id
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}, updated_at = now()
""").bindparams(sa.bindparam("rows", type_=sa.JSON))

_RESERVE = text("SELECT nextval(pg_get_serial_sequence('project', 'id')) AS id FROM generate_series(1, :count)")


async def take_turn(session: AsyncSession) -> None:
    """Wait until no other transaction writes many projects: two could each create what the other one just did."""
    await run(session, text("SELECT pg_advisory_xact_lock(:lock)"), lock=_LOCK)


async def projects_meant(session: AsyncSession, *, external_ids: Sequence[str]) -> list[Draft]:
    """Return, and lock, the projects that have one of these external ids."""
    rows = await run(session, _MEANT, external_ids=list(external_ids))
    return [Draft(row["id"], {name: row[name] for name in _COLUMNS}) for row in rows.mappings()]


async def write_projects(session: AsyncSession, drafts: Sequence[Draft]) -> None:
    """Write new and changed projects, and give the new ones their ids; raises ExternalIdTaken."""
    if not drafts:
        return
    new = [draft for draft in drafts if draft.id is None]
    if new:
        for draft, row in zip(new, await run(session, _RESERVE, count=len(new)), strict=True):
            draft.id = row.id
    try:
        await run(session, _WRITE, rows=[{"id": draft.id, **draft.values} for draft in drafts])
    except IntegrityError as error:
        raise _translated(error) from error


async def project_folders(session: AsyncSession, *, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that are folders for projects; they cannot be deleted until the commit."""
    query = select(Folder.id).where(col(Folder.id).in_(ids), Folder.kind == FolderKind.PROJECT).order_by(col(Folder.id))
    return set((await session.exec(query.with_for_update(read=True, key_share=True))).all())


# Members

_BY_ID = """
    -- The persons of ids, and the ids that are nobody's.
    known AS (SELECT id FROM person WHERE id = ANY(:person_ids) ORDER BY id FOR KEY SHARE),
    unknown AS (
        SELECT DISTINCT id, cast(NULL AS text) AS external_id FROM unnest(:person_ids) AS u (id)
        WHERE NOT EXISTS (SELECT FROM known WHERE known.id = u.id)
    )
"""
_BY_EXTERNAL_ID = """
    -- The persons of external ids, and the ones that nobody has. Needs person_external_id_key.
    found AS (
        SELECT p.id, p.external_id FROM (SELECT DISTINCT unnest(:external_ids) AS external_id) AS e
        JOIN person AS p USING (external_id) ORDER BY p.id FOR KEY SHARE OF p
    ),
    known AS (SELECT id FROM found),
    unknown AS (
        SELECT DISTINCT cast(NULL AS bigint) AS id, external_id FROM unnest(:external_ids) AS u (external_id)
        WHERE NOT EXISTS (SELECT FROM found WHERE found.external_id = u.external_id)
    )
"""
_BY_SELECTION = """
    -- The persons who are in a selection at this moment. The foreign key's check would lock each of them anyway.
    known AS (
        SELECT p.id FROM ({membership}) AS m JOIN person AS p ON p.id = m.person_id ORDER BY p.id FOR KEY SHARE OF p
    ),
    unknown AS (SELECT cast(NULL AS bigint) AS id, cast(NULL AS text) AS external_id WHERE false)
"""
_ADD = "INSERT INTO project_member (project_id, person_id) SELECT :project_id, id FROM known ON CONFLICT DO NOTHING"
_REMOVE = "DELETE FROM project_member AS m USING known WHERE m.project_id = :project_id AND m.person_id = known.id"
_CHANGE = """
    -- Answers how many members came or went, how many persons were meant, and what meant nobody.
    -- Needs project_member_pkey.
    WITH {who}, changed AS ({what} RETURNING 1)
    SELECT (SELECT count(*) FROM changed) AS changed, (SELECT count(*) FROM known) AS known,
           ARRAY(SELECT id FROM unknown WHERE id IS NOT NULL ORDER BY id) AS unknown,
           ARRAY(SELECT external_id FROM unknown WHERE external_id IS NOT NULL ORDER BY external_id)
               AS unknown_external_ids
"""
_IDS = sa.bindparam("person_ids", type_=sa.ARRAY(sa.BigInteger))
_EXTERNAL_IDS = sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text))


def _change(who: str, *, add: bool) -> sa.TextClause:
    return text(_CHANGE.format(who=who, what=_ADD if add else _REMOVE))


_BY_IDS = {add: _change(_BY_ID, add=add).bindparams(_IDS) for add in (True, False)}
_BY_EXTERNAL_IDS = {add: _change(_BY_EXTERNAL_ID, add=add).bindparams(_EXTERNAL_IDS) for add in (True, False)}


async def change_by_ids(session: AsyncSession, *, project_id: int, person_ids: Sequence[int], add: bool) -> Any:
    """Add or remove persons by id; return a row (changed, known, unknown, unknown_external_ids)."""
    return (await run(session, _BY_IDS[add], project_id=project_id, person_ids=list(person_ids))).one()


async def change_by_external_ids(
    session: AsyncSession, *, project_id: int, external_ids: Sequence[str], add: bool
) -> Any:
    """Add or remove persons by external id; return a row as `change_by_ids` does."""
    return (await run(session, _BY_EXTERNAL_IDS[add], project_id=project_id, external_ids=list(external_ids))).one()


async def change_by_membership(session: AsyncSession, *, project_id: int, members: Membership, add: bool) -> Any:
    """Add or remove the persons of a selection; return a row as `change_by_ids` does."""
    statement = _change(_BY_SELECTION.replace("{membership}", members.sql), add=add)
    return (await run(session, statement, project_id=project_id, **members.params)).one()


async def page_of_members(session: AsyncSession, *, project_id: int, after: int | None, limit: int) -> Sequence[Person]:
    """Return at most `limit + 1` members with person ids over `after`; walks project_member_pkey."""
    query = (
        select(Person)
        .join(ProjectMember, col(ProjectMember.person_id) == col(Person.id))
        .where(ProjectMember.project_id == project_id)
        .order_by(col(ProjectMember.person_id))
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(col(ProjectMember.person_id) > after)
    return (await session.exec(query)).all()


async def count_members(session: AsyncSession, *, project_id: int) -> int:
    """Return how many persons are in a project: an index-only count."""
    query = select(func.count()).select_from(ProjectMember).where(ProjectMember.project_id == project_id)
    return (await session.exec(query)).one()


# Activities

_ACTIVITIES = text("""
    -- A page of the mailings that are associated with a project or have it as a source, newest first: a few rows by
    -- mailing_project_id_idx and mailing_source_project_id_idx, their figures by the tally's primary key. Nothing
    -- is counted.
    SELECT m.id, m.name, m.type, m.state, m.subject, m.project_id IS NOT DISTINCT FROM :project_id AS associated,
           m.created_at, m.started_at, m.finished_at, coalesce(t.recipients, 0) AS recipients,
           coalesce(t.sent, 0) AS sent
    FROM (
        SELECT id FROM mailing WHERE project_id = :project_id
        UNION SELECT mailing_id FROM mailing_source WHERE project_id = :project_id
    ) AS involved
    JOIN mailing AS m USING (id)
    LEFT JOIN LATERAL (
        SELECT sum(value) FILTER (WHERE name = 'total') AS recipients,
               sum(value) FILTER (WHERE name = 'accepted') AS sent
        FROM recipient_tally WHERE mailing_id = m.id AND name IN ('total', 'accepted')
    ) AS t ON true
    WHERE m.id < :before
    ORDER BY m.id DESC LIMIT :limit
""").bindparams(sa.bindparam("project_id", type_=sa.BigInteger), sa.bindparam("before", type_=sa.BigInteger))


async def page_of_activities(
    session: AsyncSession, *, project_id: int, before: int | None, limit: int
) -> Sequence[Any]:
    """Return at most `limit + 1` mailings of a project with ids under `before`, newest first."""
    params = {"project_id": project_id, "before": before or 2**63 - 1, "limit": limit + 1}
    return (await run(session, _ACTIVITIES, **params)).all()
