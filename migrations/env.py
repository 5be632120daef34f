"""Runs migrations, and fails fast instead of locking the house.

`lock_timeout` makes a migration give up when it cannot get a lock at once, so that requests do not queue behind it;
run it again. `statement_timeout` stops one that rewrites more than it was meant to.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

from app import tables  # noqa: F401 - every table must be known before the metadata is compared
from app.platform.db import driver_url

LOCK_TIMEOUT = "3s"
STATEMENT_TIMEOUT = "10min"


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        compare_type=True,
        compare_server_default=False,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        # Two processes that start at once migrate one after the other.
        connection.execute(text("SELECT pg_advisory_xact_lock(8001)"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
        context.run_migrations()


async def _connect_and_run() -> None:
    engine = create_async_engine(driver_url(context.config.get_main_option("sqlalchemy.url")), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


asyncio.run(_connect_and_run())
