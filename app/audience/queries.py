"""Reading and writing selections and imports."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import Import, ImportProblem, Selection, SelectionMember
from app.contacts.models import Person
from app.platform.db import driver_connection
from app.platform.files import StoredFile

_ADD_MEMBERS = text("""
    -- Adds persons to a selection; those who are in it stay. Answers how many were added, and which ids are
    -- nobody's. Needs selection_member_pkey and person_pkey.
    WITH known AS (
        SELECT id FROM person WHERE id = ANY(:person_ids) ORDER BY id
    ), added AS (
        INSERT INTO selection_member (selection_id, person_id) SELECT :selection_id, id FROM known
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM known) AS known,
           ARRAY(SELECT DISTINCT u FROM unnest(:person_ids) AS u
                 WHERE NOT EXISTS (SELECT FROM known WHERE known.id = u) ORDER BY u) AS unknown
""").bindparams(
    sa.bindparam("person_ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("selection_id", type_=sa.BigInteger)
)

_ADD_MATCHING = text("""
    -- Adds the persons for whom every criterion that is told holds. Reads each person once: over the consents and
    -- subscriptions of a whole address book, hash joins take a second for a million where look-ups take a minute.
    WITH known AS (
        SELECT p.id FROM person AS p
        WHERE (cast(:consent AS text) IS NULL OR p.id IN (
                SELECT person_id FROM consent_state WHERE purpose = :consent AND given
                    AND (valid_until IS NULL OR valid_until > now())))
            AND (cast(:subscription_type_id AS bigint) IS NULL OR p.id IN (
                SELECT person_id FROM subscription WHERE subscription_type_id = :subscription_type_id AND subscribed))
            AND (cast(:company_id AS bigint) IS NULL OR p.company_id = :company_id)
            AND (cast(:category AS text) IS NULL OR p.category = :category)
    ), added AS (
        INSERT INTO selection_member (selection_id, person_id) SELECT :selection_id, id FROM known
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM known) AS known
""").bindparams(
    sa.bindparam("selection_id", type_=sa.BigInteger), sa.bindparam("consent", type_=sa.Text),
    sa.bindparam("subscription_type_id", type_=sa.BigInteger), sa.bindparam("company_id", type_=sa.BigInteger),
    sa.bindparam("category", type_=sa.Text),
)  # fmt: skip


async def find_selection(session: AsyncSession, *, selection_id: int) -> Selection | None:
    """Return a selection, or None."""
    return await session.get(Selection, selection_id)


async def page_of_selections(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[Selection]:
    """Return at most `limit + 1` selections with ids over `after`."""
    query = select(Selection).order_by(col(Selection.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(Selection.id) > after)
    return (await session.exec(query)).all()


async def page_of_members(
    session: AsyncSession, *, selection_id: int, after: int | None, limit: int
) -> Sequence[Person]:
    """Return at most `limit + 1` members with person ids over `after`; walks selection_member_pkey."""
    query = (
        select(Person)
        .join(SelectionMember, col(SelectionMember.person_id) == col(Person.id))
        .where(SelectionMember.selection_id == selection_id)
        .order_by(col(SelectionMember.person_id))
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(col(SelectionMember.person_id) > after)
    return (await session.exec(query)).all()


async def add_members(session: AsyncSession, *, selection_id: int, person_ids: Sequence[int]) -> Any:
    """Add persons by id; return a row (added, known, unknown ids)."""
    values = {"selection_id": selection_id, "person_ids": list(person_ids)}
    return (await session.exec(_ADD_MEMBERS, params=values)).one()  # type: ignore[call-overload]


async def add_matching(session: AsyncSession, *, selection_id: int, criteria: dict[str, Any]) -> Any:
    """Add the persons who fit the criteria; return a row (added, known)."""
    return (await session.exec(_ADD_MATCHING, params={"selection_id": selection_id, **criteria})).one()  # type: ignore[call-overload]


async def remove_member(session: AsyncSession, *, selection_id: int, person_id: int) -> bool:
    """Take a person out of a selection; return whether the person was in it."""
    member = await session.get(SelectionMember, (selection_id, person_id))
    if member is None:
        return False
    await session.delete(member)
    return True


async def find_import(session: AsyncSession, *, import_id: int) -> Import | None:
    """Return an import, or None."""
    return await session.get(Import, import_id)


async def lock_import(session: AsyncSession, *, import_id: int) -> Import | None:
    """Return an import as the database has it now, locked until the commit; None when it is gone."""
    query = select(Import).where(Import.id == import_id).with_for_update().execution_options(populate_existing=True)
    return (await session.exec(query)).one_or_none()


async def page_of_imports(session: AsyncSession, *, after: int | None, limit: int) -> Sequence[Import]:
    """Return at most `limit + 1` imports with ids over `after`."""
    query = select(Import).order_by(col(Import.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(Import.id) > after)
    return (await session.exec(query)).all()


async def page_of_problems(
    session: AsyncSession, *, import_id: int, rejected: bool | None, after: int | None, limit: int
) -> Sequence[ImportProblem]:
    """Return at most `limit + 1` problems of an import with ids over `after`, in the order of the rows."""
    query = select(ImportProblem).where(ImportProblem.import_id == import_id)
    if rejected is not None:
        query = query.where(ImportProblem.rejected == rejected)
    if after is not None:
        query = query.where(col(ImportProblem.id) > after)
    return (await session.exec(query.order_by(col(ImportProblem.id)).limit(limit + 1))).all()


async def add_problems(
    session: AsyncSession, *, import_id: int, problems: Sequence[tuple[int, str | None, str, str, bool]]
) -> None:
    """Add problems (row number, field, code, detail, rejected) of an import, in the order of the rows."""
    if problems:
        connection = await driver_connection(session)
        await connection.copy_records_to_table(
            "import_problem",
            records=[(import_id, *problem) for problem in sorted(problems, key=lambda problem: problem[0])],
            columns=["import_id", "row_number", "field", "code", "detail", "rejected"],
        )


async def drop_file(session: AsyncSession, *, file_id: int) -> None:
    """Delete a stored file with its pieces."""
    await session.exec(delete(StoredFile).where(col(StoredFile.id) == file_id))
