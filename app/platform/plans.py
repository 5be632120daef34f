"""Statements whose plan must not be left to guesses: PostgreSQL is told what kind of plan to make.

It guesses from statistics, which are missing for tables that were just filled, and a connection keeps the plan that it
made while tables were small. What is told holds for the statements in the block, and is then as it was before.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import sqlalchemy as sa
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_TELL = text("""
    -- Sets what is told, in the transaction; answers the settings as they were, by name.
    WITH usual AS MATERIALIZED (
        SELECT t.name, current_setting(t.name) AS usual, t.told FROM unnest(:names, :told) AS t (name, told)
    )
    SELECT name, usual, set_config(name, told, true) FROM usual
""").bindparams(sa.bindparam("names", type_=sa.ARRAY(sa.Text)), sa.bindparam("told", type_=sa.ARRAY(sa.Text)))


@asynccontextmanager
async def _told(session: AsyncSession, **settings: str) -> AsyncIterator[None]:
    # A statement that fails ends the transaction, and the settings with it: nothing to put back.
    usual = {row.name: row.usual for row in await _tell(session, settings)}
    yield
    await _tell(session, usual)


async def _tell(session: AsyncSession, settings: dict[str, str]) -> sa.CursorResult[tuple[str, str, str]]:
    return await run(session, _TELL, names=list(settings), told=list(settings.values()))


def whole_sets(session: AsyncSession, **more: str) -> AbstractAsyncContextManager[None]:
    """Join whole sets in the block, without nested loops and with memory for hashes; `more` are settings by name.

    A wrong guess of few rows makes PostgreSQL read a whole set for every person: over 100 000 persons that was still
    running after five minutes. Hash joins cost at worst some 100 ms that a look-up would have saved.
    """
    return _told(session, **{"enable_nestloop": "off", "work_mem": "64MB"} | more)


def by_key(session: AsyncSession) -> AbstractAsyncContextManager[None]:
    """Find rows by their keys in the block, with look-ups in indexes where these are possible.

    Reading tables whole for each of 20 000 lines took 36 s where look-ups take half a second.
    """
    return _told(session, enable_seqscan="off")


def along_index(session: AsyncSession) -> AbstractAsyncContextManager[None]:
    """Walk along an index in the block, line by line, until there are enough.

    Left alone, the planner sorts all that an inner limit lets through before it looks at the first line.
    """
    return _told(session, **dict.fromkeys(_OTHER_WAYS, "off"))


_OTHER_WAYS = ("enable_sort", "enable_incremental_sort", "enable_seqscan", "enable_bitmapscan")
