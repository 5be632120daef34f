"""Purposes: what persons and companies can consent to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import purpose_queries as queries
from app.consent.errors import InvalidConsent, PurposeInUse, PurposeNotFound
from app.consent.models import ConsentAction, ConsentPurpose
from app.consent.schemas import ConsentIn
from app.platform.clock import now
from app.platform.errors import InvalidField

AHEAD = timedelta(days=1)
"""How far `valid_from` may lie ahead: a clock that is wrong, or a date of a time zone that is ahead of UTC."""


async def create_purpose(session: AsyncSession, *, fields: dict[str, Any]) -> ConsentPurpose:
    """Add a purpose; raises PurposeTaken."""
    purpose = ConsentPurpose(**fields)
    await queries.add_purpose(session, purpose)
    return purpose


async def read_purpose(session: AsyncSession, *, key: str) -> ConsentPurpose:
    """Return a purpose; raises PurposeNotFound."""
    purpose = await queries.find_purpose(session, key=key)
    if purpose is None:
        raise PurposeNotFound(f"There is no purpose {key}.")
    return purpose


async def change_purpose(session: AsyncSession, *, key: str, fields: dict[str, Any]) -> ConsentPurpose:
    """Change a purpose; yeses that are recorded already keep their times. Raises PurposeNotFound."""
    purpose = await read_purpose(session, key=key)
    purpose.sqlmodel_update(fields)
    await session.flush()
    return purpose


async def delete_purpose(session: AsyncSession, *, key: str) -> None:
    """Delete a purpose that the ledger has no line of; raises PurposeNotFound and PurposeInUse."""
    purpose = await read_purpose(session, key=key)
    if purpose.built_in:
        raise PurposeInUse(f"{key} is built in: the service itself asks about it.")
    await queries.delete_purpose(session, purpose)


async def check_line(session: AsyncSession, line: ConsentIn) -> None:
    """Raise InvalidConsent unless a line for the ledger makes sense."""
    known = await queries.purpose_keys(session)
    if faults := faults_of(line, known=known, at=now()):
        raise InvalidConsent(faults[0].detail, errors=faults)


def faults_of(line: ConsentIn, *, known: Sequence[str], at: datetime, pointer: str = "#") -> list[InvalidField]:
    """Return what is wrong with a line for the ledger, as of `at`."""
    found = []
    if line.purpose not in known:
        found.append(("purpose", f"There is no purpose {line.purpose}; known: {', '.join(known)}."))
    if line.valid_from is not None and line.valid_from > at + AHEAD:
        found.append(("valid_from", "It lies in the future; record the line when it holds."))
    if line.valid_until is not None:
        if line.action is not ConsentAction.GIVEN:
            found.append(("valid_until", "Only a yes runs out; leave it out."))
        elif line.valid_until <= min(line.valid_from or at, at):
            found.append(("valid_until", "A yes cannot run out before it was given; it must be later than valid_from."))
    return [InvalidField(pointer=f"{pointer}/{name}", detail=detail) for name, detail in found]
