"""Checking a domain: read, ask DNS without holding a connection, store what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains import key_queries, keys, queries
from app.domains.checks import PublicKey, Report, Subject
from app.domains.models import DkimKey, KeyState, SendingDomain, Verdict
from app.domains.names import parents
from app.domains.service import read_domain, settle
from app.platform.clock import now
from app.platform.operations import Operation, open_operation
from app.platform.outbox import Job, enqueue
from app.platform.settings import Settings

_LOOKED_FOR = (KeyState.PENDING, KeyState.ACTIVE, KeyState.RETIRING)


@dataclass(frozen=True, slots=True)
class Concluded:
    """What a check came to."""

    verdict: Verdict
    approved: bool


async def ask_for_check(session: AsyncSession, *, domain_id: int) -> Operation:
    """Have a domain checked now; the operation ends with the verdict. Raises DomainNotFound."""
    domain = await read_domain(session, domain_id=domain_id)
    operation = await open_operation(session, kind="sending_domain.check")
    await enqueue(session, Job.DOMAIN_CHECK, domain=domain.id, operation=operation.id)
    return operation


async def plan_checks(session: AsyncSession) -> None:
    """Enqueue the checks that are due, and retire keys whose time is over."""
    await key_queries.retire_due(session)
    for domain_id in await queries.due_domains(session):
        await enqueue(session, Job.DOMAIN_CHECK, dedup=f"domain:{domain_id}", domain=domain_id)


async def subject_of(session: AsyncSession, *, domain_id: int) -> Subject | None:
    """Return what is to be checked of a domain, or None when it is gone."""
    domain = await queries.find_domain(session, domain_id=domain_id)
    if domain is None:
        return None
    own = await key_queries.keys_of(session, domain_id=domain_id, states=_LOOKED_FOR)
    if any(key.state is not KeyState.RETIRING for key in own):
        return Subject(domain_id, domain.domain, _public(domain, own))
    for name in list(parents(domain.domain))[1:]:
        above = await queries.find_by_name(session, domain=name)
        signing = await key_queries.keys_of(session, domain_id=above.id, states=[KeyState.ACTIVE]) if above else []
        if above and signing:
            return Subject(domain_id, domain.domain, _public(above, signing))
    return Subject(domain_id, domain.domain, ())


def _public(domain: SendingDomain, rows: Sequence[DkimKey]) -> list[PublicKey]:
    return [PublicKey(key.id, domain.domain, key.selector, key.algorithm, key.state, key.public_key) for key in rows]


async def conclude(session: AsyncSession, *, subject: Subject, report: Report, settings: Settings) -> Concluded | None:
    """Store what a check found; None when the domain is gone.

    Keys whose records were seen begin to sign. A question that DNS did not answer changes no verdict: a domain does not
    lose its approval because a name server is away, nor gain it.
    """
    domain = await queries.find_domain(session, domain_id=subject.domain_id, lock=True)
    if domain is None:
        return None
    for key in await key_queries.keys_of(session, domain_id=domain.id, states=_LOOKED_FOR):
        if key.id in report.seen:
            key.seen_at = now()
            if key.state is KeyState.PENDING:
                await keys.activate(session, domain=domain, key=key, force=False, settings=settings)
    if report.fails:
        domain.verdict = Verdict.FAILING
    elif report.is_certain:
        domain.verdict = Verdict.PASSING
    settle(domain)
    domain.findings = [found.stored() for found in report.findings]
    domain.checked_at = now()
    passing = domain.verdict is Verdict.PASSING and report.is_certain
    wait = timedelta(hours=settings.domain_check_hours) if passing else timedelta(minutes=settings.domain_retry_minutes)
    domain.check_due_at = now() + wait
    await session.flush()
    return Concluded(domain.verdict, domain.approved)
