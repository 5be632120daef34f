"""Rows that bounces are about."""

from sqlalchemy import text
from sqlmodel import select

from app.mailings.models import Mailing
from app.recipients.models import Recipient, RecipientStatus, RecipientTally

OLA = "ola@example.org"


async def add_mailing(session) -> Mailing:
    mailing = Mailing(name="News")
    session.add(mailing)
    await session.flush()
    return mailing


async def add_recipient(session, *, status=RecipientStatus.SENT, email=OLA, mailing_id=None, **fields) -> Recipient:
    if mailing_id is None:
        mailing_id = (await add_mailing(session)).id
    recipient = Recipient(mailing_id=mailing_id, email=email, email_key=email.lower() or None, status=status, **fields)
    session.add(recipient)
    await session.flush()
    return recipient


async def tallies(session, mailing_id: int) -> dict[str, int]:
    rows = await session.exec(select(RecipientTally).where(RecipientTally.mailing_id == mailing_id))
    return {row.name: row.value for row in rows.all() if row.value}


async def count(session, table: str) -> int:
    return (await session.exec(text(f"SELECT count(*) FROM {table}"))).scalar_one()
