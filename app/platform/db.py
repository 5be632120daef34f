"""The database: one place that opens and commits transactions (architecture, idea 3)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.actor import Actor, acting
from app.platform.settings import Settings
from app.platform.telemetry import log
from app.platform.tokens import erasure_key

# What a database that is away or comes and goes raises. While it starts or stops, connecting raises asyncpg's own
# errors: SQLAlchemy translates only those of established connections.
DATABASE_AWAY = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

REQUEST_IDLE_SECONDS = 300  # an upload under an Idempotency-Key comes in while its lock is held
_SET_ACTOR = text("SELECT set_config('budstikke.actor', :actor, true)")  # until the end of the transaction

JOB_IDLE_SECONDS = 15  # a lease's length: whoever was stopped that long is overtaken, and must let go of the rows


def is_away(error: BaseException) -> bool:
    """Tell whether trying again later may help; not with a statement that is wrong, or a constraint."""
    return isinstance(error, DATABASE_AWAY) and not isinstance(error, (ProgrammingError, IntegrityError))


def in_the_way(error: BaseException) -> bool:
    """Tell whether PostgreSQL gave a transaction up because it and another one waited for each other."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in ("40P01", "40001")  # deadlock_detected, serialization_failure


TRIES = 3
"""How often a transaction is tried that another one stood in the way of: each has let the other one go on."""

Done = TypeVar("Done")


async def tried_again(attempt: Callable[[], Awaitable[Done]], *, can_repeat: Callable[[], bool] = lambda: True) -> Done:
    """Return what an attempt at a whole transaction comes to; one that PostgreSQL gave up is made again.

    For those who answer somebody: a job is tried again by its row. Raises what the last attempt raises, and at once
    what is no deadlock, or where nothing can be repeated.
    """
    for _ in range(TRIES - 1):
        try:
            return await attempt()
        except (DBAPIError, asyncpg.PostgresError) as error:
            if not in_the_way(error) or not can_repeat():
                raise
            log.warning("transaction.in_the_way")
    return await attempt()


def driver_url(url: str) -> str:
    """Return the URL with SQLAlchemy's name for asyncpg in it."""
    return "postgresql+asyncpg://" + url.split("://", 1)[1]


class Database:
    """Sessions on one engine, or in tests on one connection with an outer transaction."""

    def __init__(self, bind: AsyncEngine | AsyncConnection) -> None:
        self._bind = bind
        self._sessions = async_sessionmaker(
            bind, class_=AsyncSession, expire_on_commit=False, join_transaction_mode="create_savepoint"
        )

    @classmethod
    def connect(cls, settings: Settings, *, name: str, idle_seconds: int = REQUEST_IDLE_SECONDS) -> Self:
        """Return the database of the settings; connections are made when they are first needed.

        `name` is shown as application_name in pg_stat_activity. PostgreSQL ends a transaction that does nothing for
        `idle_seconds`, so that a process that was stopped in the middle of one does not hold its rows for ever.
        """
        return cls(
            create_async_engine(
                driver_url(settings.database_url),
                pool_size=settings.database_pool,
                max_overflow=0,
                pool_timeout=10,
                hide_parameters=True,  # they are personal data, and errors are logged
                connect_args={
                    "server_settings": {
                        "application_name": f"budstikke {name}",
                        "timezone": "UTC",
                        "jit": "off",
                        "idle_in_transaction_session_timeout": f"{idle_seconds}s",
                        "budstikke.erasure_key": erasure_key(settings.secret_key.get_secret_value()),
                    },
                    "timeout": 5,
                },
            )
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction; commit when the block ends well, else roll back.

        Who acts in this task is told to the database with the first statement, for the audit log.
        """
        async with self._sessions() as session, session.begin():
            if (actor := acting()) is not None:
                name_actor_later(session, actor)
            yield session

    async def ping(self) -> None:
        """Ask the database for a sign of life; raises what the driver raises."""
        async with self.begin() as session:
            await run(session, text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        if isinstance(self._bind, AsyncEngine):
            await self._bind.dispose()


async def run(session: AsyncSession, statement: sa.Executable, /, **params: Any) -> sa.CursorResult[Any]:
    """Run hand-written SQL with its bound parameters, and return its rows and `rowcount`.

    SQLModel's `exec` knows the types of its own `select` only; this is the one place that says so.
    """
    result: sa.CursorResult[Any] = await session.exec(statement, params=params)  # type: ignore[call-overload]
    return result


async def name_actor(session: AsyncSession, actor: Actor) -> None:
    """Say who acts in the session's transaction, for the audit log."""
    await run(session, _SET_ACTOR, actor=actor.setting())


def name_actor_later(session: AsyncSession, actor: Actor) -> None:
    """Say who acts as soon as the session connects, which is at its first statement."""

    @event.listens_for(session.sync_session, "after_begin", once=True)
    def name(_session: object, _transaction: object, connection: Connection) -> None:
        connection.execute(_SET_ACTOR, {"actor": actor.setting()})


async def driver_connection(session: AsyncSession) -> Any:
    """Return asyncpg's own connection inside the session's transaction, for COPY and binary arrays.

    A statement goes first: without one, asyncpg's calls would run outside the transaction.
    """
    await run(session, text("SELECT 1"))
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection
