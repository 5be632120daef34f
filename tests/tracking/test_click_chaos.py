"""Real processes: PostgreSQL and the API are killed while readers click. BUDSTIKKE_CLICKS says how many clicks."""

import asyncio
import os
import signal
import subprocess
import sys

import httpx2
import pytest

from app.embedded.ports import free_port, listening
from app.platform.tokens import Purpose, TokenKey
from tests.conftest import ROOT, SECRET, migrate
from tests.running import clean_environment
from tests.tracking.test_database_away import Fragile, until

CLICKS = int(os.environ.get("BUDSTIKKE_CLICKS", "1500"))
READERS = 16
LINK = 2


class Api:
    """The API as `budstikke api` runs it, with its drainer beside it."""

    def __init__(self, sent) -> None:
        self.port, self.settings = free_port(), sent.settings
        self.log = self.settings.data_dir / "api.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._spawn()
        await until(lambda: listening(self.port) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def _spawn(self) -> None:
        settings = self.settings
        environment = clean_environment(
            BUDSTIKKE_DATABASE_URL=settings.database_url, BUDSTIKKE_REDIS_URL="redis://127.0.0.1:1/0",
            BUDSTIKKE_SMTP_URL="smtp://127.0.0.1:1", BUDSTIKKE_PUBLIC_URL=settings.public_url,
            BUDSTIKKE_SECRET_KEY=SECRET, BUDSTIKKE_DATA_DIR=str(settings.data_dir), BUDSTIKKE_PORT=str(self.port),
        )  # fmt: skip
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "app.cli", "api"]
            self.process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)


@pytest.fixture
async def world(tmp_path, sent_factory):
    fragile = Fragile(tmp_path, sent_factory)
    api = Api(fragile.sent)
    try:
        await asyncio.to_thread(migrate, fragile.server.url)
        await fragile.sent.fill(links=8, recipients=CLICKS)
        await api.start()
        yield fragile, api
        api.end(signal.SIGKILL)
    finally:
        if api.process is not None and api.process.poll() is None:
            api.end(signal.SIGKILL)
        fragile.server.stop()


async def test_clicks_outlive_a_killed_database_and_a_killed_api_and_count_once(world):
    fragile, api = world
    tokens = TokenKey.from_secret(SECRET)
    waiting = list(range(CLICKS, 0, -1))
    answered: list[int] = []
    doubtful: set[int] = set()  # a click whose connection broke may have been recorded before
    url = f"http://127.0.0.1:{api.port}/c/"
    headers = {"User-Agent": fragile.sent.browser}

    async def click_on() -> None:
        async with httpx2.AsyncClient(headers=headers) as client:
            while waiting:
                recipient_id = waiting.pop()
                while True:
                    try:
                        answer = await client.get(url + tokens.make(Purpose.CLICK, recipient_id, LINK))
                    except httpx2.TransportError:
                        doubtful.add(recipient_id)
                        await asyncio.sleep(0.05)
                        continue
                    if answer.status_code == 302:
                        break
                    assert answer.status_code == 503  # a new API without the database knows no links
                    await asyncio.sleep(0.1)
                answered.append(recipient_id)

    async def reach(part: float) -> None:
        await until(lambda: len(answered) >= CLICKS * part, within=30 + CLICKS / 50)

    readers = [asyncio.create_task(click_on()) for _ in range(READERS)]
    await reach(0.15)
    fragile.kill()
    await reach(0.4)  # readers notice nothing
    fragile.start()
    await reach(0.5)
    api.end(signal.SIGKILL)  # its spool is not drained yet, or not all of it
    await api.start()
    await reach(0.7)
    fragile.kill()
    await reach(0.8)
    api.end(signal.SIGKILL)  # what was clicked since is on disk alone
    fragile.start()
    await api.start()
    await asyncio.gather(*readers)
    api.end(signal.SIGTERM)  # stores what is left
    stored = dict(await fragile.sent.sql("SELECT recipient_id, count(*) FROM engagement GROUP BY 1"))
    assert sorted(stored) == list(range(1, CLICKS + 1))
    assert {recipient_id for recipient_id, times in stored.items() if times > 1} <= doubtful
    assert len(doubtful) <= 2 * READERS
    assert not list(fragile.sent.settings.spool_dir.glob("*.spool"))
    await fragile.sent.assert_tallies_equal_a_recount()
    log = api.log.read_text()
    assert "engagement.database_away" in log
    # No token, address or user agent is in the log (D75).
    assert "/c/" not in log
    assert "Mozilla" not in log
    assert not any(tokens.make(Purpose.CLICK, recipient_id, LINK) in log for recipient_id in range(1, CLICKS + 1))
