"""Reading and writing purposes."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, exists, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.errors import PurposeInUse, PurposeTaken
from app.consent.models import Consent, ConsentPurpose


async def list_purposes(session: AsyncSession) -> Sequence[ConsentPurpose]:
    """Return all purposes, the built-in ones first; there are few."""
    query = select(ConsentPurpose).order_by(
        col(ConsentPurpose.built_in).desc(), col(ConsentPurpose.created_at), col(ConsentPurpose.key)
    )
    return (await session.exec(query)).all()


async def purpose_keys(session: AsyncSession) -> list[str]:
    """Return the keys of all purposes, in the order of `list_purposes`."""
    return [purpose.key for purpose in await list_purposes(session)]


async def find_purpose(session: AsyncSession, *, key: str) -> ConsentPurpose | None:
    """Return a purpose, or None."""
    return await session.get(ConsentPurpose, key)


async def add_purpose(session: AsyncSession, purpose: ConsentPurpose) -> None:
    """Write a new purpose; raises PurposeTaken."""
    session.add(purpose)
    try:
        await session.flush()
    except IntegrityError as error:
        raise PurposeTaken(f"There is a purpose {purpose.key} already; take another key.") from error
    await session.refresh(purpose)


async def delete_purpose(session: AsyncSession, purpose: ConsentPurpose) -> None:
    """Delete a purpose; raises PurposeInUse when the ledger has lines of it.

    The row goes first: writers of the ledger hold it, so that their lines are there to see when it is gone. No index
    knows the ledger by purpose alone; a million lines take some 0.1 s.
    """
    await session.delete(purpose)
    await session.flush()
    if (await session.exec(select(exists().where(col(Consent.purpose) == purpose.key)))).one():
        raise PurposeInUse("The ledger has lines of this purpose, and they stay: proof outlives what it was for.")
