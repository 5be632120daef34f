"""Finding the persons that a bulk request names."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_PERSONS_NAMED = text("""
    -- The persons with these ids or external ids, locked in the order of their ids until the commit, so that none is
    -- deleted in between. By person_pkey and person_external_id_key.
    SELECT id, external_id FROM person WHERE id IN (
        SELECT id FROM person WHERE id = ANY(:ids) UNION SELECT id FROM person WHERE external_id = ANY(:external_ids)
    ) ORDER BY id FOR NO KEY UPDATE
""").bindparams(
    sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("external_ids", type_=sa.ARRAY(sa.Text))
)


async def lock_persons_named(
    session: AsyncSession, *, ids: Sequence[int], external_ids: Sequence[str]
) -> tuple[set[int], dict[str, int]]:
    """Lock the persons that are named; return the ids of those that exist, and ids by external id."""
    rows = list(await run(session, _PERSONS_NAMED, ids=list(ids), external_ids=list(external_ids)))
    return {row.id for row in rows}, {row.external_id: row.id for row in rows if row.external_id is not None}
