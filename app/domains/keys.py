"""The life of DKIM keys: pending until its record is in DNS, active, retiring while mail is on its way, retired."""

import asyncio
import secrets
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from app.domains import key_queries
from app.domains.errors import KeyNotFound, KeyStateRefused
from app.domains.key_material import make_key, record_name
from app.domains.models import Algorithm, DkimKey, KeyState, SendingDomain
from app.domains.service import expect_check, read_domain
from app.platform.clock import now
from app.platform.settings import Settings

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is easily read as another


async def create_key(
    session: AsyncSession, *, domain_id: int, algorithm: Algorithm, settings: Settings
) -> tuple[SendingDomain, DkimKey]:
    """Make a key for a domain; it signs once its record is found. Raises DomainNotFound."""
    domain = await read_domain(session, domain_id=domain_id, lock=True)
    pair = await asyncio.to_thread(make_key, algorithm, secret=settings.secret_key.get_secret_value())
    # The date tells people how old it is; the letters keep caches from answering for a domain listed anew.
    ending = "".join(secrets.choice(_LETTERS) for _ in range(4))
    key = DkimKey(
        domain_id=domain.id,
        selector=f"b{now():%Y%m%d}-{algorithm.value}-{ending}",
        algorithm=algorithm,
        public_key=pair.public_key,
        private_key=pair.private_key,
    )
    session.add(key)
    await session.flush()
    await session.refresh(key)
    await expect_check(session, domain=domain)
    return domain, key


async def read_key(session: AsyncSession, *, domain_id: int, key_id: int) -> tuple[SendingDomain, DkimKey]:
    """Return a key with its domain, which is locked; raises DomainNotFound, KeyNotFound."""
    domain = await read_domain(session, domain_id=domain_id, lock=True)
    key = await key_queries.find_key(session, domain_id=domain_id, key_id=key_id)
    if key is None:
        raise KeyNotFound(f"Sending domain {domain_id} has no DKIM key {key_id}.")
    return domain, key


async def activate(
    session: AsyncSession, *, domain: SendingDomain, key: DkimKey, force: bool, settings: Settings
) -> None:
    """Sign with a pending key from now on; the one it follows is retiring. Raises KeyStateRefused.

    `force` does so though its record was not seen in DNS, as where this service sees another DNS than the world.
    """
    if key.state is not KeyState.PENDING:
        raise KeyStateRefused(f"The key is {key.state.value}; only a pending one can be activated.")
    if not force and key.seen_at is None:
        where = record_name(key.selector, domain.domain)
        detail = f"Its record was not found at {where} yet: publish it and have the domain checked, or send `force`."
        raise KeyStateRefused(detail)
    for former in await key_queries.active_of(session, domain_id=domain.id, algorithm=key.algorithm):
        _begin_to_retire(former, settings)
    key.state, key.activated_at = KeyState.ACTIVE, now()
    await session.flush()


async def retire(
    session: AsyncSession, *, domain: SendingDomain, key: DkimKey, at_once: bool, settings: Settings
) -> None:
    """Sign with a key no more. Raises KeyStateRefused for one that is retired, or is retiring and not to be at once.

    An active key's record has to stay in DNS while what it signed is on its way: `dkim_retiring_days`, or with
    `at_once` no longer, as when it was stolen.
    """
    if key.state is KeyState.RETIRED or (key.state is KeyState.RETIRING and not at_once):
        raise KeyStateRefused(f"The key is {key.state.value} already.")
    if key.state is KeyState.ACTIVE and not at_once:
        _begin_to_retire(key, settings)
    else:
        key.state, key.retired_at, key.private_key = KeyState.RETIRED, now(), None
    await session.flush()
    await expect_check(session, domain=domain)


def _begin_to_retire(key: DkimKey, settings: Settings) -> None:
    key.state, key.retires_at = KeyState.RETIRING, now() + timedelta(days=settings.dkim_retiring_days)
