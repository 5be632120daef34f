"""Sending domains: listed, trusted, approved."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains import queries
from app.domains.errors import DomainNotFound
from app.domains.models import SendingDomain, Verdict
from app.domains.names import a_label, u_label
from app.platform.clock import now


async def approved_domains(session: AsyncSession) -> frozenset[str]:
    """Return the domains that mail may be from (D5, D6): A-labels, lower case. Each stands for itself alone."""
    return frozenset(await queries.approved_names(session))


def settle(domain: SendingDomain) -> None:
    """Draw the conclusion: approved is what DNS speaks for, or what an administrator vouches for (D6)."""
    domain.approved = domain.trusted or domain.verdict is Verdict.PASSING


async def add_domain(session: AsyncSession, *, domain: str, trusted: bool) -> SendingDomain:
    """Add a sending domain; raises InvalidDomain, DomainTaken."""
    name = a_label(domain)
    row = SendingDomain(domain=name, display=u_label(name), trusted=trusted)
    settle(row)
    await queries.add_domain(session, row)
    return row


async def read_domain(session: AsyncSession, *, domain_id: int, lock: bool = False) -> SendingDomain:
    """Return a sending domain; raises DomainNotFound."""
    domain = await queries.find_domain(session, domain_id=domain_id, lock=lock)
    if domain is None:
        raise DomainNotFound(f"There is no sending domain {domain_id}.")
    return domain


async def change_domain(session: AsyncSession, *, domain_id: int, trusted: bool) -> SendingDomain:
    """Vouch for a domain, or leave it to its checks again; raises DomainNotFound."""
    domain = await read_domain(session, domain_id=domain_id, lock=True)
    domain.trusted = trusted
    settle(domain)
    await session.flush()
    return domain


async def expect_check(session: AsyncSession, *, domain: SendingDomain) -> None:
    """Have DNS asked about a domain soon: something of it changed."""
    domain.check_due_at = now()
    await session.flush()


async def delete_domain(session: AsyncSession, *, domain_id: int) -> None:
    """Delete a sending domain with its keys; raises DomainNotFound."""
    await session.delete(await read_domain(session, domain_id=domain_id, lock=True))
