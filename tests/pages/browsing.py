"""The pages in a real browser: Debian's chromium, driven by playwright, on a server of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import httpx2
import pytest
import uvicorn
from playwright.async_api import Browser, async_playwright
from sqlmodel import select

from app.consent.models import Subscription, SubscriptionType
from app.contacts.models import Person
from app.embedded.ports import free_port
from app.mailings.models import Mailing, MailingState
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from app.platform.tokens import Purpose
from app.recipients.models import Recipient, RecipientStatus
from tests.bench.tools import MissingProgramError, find_program
from tests.conftest import settings_for

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
]  # fmt: skip


def find_chromium() -> str:
    """Return where Debian's chromium is. Where it cannot be installed, the test is skipped, except in CI."""
    try:
        return find_program("chromium", package="chromium")
    except MissingProgramError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser, closed at the end."""
    program = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Site:
    """A running service with an audience."""

    def __init__(self, database_url: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = Database.connect(settings_for(database_url), name="browser")
        self.app = create_app(settings_for(database_url, public_url=self.url), database=self.database)
        config = uvicorn.Config(
            self.app, port=self.port, log_level="error", lifespan="off", timeout_graceful_shutdown=2
        )
        self.server = uvicorn.Server(config)
        self.server.install_signal_handlers = lambda: None
        self.persons = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Site"]:
        """The site while its server runs."""
        serving = asyncio.create_task(self.server.serve())
        try:
            while not self.server.started:
                assert not serving.done()
                await asyncio.sleep(0.01)
            yield self
        finally:
            self.server.should_exit = True
            await serving
            await self.database.close()

    @property
    def test_token(self) -> str:
        """The token of a test message's unsubscribe link."""
        return self.app.state.tokens.make(Purpose.UNSUBSCRIBE, 0)

    def client(self) -> httpx2.AsyncClient:
        """A client with an admin key."""
        return httpx2.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"})

    async def fill(self) -> None:
        """Three subscription types, and a mailing of the first."""
        async with self.database.begin() as session:
            types = [
                SubscriptionType(name="Nordavinden", description="News from the coast, once a month."),
                SubscriptionType(name="Invitations", description="To concerts, talks and open days near you."),
                SubscriptionType(name="Offers"),
            ]
            session.add_all(types)
            await session.flush()
            self.types = [kind.id for kind in types]
            mailing = Mailing(
                name="June", state=MailingState.FINISHED, from_name="Nordavind Kulturhus",
                from_email="post@example.com", subscription_type_id=self.types[0],
            )  # fmt: skip
            session.add(mailing)
            await session.flush()
            self.mailing_id = mailing.id
            self.key = await create_api_key(session, name="browser", scopes=[Scope.ADMIN])

    async def add(self, *, language: str | None = None, days_ago: int = 0, known: bool = True) -> "Reader":
        """A person who receives the first two types, with a line of the mailing."""
        self.persons += 1
        email = f"kari{self.persons}@example.com"
        async with self.database.begin() as session:
            person = None
            if known:
                person = Person(name="Kari", email=email, email_key=email, language=language)
                session.add(person)
                await session.flush()
                for type_id in self.types[:2]:
                    session.add(
                        Subscription(person_id=person.id, subscription_type_id=type_id, subscribed=True, source="CRM")
                    )
            line = Recipient(
                mailing_id=self.mailing_id, person_id=person.id if person else None, email=email, email_key=email,
                status=RecipientStatus.SENT, sent_at=datetime.now(UTC) - timedelta(days=days_ago),
            )  # fmt: skip
            session.add(line)
            await session.flush()
            return Reader(self, line.id, person.id if person else None)


class Reader:
    """Somebody who got the mailing."""

    def __init__(self, site: Site, recipient_id: int, person_id: int | None) -> None:
        self.site, self.recipient_id, self.person_id = site, recipient_id, person_id

    def _url(self, letter: str, purpose: Purpose) -> str:
        return f"{self.site.url}/{letter}/{self.site.app.state.tokens.make(purpose, self.recipient_id)}"

    @property
    def unsubscribe(self) -> str:
        return self._url("u", Purpose.UNSUBSCRIBE)

    @property
    def preferences(self) -> str:
        return self._url("p", Purpose.PREFERENCES)

    async def subscribed(self) -> set[int]:
        """The types that are received."""
        query = select(Subscription).where(Subscription.person_id == self.person_id, Subscription.subscribed)
        async with self.site.database.begin() as session:
            return {row.subscription_type_id for row in (await session.exec(query)).all()}
