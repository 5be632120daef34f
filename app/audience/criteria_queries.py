"""Reading what criteria refer to."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import Selection
from app.contacts.models import ExtraField, ExtraOwner
from app.platform.db import run

_REFERENCES_LOCK = 0x63726974  # "crit", an advisory lock's key

_KNOWN = {
    table: text(f"SELECT id FROM {table} WHERE id = ANY(:ids)").bindparams(
        sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger))
    )
    for table in ("interest", "link", "mailing", "project", "selection", "subscription_type")
}
_PURPOSES = text("SELECT key AS id FROM consent_purpose WHERE key = ANY(:ids)").bindparams(
    sa.bindparam("ids", type_=sa.ARRAY(sa.Text))
)

_REFERRING = text("""
    -- The selections whose criteria refer to one, at most so many, oldest first. It reads the criteria of them all:
    -- there are hundreds, and selections are deleted by hand.
    SELECT id, name FROM selection
    WHERE criteria IS NOT NULL AND jsonb_path_exists(
        criteria, '$.**.selection ? (@ == $id)', jsonb_build_object('id', cast(:selection_id AS bigint)))
    ORDER BY id LIMIT :most
""")


async def take_references_turn(session: AsyncSession) -> None:
    """Wait until no other transaction changes which selection refers to which.

    Two savers at once could each close the other's circle, and a deleter take away what a saver refers to.
    """
    await run(session, text("SELECT pg_advisory_xact_lock(:lock)"), lock=_REFERENCES_LOCK)


async def known_ids(session: AsyncSession, *, table: str, ids: Iterable[Any]) -> set[Any]:
    """Return those ids that there are; `table` is one of those that criteria refer to."""
    statement = _PURPOSES if table == "consent_purpose" else _KNOWN[table]
    return {row.id for row in await run(session, statement, ids=sorted(ids))}


async def selections_of(session: AsyncSession, *, ids: Iterable[int]) -> Sequence[Any]:
    """Return rows (id, name, kind, criteria) of selections."""
    query = select(Selection.id, Selection.name, Selection.kind, Selection.criteria).where(col(Selection.id).in_(ids))
    return (await session.exec(query)).all()


async def extra_fields_of(session: AsyncSession, *, names: Iterable[tuple[ExtraOwner, str]]) -> Sequence[ExtraField]:
    """Return extra fields by owner and name; those that are not declared are left out."""
    query = select(ExtraField).where(tuple_(col(ExtraField.owner), col(ExtraField.name)).in_(list(names)))
    return (await session.exec(query)).all()


async def referring_to(session: AsyncSession, *, selection_id: int, most: int) -> Sequence[Any]:
    """Return rows (id, name) of at most `most` selections whose criteria refer to one."""
    rows: Sequence[Any] = (await run(session, _REFERRING, selection_id=selection_id, most=most)).all()
    return rows
