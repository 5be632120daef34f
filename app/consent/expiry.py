"""Telling the ledger which yeses ran out."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import ledger_queries as queries
from app.consent.models import ConsentAction, LegalBasis
from app.consent.service import ConsentLine, record_consents

BATCH = 1000
SOURCE = "expiry"


async def expire(session: AsyncSession, *, most: int = BATCH) -> int:
    """Append the line `expired` for at most `most` persons' and as many companies' yeses that ran out; return how many.

    It counts from when the yes ran out, on the same legal basis. What was withdrawn or given anew meanwhile is left
    alone, so that it can be repeated, and runs beside whatever else writes the ledger.
    """
    lines: list[ConsentLine] = []
    for companies in (False, True):
        due = await queries.past_their_time(session, companies=companies, most=most)
        if not due:
            continue
        ids = sorted({row.owner_id for row in due})
        lock = queries.lock_companies if companies else queries.lock_persons
        await lock(session, ids=ids)
        due = await queries.past_their_time(session, companies=companies, most=most, ids=ids)
        lines += [
            ConsentLine(
                row.purpose, ConsentAction.EXPIRED, SOURCE,
                person_id=None if companies else row.owner_id, company_id=row.owner_id if companies else None,
                legal_basis=LegalBasis(row.legal_basis), valid_from=row.valid_until,
            )
            for row in due
        ]  # fmt: skip
    return await record_consents(session, lines=lines)
