"""A CRM's user over HTTP, and the worker that does what was asked."""

import itertools

from sqlalchemy import text
from sqlmodel import select

from app.platform.db import run
from app.platform.outbox import Job, OutboxJob
from app.platform.tokens import TokenKey
from tests.conftest import SECRET
from workers.context import Context, run_job
from workers.main import JOBS

CONTENT = {
    "subject": "News",
    "html": '<html lang="en"><p>News</p><p><a href="[[link.unsubscribe]]">Stop</a></p></html>',
    "text": "News [[link.unsubscribe]]",
}


class Desk:
    """A CRM's user, over HTTP."""

    def __init__(self, client, database, settings):
        self.client, self.database = client, database
        self.context = Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET))
        self.numbers = itertools.count(1)

    async def post(self, path, body, status=201):
        answer = await self.client.post(f"/v1/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def person(self, **fields):
        name = f"p{next(self.numbers)}"
        return (await self.post("persons", {"name": name, "email": f"{name}@example.com", **fields}))["id"]

    async def selection(self, *persons, name="Customers"):
        selection = (await self.post("selections", {"name": name}))["id"]
        if persons:
            answer = await self.client.post(f"/v1/selections/{selection}/members", json={"person_ids": persons})
            assert answer.status_code == 200, answer.text
        return selection

    async def project(self, *persons, **fields):
        project = (await self.post("projects", {"name": "Office move", **fields}))["id"]
        if persons:
            answer = await self.client.post(f"/v1/projects/{project}/members", json={"person_ids": persons})
            assert answer.status_code == 200, answer.text
        return project

    async def activities(self, project):
        answer = await self.client.get(f"/v1/projects/{project}/activities")
        return [item["id"] for item in answer.json()["items"]]

    async def mailing(self, **setup):
        body = {"name": "News", "override_consent": True, "override_reason": "a test of associations", **setup}
        return (await self.post("mailings", body))["id"]

    async def change(self, mailing, status=200, **setup):
        answer = await self.client.patch(f"/v1/mailings/{mailing}", json=setup)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def sources(self, mailing):
        return (await self.client.get(f"/v1/mailings/{mailing}/sources")).json()

    async def listed(self, mailing):
        answer = await self.client.get(f"/v1/mailings/{mailing}/recipients?limit=200")
        return {line["person_id"] for line in answer.json()["items"]}

    async def run_jobs(self, mailing, job=Job.LIST_UPDATE):
        """Run the waiting jobs of a mailing as a worker does; return how many there were."""
        async with self.database.begin() as session:
            query = select(OutboxJob).where(OutboxJob.job == job.value).order_by(OutboxJob.id)
            waiting = [row.id for row in await session.exec(query) if row.args["mailing"] == mailing]
        for job_id in waiting:
            await run_job(self.context, JOBS, job_id)
        return len(waiting)

    async def is_behind(self, mailing):
        return (await self.client.get(f"/v1/mailings/{mailing}")).json()["list_updated_at"] is None

    async def content(self, mailing, **changes):
        answer = await self.client.put(f"/v1/mailings/{mailing}/content", json={**CONTENT, **changes})
        assert answer.status_code == 200, answer.text

    async def get(self, path, **params):
        answer = await self.client.get(f"/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def remarks(self, mailing, step=None):
        """Return (code, severity) of what readiness says, of one step or of all."""
        steps = (await self.get(f"mailings/{mailing}/readiness"))["steps"]
        return [
            (remark["code"], remark["severity"])
            for each in steps
            if step in (None, each["step"])
            for remark in each["remarks"]
        ]

    async def sql(self, statement, **values):
        """Run SQL for what has no route of its own."""
        async with self.database.begin() as session:
            return await run(session, text(statement), **values)

    async def send(self, mailing):
        """Send a mailing up to where its senders would begin."""
        await self.post(f"mailings/{mailing}/send", {}, status=202)
        assert await self.run_jobs(mailing, Job.MAILING_PREPARE) == 1
        assert (await self.get(f"mailings/{mailing}"))["state"] == "sending"
