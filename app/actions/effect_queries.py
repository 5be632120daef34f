"""SQL of what actions do to persons. Nothing here writes consents or subscriptions (D39)."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions.models import FollowUp, ServiceRequest
from app.platform.db import run

_SET = text("""
    -- A value of an extra field, where it is another one. By primary key.
    UPDATE person SET extra = extra || cast(:patch AS jsonb), updated_at = now()
    WHERE id = :person_id AND NOT extra @> cast(:patch AS jsonb)
""").bindparams(sa.bindparam("patch", type_=sa.JSON))

_CLEAR = text("UPDATE person SET extra = extra - :name, updated_at = now() WHERE id = :person_id AND extra ? :name")

_ADD_INTERESTS = text("""
    -- In the order of keys, so that two writers do not wait in a circle.
    INSERT INTO person_interest (interest_id, person_id)
    SELECT id, :person_id FROM unnest(:ids) AS i (id) ORDER BY id ON CONFLICT DO NOTHING
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("person_id", type_=sa.BigInteger))

_REMOVE_INTERESTS = text("""
    DELETE FROM person_interest WHERE person_id = :person_id AND interest_id = ANY(:ids)
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)))

_HOLD = text("SELECT id FROM person WHERE id = :person_id FOR KEY SHARE")


async def hold_person(session: AsyncSession, *, person_id: int) -> bool:
    """Keep a person from being deleted until the commit; return whether there is one."""
    return (await run(session, _HOLD, person_id=person_id)).one_or_none() is not None


async def set_extra(session: AsyncSession, *, person_id: int, name: str, value: Any) -> bool:
    """Set, or with None clear, an extra field; return whether it was otherwise before."""
    if value is None:
        return bool((await run(session, _CLEAR, person_id=person_id, name=name)).rowcount)
    return bool((await run(session, _SET, person_id=person_id, patch={name: value})).rowcount)


async def add_interests(session: AsyncSession, *, person_id: int, interest_ids: Sequence[int]) -> int:
    """Give a person interests; return how many are new."""
    if not interest_ids:
        return 0
    return int((await run(session, _ADD_INTERESTS, person_id=person_id, ids=list(interest_ids))).rowcount)


async def remove_interests(session: AsyncSession, *, person_id: int, interest_ids: Sequence[int]) -> int:
    """Take interests from a person; return how many were there."""
    if not interest_ids:
        return 0
    return int((await run(session, _REMOVE_INTERESTS, person_id=person_id, ids=list(interest_ids))).rowcount)


async def add(session: AsyncSession, made: FollowUp | ServiceRequest) -> None:
    """Write a follow-up or a request; a run makes one (their unique `run_id`)."""
    session.add(made)
    await session.flush()
