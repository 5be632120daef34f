"""SQL of sending domains and their keys."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains.errors import DomainTaken
from app.domains.models import SendingDomain
from app.platform.clock import now

MOST_DUE = 50


async def find_domain(session: AsyncSession, *, domain_id: int, lock: bool = False) -> SendingDomain | None:
    """Return a sending domain, or None; with `lock` others wait to change it."""
    return await session.get(SendingDomain, domain_id, populate_existing=True, with_for_update=lock or None)


async def add_domain(session: AsyncSession, domain: SendingDomain) -> None:
    """Add a sending domain; raises DomainTaken."""
    name = domain.domain
    session.add(domain)
    try:
        await session.flush()
    except IntegrityError as error:
        if "sending_domain_domain_key" not in str(error.orig):
            raise
        raise DomainTaken(f"{name} is listed already; find it with GET /v1/sending-domains?domain={name}.") from error
    await session.refresh(domain)


async def page_of_domains(
    session: AsyncSession, *, domain: str | None, approved: bool | None, after: int | None, limit: int
) -> Sequence[SendingDomain]:
    """Return at most `limit + 1` sending domains with ids over `after`."""
    query = select(SendingDomain).order_by(col(SendingDomain.id)).limit(limit + 1)
    if domain is not None:
        query = query.where(SendingDomain.domain == domain)
    if approved is not None:
        query = query.where(SendingDomain.approved == approved)
    if after is not None:
        query = query.where(col(SendingDomain.id) > after)
    return (await session.exec(query)).all()


async def find_by_name(session: AsyncSession, *, domain: str) -> SendingDomain | None:
    """Return the sending domain of a name (an A-label in lower case), or None; by sending_domain_domain_key."""
    return (await session.exec(select(SendingDomain).where(SendingDomain.domain == domain))).one_or_none()


async def due_domains(session: AsyncSession) -> Sequence[int]:
    """Return the ids of domains whose check is due. A few rows in all, read every two seconds."""
    query = select(SendingDomain.id).where(col(SendingDomain.check_due_at) <= now()).order_by(col(SendingDomain.id))
    return (await session.exec(query.limit(MOST_DUE))).all()


async def approved_names(session: AsyncSession) -> Sequence[str]:
    """Return the names of all approved domains."""
    return (await session.exec(select(SendingDomain.domain).where(col(SendingDomain.approved)))).all()
