"""What a CRM's user does over HTTP to get persons and companies onto a list."""

from sqlalchemy import text

from app.platform.db import run


class Desk:
    """A draft of a subscription type, and the requests that fill its list."""

    def __init__(self, client, session=None):
        self.client = client
        self.session = session

    async def post(self, path, body=None, status=201):
        answer = await self.client.post(f"/v1/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path, **params):
        answer = await self.client.get(f"/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def open(self, **setup):
        self.type = (await self.post("subscription-types", {"name": "Newsletter"}))["id"]
        body = {"name": "News", "subject": "News", "subscription_type_id": self.type, **setup}
        self.mailing = (await self.post("mailings", body))["id"]
        return self

    async def setup(self, **fields):
        answer = await self.client.patch(f"/v1/mailings/{self.mailing}", json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def person(self, email, *, consent=True, subscribed=True, **fields):
        person = await self.post("persons", {"name": "Kari Nordmann", "email": email, **fields})
        if consent:
            line = {
                "purpose": "e_marketing", "action": "given", "source": "web shop, order 4711",
                "text_version": "2026-01", "valid_from": "2026-11-01T09:30:00Z",
            }  # fmt: skip
            await self.post(f"persons/{person['id']}/consents", line)
        if subscribed:
            await self.subscribe(person["id"], subscribed=True)
        return person["id"]

    async def subscribe(self, person_id, *, subscribed):
        items = [{"subscription_type_id": self.type, "subscribed": subscribed}]
        answer = await self.client.put(f"/v1/persons/{person_id}/subscriptions", json={"items": items})
        assert answer.status_code == 200, answer.text

    async def row(self, statement, **values):
        """Run SQL for what other slices' routes are not needed for here; return its first row, if it has any."""
        found = await run(self.session, text(statement), **values)
        return found.first() if found.returns_rows else None

    async def company(self, name, email=None, *, consent=True, subscribed=True):
        statement = "INSERT INTO company (name, email, email_key) VALUES (:name, :email, :email) RETURNING id"
        company_id = (await self.row(statement, name=name, email=email)).id
        if consent:
            await self.row(
                """WITH line AS (INSERT INTO consent (company_id, purpose, action, source)
                                 VALUES (:id, 'e_marketing', 'given', 'contract of 2025') RETURNING id)
                   INSERT INTO company_consent_state (company_id, purpose, given, consent_id)
                   SELECT :id, 'e_marketing', true, id FROM line""",
                id=company_id,
            )
        if subscribed:
            await self.row(
                """INSERT INTO company_subscription (company_id, subscription_type_id, subscribed, source)
                   VALUES (:id, :type, true, 'test')""",
                id=company_id, type=self.type,
            )  # fmt: skip
        return company_id

    async def project(self, name, *person_ids):
        project_id = (await self.row("INSERT INTO project (name) VALUES (:name) RETURNING id", name=name)).id
        statement = "INSERT INTO project_member (project_id, person_id) VALUES (:project, :person)"
        for person_id in person_ids:
            await self.row(statement, project=project_id, person=person_id)
        return project_id

    async def source(self, status=201, **source):
        return await self.post(f"mailings/{self.mailing}/sources", source, status)

    async def remove(self, source_id, status=204):
        answer = await self.client.delete(f"/v1/mailings/{self.mailing}/sources/{source_id}")
        assert answer.status_code == status, answer.text
        return answer

    async def listed(self, **filters):
        return (await self.get(f"mailings/{self.mailing}/recipients", **filters))["items"]

    async def lines(self):
        """Return (email, status or reason) of every line."""
        return [(line["email"], line["reason"] or line["status"]) for line in await self.listed()]

    async def why(self, email):
        [line] = await self.listed(q=email)
        return await self.get(f"mailings/{self.mailing}/recipients/{line['id']}/why")
