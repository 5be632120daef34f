"""SQL of the recipient list."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run
from app.recipients.models import MailingSource, Recipient, RecipientTally

_EXISTS = text("SELECT EXISTS (SELECT FROM mailing WHERE id = :mailing_id) AS present")


async def mailing_exists(session: AsyncSession, *, mailing_id: int) -> bool:
    """Tell whether there is such a mailing; the slice that owns its table lies above."""
    return bool((await run(session, _EXISTS, mailing_id=mailing_id)).one().present)


async def find_recipient(session: AsyncSession, *, mailing_id: int, recipient_id: int) -> Recipient | None:
    """Return one line of a mailing's list, or None."""
    query = select(Recipient).where(Recipient.id == recipient_id, Recipient.mailing_id == mailing_id)
    return (await session.exec(query)).one_or_none()


MOBILE = """
    LEFT JOIN LATERAL (
        -- The number that the source of line r gives for its address, or for a further one of its person; for an
        -- address that is not valid, by its text. By source_address_email_key_idx and source_address_invalid_idx.
        SELECT mobile FROM (
            SELECT position, mobile FROM source_address
            WHERE email_key = ANY(ARRAY(
                    SELECT r.email_key UNION ALL SELECT email_key FROM person_email WHERE person_id = r.person_id))
                AND source_id = r.source_id AND mobile IS NOT NULL
            UNION ALL
            SELECT position, mobile FROM source_address
            WHERE r.email_key IS NULL AND source_id = r.source_id AND email = r.email
                AND email_key IS NULL AND mobile IS NOT NULL
        ) AS given ORDER BY position LIMIT 1
    ) AS brought ON true
"""

_MOBILES = text(f"""
    -- Mobile numbers of lines (D17): the person's, else the one that came with the address. By primary keys.
    SELECT r.id, coalesce(p.cellphone, brought.mobile) AS mobile
    FROM recipient AS r LEFT JOIN person AS p ON p.id = r.person_id {MOBILE}
    WHERE r.id = ANY(:ids)
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))


async def mobiles_of(session: AsyncSession, *, recipient_ids: Sequence[int]) -> dict[int, str]:
    """Return the mobile numbers (E.164) of lines, of those that have one."""
    rows = await run(session, _MOBILES, ids=list(recipient_ids))
    return {row.id: row.mobile for row in rows if row.mobile}


async def read_tallies(session: AsyncSession, *, mailing_id: int) -> dict[str, int]:
    """Return every tally of a mailing by its name."""
    query = select(RecipientTally.name, RecipientTally.value).where(RecipientTally.mailing_id == mailing_id)
    return {name: value for name, value in (await session.exec(query)).all() if value}


async def list_sources(session: AsyncSession, *, mailing_id: int) -> Sequence[MailingSource]:
    """Return a mailing's sources in the order in which they were added."""
    query = select(MailingSource).where(MailingSource.mailing_id == mailing_id).order_by(col(MailingSource.id))
    return (await session.exec(query)).all()


async def find_source(session: AsyncSession, *, mailing_id: int, source_id: int) -> MailingSource | None:
    """Return a source of a mailing, or None."""
    query = select(MailingSource).where(MailingSource.id == source_id, MailingSource.mailing_id == mailing_id)
    return (await session.exec(query)).one_or_none()


async def delete_list(session: AsyncSession, *, mailing_id: int) -> None:
    """Delete a mailing's list: no foreign key does it."""
    await session.exec(delete(Recipient).where(col(Recipient.mailing_id) == mailing_id))
    await session.exec(delete(RecipientTally).where(col(RecipientTally.mailing_id) == mailing_id))


_COUNT_ADDRESSES = text("""
    -- How many addresses each source of pasted addresses has.
    SELECT a.source_id, count(*) AS addresses FROM source_address AS a
    WHERE a.source_id = ANY(:ids) GROUP BY a.source_id
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))


async def count_addresses(session: AsyncSession, *, source_ids: Sequence[int]) -> dict[int, int]:
    """Return the number of pasted addresses by source."""
    rows = await run(session, _COUNT_ADDRESSES, ids=list(source_ids))
    return {row.source_id: row.addresses for row in rows}


_WHY = text("""
    -- One line of a list with everything it rests on (D25): a row, or none. The ledger line is the one it was judged
    -- by; where there is none, the refusal that was the person's newest word when the message left (or is by now).
    -- Each part is found by its key; the refusal needs consent_person_purpose_idx. Lines outlive persons and their
    -- subscriptions, so every join but the mailing's is an outer one.
    SELECT r.id, r.person_id, p.id IS NOT NULL AS person_exists, r.name, r.email, r.status, r.reason, r.consent_id,
           r.subscribed_at, r.company_id, s.id AS source_id, s.kind, s.label, s.associated, s.created_at AS added_at,
           s.selection_id, sel.name AS selection_name, s.consent_basis, s.consent_source, s.consent_date,
           c.id AS line_id, c.purpose, c.action, c.legal_basis, c.source, c.text_version, c.valid_from, c.recorded_by,
           c.language, c.evidence, c.valid_until, c.person_id AS line_person_id, c.company_id AS line_company_id,
           c.created_at AS recorded_at, m.override_consent, m.override_by, m.override_reason,
           m.subscription_type_id AS wanted_type_id, t.id AS type_id, t.name AS type_name,
           refused.changed_at AS refused_at, b.id IS NOT NULL AS is_blocked, b.reason AS block_reason,
           b.origin AS block_origin, b.created_at AS blocked_at
    FROM recipient AS r
    JOIN mailing AS m ON m.id = r.mailing_id
    LEFT JOIN person AS p ON p.id = r.person_id
    LEFT JOIN mailing_source AS s ON s.id = r.source_id
    LEFT JOIN selection AS sel ON sel.id = s.selection_id
    LEFT JOIN LATERAL (
        SELECT id, action FROM consent
        WHERE (person_id = r.person_id OR company_id = r.company_id) AND purpose = 'e_marketing'
            AND created_at <= coalesce(r.sent_at, now())
        ORDER BY valid_from DESC, id DESC LIMIT 1
    ) AS word ON r.consent_id IS NULL AND word.action <> 'given'
    LEFT JOIN consent AS c ON c.id = coalesce(r.consent_id, word.id)
    LEFT JOIN LATERAL (
        SELECT subscription_type_id, subscribed, changed_at FROM subscription WHERE person_id = r.person_id
        UNION ALL
        SELECT subscription_type_id, subscribed, changed_at FROM company_subscription WHERE company_id = r.company_id
        OFFSET 0
    ) AS refused ON refused.subscription_type_id = m.subscription_type_id AND NOT refused.subscribed
    LEFT JOIN LATERAL (
        SELECT min(subscription_type_id) AS id FROM (
            SELECT subscription_type_id, subscribed, changed_at FROM subscription WHERE person_id = r.person_id
            UNION ALL
            SELECT subscription_type_id, subscribed, changed_at FROM company_subscription
            WHERE company_id = r.company_id
        ) AS theirs
        WHERE subscribed AND changed_at = r.subscribed_at
    ) AS any_type ON m.subscription_type_id IS NULL
    LEFT JOIN subscription_type AS t ON t.id = coalesce(m.subscription_type_id, any_type.id)
    LEFT JOIN blocked_address AS b ON b.email_key = r.email_key AND r.reason = 'blocked_address'
    WHERE r.id = :recipient_id AND r.mailing_id = :mailing_id
""").bindparams(sa.bindparam("recipient_id", type_=sa.BigInteger), sa.bindparam("mailing_id", type_=sa.BigInteger))


async def find_why(session: AsyncSession, *, mailing_id: int, recipient_id: int) -> Any | None:
    """Return a row with a line of a mailing's list and what it rests on, or None."""
    return (await run(session, _WHY, mailing_id=mailing_id, recipient_id=recipient_id)).one_or_none()
