"""SQL of follow-ups and requests as the CRM collects them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions.models import FollowUp, ServiceRequest
from app.audience.models import Project
from app.contacts.models import Company, Person

Kind = type[FollowUp] | type[ServiceRequest]


def _with_names(kind: Kind) -> Any:
    """Return the SELECT of rows with what the CRM calls their person and company, and a follow-up's project."""
    query: Any = (
        select(
            kind, col(Person.external_id).label("person_external_id"),
            col(Company.external_id).label("company_external_id"),
            col(Project.external_id).label("project_external_id") if kind is FollowUp else sa.null(),
        )
        .add_columns(col(kind.id))
        .outerjoin(Person, col(Person.id) == kind.person_id)
        .outerjoin(Company, col(Company.id) == kind.company_id)
    )  # fmt: skip
    return query.outerjoin(Project, col(Project.id) == FollowUp.project_id) if kind is FollowUp else query


async def page_of(
    session: AsyncSession, kind: Kind, *, taken_over: bool | None, equal: dict[str, int | str | None],
    after: int | None, limit: int,
) -> Sequence[Any]:  # fmt: skip
    """Return at most `limit + 1` rows (it, person's, company's and project's external id), oldest first.

    Those that wait are found by follow_up_waiting_idx and request_waiting_idx, the others by person or mailing.
    """
    query = _with_names(kind).order_by(col(kind.id)).limit(limit + 1)
    if taken_over is not None:
        column = col(kind.taken_over_at)
        query = query.where(column.is_not(None) if taken_over else column.is_(None))
    for name, value in equal.items():
        if value is not None:
            query = query.where(getattr(kind, name) == value)
    if after is not None:
        query = query.where(col(kind.id) > after)
    return (await session.exec(query)).all()  # type: ignore[no-any-return]


async def find(session: AsyncSession, kind: Kind, *, key: int, lock: bool = False) -> Any | None:
    """Return a row as `page_of` does, or None; `lock` keeps it until the commit."""
    query = _with_names(kind).where(col(kind.id) == key).execution_options(populate_existing=True)
    if lock:
        query = query.with_for_update(of=kind)
    return (await session.exec(query)).one_or_none()
