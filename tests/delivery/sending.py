"""A mailing that is being sent, on a database of its own, and senders for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg

from app.bounces.models import BounceKind, BounceOrigin
from app.bounces.service import take_in_bounce
from app.content.attached import Attachment
from app.content.compiler import MessageSource, compile_message
from app.delivery import service
from app.delivery.results import Bounced
from app.delivery.routing import Account, Routing
from app.delivery.sender import Ended, Sender
from app.delivery.smtp.account import SmtpAccount, Timeouts
from app.delivery.standing import Standings
from app.mailings.models import Mailing, MailingState
from app.platform.db import Database
from app.platform.files import store
from app.platform.settings import Settings
from app.platform.tokens import TokenKey
from app.tracking.service import register_links
from tests.conftest import SECRET, settings_for

TOKENS = TokenKey.from_secret(SECRET)
PATIENT = Timeouts(connect=10, command=10, data=10, body=10, dot=10, quit=1, idle=0.2)
_FIELDS = {"subject": "News", "text": None, "from_name": "Sender", "from_email": "sender@example.com"}
WITHIN = 20.0  # seconds; far beyond what any scenario needs

_RECIPIENTS = """
    INSERT INTO recipient (mailing_id, seq, name, email, email_key, status)
    SELECT $1, n, 'Person ' || n, 'r' || n || '@example.no', 'r' || n || '@example.no', 'ready'
    FROM generate_series(1, $2::int) AS n
"""


async def take_in(session: Any, bounced: list[Bounced]) -> None:
    """What the worker's job does with refusals."""
    for bounce in bounced:
        kind = BounceKind.HARD if bounce.hard else BounceKind.SOFT
        await take_in_bounce(
            session, recipient_id=bounce.recipient_id, kind=kind, origin=BounceOrigin.SMTP,
            status=bounce.status, detail=bounce.detail,
        )  # fmt: skip


@dataclass
class Sending:
    """The mailing, and a second connection to look at it from outside."""

    settings: Settings
    database: Database
    sql: asyncpg.Connection
    mailing_id: int
    dispatch_id: int
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    troubles: list[str | None] = field(default_factory=list)
    """What senders told of why nothing is sent."""

    async def take_trouble(self, words: str | None) -> None:
        self.troubles.append(words)

    async def sender(self, server: Any, **changes: Any) -> Sender:
        """A sender to a server; `sender.run()` sends."""
        async with self.database.begin() as session:
            loaded = await service.load_plan(
                session, dispatch_id=self.dispatch_id, settings=self.settings, tokens=TOKENS
            )
        assert loaded is not None, "the dispatch is halted"
        account = {"local_hostname": "me", "timeouts": PATIENT, **changes.pop("account", {})}
        smtp = SmtpAccount(server.host, server.port, **account)
        known = {
            "database": self.database,
            "plan": loaded[0],
            "routing": Routing([Account(None, "the server", smtp, connections=4)]),
            "standings": Standings(),
            "journal_directory": self.settings.journal_dir,
            "retries": loaded[1],
            "on_bounced": take_in,
            "on_trouble": self.take_trouble,
            "stopping": self.stopping,
        }
        return Sender(**{**known, **changes})

    async def send(self, server: Any, *, within: float = WITHIN, **changes: Any) -> Ended:
        """Let one sender send until nothing is left for it."""
        async with asyncio.timeout(within):
            return await (await self.sender(server, **changes)).run()

    async def keep_going(self, **changes: Any) -> bool:
        """What the watch does: retries, new chunks; tells whether all is done."""
        known = {"mailing_id": self.mailing_id, "resend_unconfirmed": False, "settings": self.settings}
        async with self.database.begin() as session:
            return await service.keep_going(session, **{**known, **changes})

    async def recover(self) -> int:
        return await service.recover(self.database, self.settings)

    async def statuses(self) -> dict[str, int]:
        rows = await self.sql.fetch(
            "SELECT status, count(*) FROM recipient WHERE mailing_id = $1 GROUP BY 1", self.mailing_id
        )
        return dict(rows)

    async def recipient(self, number: int) -> Any:
        return await self.sql.fetchrow(
            "SELECT * FROM recipient WHERE mailing_id = $1 AND email = $2", self.mailing_id, f"r{number}@example.no"
        )

    async def chunks(self) -> list[Any]:
        return await self.sql.fetch("SELECT * FROM chunk WHERE dispatch_id = $1 ORDER BY number", self.dispatch_id)

    @asynccontextmanager
    async def database_away(self) -> AsyncIterator[None]:
        """Meanwhile the database ends all connections, `sql` too, and refuses new ones."""
        address, name = self.settings.database_url.rsplit("/", 1)
        admin = await asyncpg.connect(f"{address}/postgres")
        await self.sql.close()
        try:
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            yield
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        finally:
            await admin.close()
        self.sql = await asyncpg.connect(self.settings.database_url)

    def journals(self) -> list[Path]:
        return list(self.settings.journal_dir.glob("*.journal"))


@asynccontextmanager
async def sending(
    database_url: str,
    directory: Path,
    *,
    count: int,
    html: str = "<p>Hei</p>",
    file: bytes = b"",
    message: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
):
    """A mailing of `count` ready recipients r1@example.no, r2@example.no, …, frozen and on its way.

    `file` is attached to it; `message` has what else its source has, and `changes` the settings.
    """
    settings = settings_for(database_url, data_dir=directory, **changes)
    database = Database.connect(settings, name="sender")
    sql = await asyncpg.connect(database_url)
    try:
        async with database.begin() as session:
            mailing = Mailing(name="News", state=MailingState.SENDING)
            session.add(mailing)
            await session.flush()
        await sql.execute(_RECIPIENTS, mailing.id, count)
        async with database.begin() as session:
            attachments = [await _attached(session, file)] if file else []
            source = MessageSource(html=html, **(_FIELDS | dict(message)), attachments=attachments)
            content = compile_message(source, public_url=settings.public_url)
            link_ids = await register_links(
                session, mailing_id=mailing.id, targets=[link.target for link in content.links], frozen=True
            )
            dispatch = await service.freeze(
                session, mailing_id=mailing.id, compiled=content, link_ids=link_ids, senders=1
            )
        found = Sending(settings, database, sql, mailing.id, dispatch.id)
        yield found
        sql = found.sql
    finally:
        await sql.close()
        await database.close()


async def _attached(session: Any, octets: bytes) -> Attachment:
    stored = await store(session, name="a.bin", source=_Upload(octets), limit=len(octets))
    return Attachment(stored.id, "Blåbær.bin", "application/octet-stream", stored.size)


class _Upload:
    def __init__(self, octets: bytes) -> None:
        self.file = BytesIO(octets)

    async def read(self, size: int = -1, /) -> bytes:
        return self.file.read(size)


async def reached(server: Any, count: int) -> None:
    """Wait until the server has taken so many messages."""
    await until(lambda: len(server.ledger) >= count)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - what it looks at knows nothing of events
            await asyncio.sleep(0.002)


def times_taken(server: Any) -> dict[int, int]:
    """How many addresses were taken how often."""
    return dict(Counter(Counter(entry.recipient for entry in server.ledger).values()))
