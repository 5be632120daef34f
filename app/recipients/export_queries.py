"""Reading a list for export, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.clock import now
from app.platform.db import run
from app.recipients.filters import RecipientFilter
from app.recipients.models import RecipientExport
from app.recipients.page_queries import read_page_ids
from app.recipients.queries import MOBILE

_READ = text(f"""
    -- Lines by their ids, with whose they are and what brought them: by primary keys, in the order of the list.
    SELECT r.id, r.name, r.email, coalesce(p.cellphone, brought.mobile) AS mobile,
           coalesce(k.name, own.name) AS company, r.status, r.reason, r.bounce, r.code, r.reply, r.sent_at, r.opened_at,
           r.machine_opened_at, r.clicked_at, r.machine_clicked_at, r.unsubscribed_at, r.complained_at, r.bounced_at,
           s.label AS source, r.person_id, r.company_id, coalesce(p.external_id, own.external_id) AS external_id
    FROM recipient AS r
    LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN company AS k ON k.id = p.company_id
    LEFT JOIN company AS own ON own.id = r.company_id
    LEFT JOIN mailing_source AS s ON s.id = r.source_id
    {MOBILE}
    WHERE r.id = ANY(:ids)
    ORDER BY r.id
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

COLUMNS = {
    "name": "Name", "email": "Email", "mobile": "Mobile", "company": "Company", "status": "Status", "reason": "Reason",
    "bounce": "Bounce", "code": "Reply code", "reply": "Reply", "sent_at": "Sent (UTC)", "opened_at": "Opened (UTC)",
    "machine_opened_at": "Opened by a machine (UTC)", "clicked_at": "Clicked (UTC)",
    "machine_clicked_at": "Clicked by a machine (UTC)", "unsubscribed_at": "Unsubscribed (UTC)",
    "complained_at": "Complained (UTC)", "bounced_at": "Bounced (UTC)", "source": "Source", "person_id": "Person",
    "company_id": "Company recipient", "external_id": "External id", "id": "Recipient",
}  # fmt: skip
"""Columns of an export by the name of their value, in order, with their headings."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of cells in the order of COLUMNS, and the id behind which the list goes on."""

    rows: Sequence[tuple[Any, ...]]
    goes_on_after: int | None


async def read_batch(
    session: AsyncSession, *, mailing_id: int, found: RecipientFilter, after: int | None, limit: int
) -> Batch:
    """Return the next rows of a list that meet the filter."""
    page = await read_page_ids(session, mailing_id=mailing_id, found=found, after=after, limit=limit)
    if not page.lines:
        return Batch([], page.goes_on_after)
    lines = (await run(session, _READ, ids=page.lines)).all()
    return Batch([tuple(getattr(line, name) for name in COLUMNS) for line in lines], page.goes_on_after)


async def find_export(session: AsyncSession, *, mailing_id: int, export_id: int) -> RecipientExport | None:
    """Return an export of a mailing's list, or None."""
    query = select(RecipientExport).where(RecipientExport.id == export_id, RecipientExport.mailing_id == mailing_id)
    return (await session.exec(query)).one_or_none()


_FORGET = text("""
    -- Exports whose time is over, with their files. Needs recipient_export_expires_at_idx.
    WITH gone AS (DELETE FROM recipient_export WHERE expires_at <= :now RETURNING file_id)
    DELETE FROM stored_file WHERE id IN (SELECT file_id FROM gone WHERE file_id IS NOT NULL)
""").bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))


async def forget_exports(session: AsyncSession) -> int:
    """Delete exports whose time is over; return how many files went."""
    return int((await run(session, _FORGET, now=now())).rowcount)
