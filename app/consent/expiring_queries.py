"""Whose yes runs out, or ran out: the re-permission list."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_RANGE = """
    SELECT {columns} FROM consent_state
    WHERE purpose = :purpose AND {given} AND valid_until IS NOT NULL AND valid_until >= :since AND valid_until < :until
"""
_COLUMNS = "person_id, valid_from, valid_until, consent_id"
_PAGE_OF = (
    _RANGE
    + """
      AND (cast(:after_until AS timestamptz) IS NULL OR valid_until >= :after_until)
      AND (cast(:after_until AS timestamptz) IS NULL OR (valid_until, person_id) > (:after_until, :after_person))
    ORDER BY valid_until, person_id LIMIT :limit
"""
)
_TIMES = tuple(sa.bindparam(name, type_=sa.DateTime(timezone=True)) for name in ("since", "until"))

_EXPIRING = text(f"""
    -- A page of the persons whose yes to a purpose runs out in a span of time, those first whose runs out first;
    -- whether the ledger says so already is all the same. Walks consent_state_valid_until_idx and
    -- consent_state_expired_idx, so that a page costs the same wherever it is.
    SELECT s.person_id, p.external_id, p.name, p.email, s.valid_from AS since, s.valid_until AS until,
           s.valid_until <= now() AS expired, s.consent_id
    FROM (
        SELECT * FROM (
            ({_PAGE_OF.format(columns=_COLUMNS, given="given")})
            UNION ALL
            ({_PAGE_OF.format(columns=_COLUMNS, given="NOT given")})
        ) AS both_kinds
        ORDER BY valid_until, person_id LIMIT :limit
    ) AS s
    JOIN person AS p ON p.id = s.person_id
    ORDER BY s.valid_until, s.person_id
""").bindparams(
    *_TIMES,
    sa.bindparam("after_until", type_=sa.DateTime(timezone=True)),
    sa.bindparam("after_person", type_=sa.BigInteger),
)

_COUNT = text(f"""
    -- How many there are; reads the span of the two indexes.
    SELECT (SELECT count(*) FROM ({_RANGE.format(columns="1", given="given")}) AS a)
         + (SELECT count(*) FROM ({_RANGE.format(columns="1", given="NOT given")}) AS b) AS total
""").bindparams(*_TIMES)


async def page_of_expiring(
    session: AsyncSession, *, purpose: str, since: datetime, until: datetime, after: Sequence[Any] | None, limit: int
) -> list[Any]:
    """Return at most `limit + 1` persons whose yes runs out from `since` on and before `until`, in order of that time.

    `after` is the (valid_until, person_id) of the last one of the page before.
    """
    after_until, after_person = after or (None, None)
    rows = await run(
        session, _EXPIRING, purpose=purpose, since=since, until=until, after_until=after_until,
        after_person=after_person, limit=limit + 1,
    )  # fmt: skip
    return list(rows)


async def count_expiring(session: AsyncSession, *, purpose: str, since: datetime, until: datetime) -> int:
    """Return how many persons' yes runs out from `since` on and before `until`."""
    return int((await run(session, _COUNT, purpose=purpose, since=since, until=until)).one().total)
