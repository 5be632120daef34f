"""How statements over whole sets are run: without nested loops, and with memory for their hashes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

# A wrong guess of few rows, from statistics that are behind or from several conditions that go together, makes
# PostgreSQL read a whole set for every person. Hash joins cost at worst some 100 ms that a look-up would have saved.
_ON = text("SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '64MB', true)")
_OFF = text("SELECT set_config('enable_nestloop', 'on', true), set_config('work_mem', :work_mem, true)")


@asynccontextmanager
async def whole_sets(session: AsyncSession) -> AsyncIterator[None]:
    """Run the statements in the block as joins of whole sets, and those after it as usual."""
    work_mem = (await run(session, text("SHOW work_mem"))).one().work_mem
    await run(session, _ON)
    yield
    await run(session, _OFF, work_mem=work_mem)
