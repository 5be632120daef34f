"""A mailing that is ready to be sent, over HTTP, and the worker that prepares it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlmodel import select

from app.platform.db import run
from app.platform.outbox import OutboxJob
from app.platform.tokens import TokenKey
from tests.conftest import SECRET
from workers.context import Context, run_job
from workers.main import JOBS
from workers.watch import move_on, start_due

CONTENT = {"subject": "News", "html": '<p>News</p><a href="[[link.unsubscribe]]">Unsubscribe</a>'}
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    """What `now` says to schedules and to freezing; the database's own clock goes on as ever."""

    def __init__(self, monkeypatch, at=NOW):
        self.at = at
        for module in ("app.mailings.schedule", "app.delivery.parts", "workers.watch"):
            monkeypatch.setattr(f"{module}.now", lambda: self.at)

    def set(self, text):
        self.at = datetime.fromisoformat(text)

    def add(self, **span):
        self.at += timedelta(**span)


class House:
    """The API, and a worker's watch and jobs."""

    def __init__(self, client, database, settings):
        self.client, self.database = client, database
        self.context = Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET))

    async def post(self, path, body=None, status=None):
        answer = await self.client.post(f"/v1/{path}", json=body or {})
        assert answer.status_code in ([status] if status else range(200, 300)), answer.text
        return answer.json()

    async def get(self, path):
        answer = await self.client.get(f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def person(self, email, time_zone=None):
        person = await self.post("persons", {"name": email, "email": email, "time_zone": time_zone})
        return person["id"]

    async def mailing(self, *persons, **setup):
        """A complete draft to these persons, or to one."""
        fields = {"name": "News", "from_email": "post@nordlys.example", "override_consent": True,
                  "override_reason": "a test of schedules", **setup}  # fmt: skip
        mailing_id = (await self.post("mailings", fields))["id"]
        answer = await self.client.put(f"/v1/mailings/{mailing_id}/content", json=CONTENT)
        assert answer.status_code == 200, answer.text
        for person in persons or [await self.person("kari@example.com")]:
            await self.post(f"mailings/{mailing_id}/sources", {"kind": "person", "person_id": person})
        return mailing_id

    async def scheduled(self, mailing_id, status=200, **body):
        return await self.post(f"mailings/{mailing_id}/schedule", body, status)

    async def state(self, mailing_id):
        return (await self.get(f"mailings/{mailing_id}"))["state"]

    async def watch(self):
        """Look as the watch of a worker does."""
        await start_due(self.context)

    async def move_on(self):
        """See to mailings that are being sent, as the watch does."""
        await move_on(self.context)

    async def work(self, *, fails=False):
        """Run the jobs that wait, except for sending; return how many there were."""
        async with self.database.begin() as session:
            query = select(OutboxJob.id).where(~OutboxJob.job.startswith("dispatch.send")).order_by(OutboxJob.id)
            waiting = (await session.exec(query)).all()
        for job_id in waiting:
            await run_job(self.context, JOBS, job_id)
        async with self.database.begin() as session:
            errors = [error for error in (await session.exec(select(OutboxJob.last_error))).all() if error]
        assert bool(errors) == fails, errors
        return len(waiting)

    async def sql(self, statement, **values):
        async with self.database.begin() as session:
            found = await run(session, text(statement), **values)
            return found.all() if found.returns_rows else []

    def statement(self, sql):
        """A statement for a session of one's own."""
        return text(sql)

    async def events(self, mailing_id):
        rows = await self.sql("SELECT type, data FROM event WHERE type LIKE 'mailing.%' ORDER BY id")
        return [row.type.removeprefix("mailing.") for row in rows if row.data["mailing_id"] == mailing_id]
