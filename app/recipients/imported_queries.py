"""SQL of imported recipients."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import Import
from app.platform.db import driver_connection, run
from app.platform.outbox import Job, enqueue
from app.recipients.models import MailingSource, SourceKind

_UNRECORDED = text("""
    -- Those of the addresses that are no person's, preferred or further, and that this import has no line of yet.
    -- Needs person_email_key_idx, person_email_email_key_idx and consent_address_idx.
    SELECT k.email_key FROM unnest(:keys) AS k (email_key)
    WHERE NOT EXISTS (SELECT FROM person AS p WHERE p.email_key = k.email_key)
        AND NOT EXISTS (SELECT FROM person_email AS f WHERE f.email_key = k.email_key)
        AND NOT EXISTS (SELECT FROM consent AS c WHERE c.email_key = k.email_key AND c.recorded_by = :recorded_by)
    ORDER BY k.email_key
""").bindparams(sa.bindparam("keys", type_=sa.ARRAY(sa.Text)), sa.bindparam("recorded_by", type_=sa.Text))

_BEHIND = text("""
    -- Marks the list of a mailing that is not on its way yet as behind its sources (D17).
    UPDATE mailing SET list_updated_at = NULL WHERE id = :mailing_id AND state IN ('draft', 'scheduled')
""")


async def source_of(session: AsyncSession, *, current: Import, mailing_id: int) -> int:
    """Return the id of an import's source, which is added at its first batch."""
    query = select(MailingSource).where(MailingSource.import_id == current.id)
    source = (await session.exec(query)).one_or_none()
    if source is None:
        source = MailingSource(
            mailing_id=mailing_id, kind=SourceKind.IMPORT, label=current.file_name, import_id=current.id,
            consent_basis=current.consent_basis, consent_source=current.consent_source,
            consent_date=current.consent_date,
        )  # fmt: skip
        session.add(source)
        await session.flush()
    return source.id


async def add_addresses(
    session: AsyncSession, *, source_id: int, rows: Sequence[tuple[int, str, str, str | None, str | None]]
) -> None:
    """Add addresses (position, name, address, key, mobile number) to a source."""
    connection = await driver_connection(session)
    await connection.copy_records_to_table(
        "source_address", records=[(source_id, *row) for row in rows],
        columns=["source_id", "position", "name", "email", "email_key", "mobile"],
    )  # fmt: skip


async def unrecorded(session: AsyncSession, *, keys: Sequence[str], recorded_by: str) -> list[str]:
    """Return the addresses that are no person's and that have no line by this recorder."""
    return [row.email_key for row in await run(session, _UNRECORDED, keys=list(keys), recorded_by=recorded_by)]


async def follow(session: AsyncSession, *, mailing_id: int) -> None:
    """Have the mailing's list follow its sources."""
    await run(session, _BEHIND, mailing_id=mailing_id)
    await enqueue(session, Job.LIST_UPDATE, dedup=f"list:{mailing_id}", mailing=mailing_id)
