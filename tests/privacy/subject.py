"""A person whom every table knows, by words that nobody else has."""

from sqlalchemy import text
from sqlmodel import SQLModel

from app.mailings.queries import find_mailing
from app.mailings.service import update_list
from app.recipients.schemas import AddressesSourceIn
from app.recipients.service import add_addresses

NAME = "Kariane Needlestrand"
EMAIL = "Kariane@Needle.example"
SECOND = "kari.second@needle.example"
OLD = "kari.old@needle.example"
PHONE = "+4799887766"
EXTERNAL = "crm-needle-1"
WORDS = ("needle", "99887766")


async def post(client, path, body, status=201, **headers):
    answer = await client.post(f"/v1/{path}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def execute(database, statement, **params):
    async with database.begin() as session:
        result = await session.exec(text(statement), params=params)
        return result.all() if result.returns_rows else []


class Subject:
    """Kariane, known everywhere; and Ola, of whom nothing may change."""

    def __init__(self, client, database):
        self.client, self.database = client, database

    async def person(self, name, email, **fields):
        person = (await post(self.client, "persons", {"name": name, "email": email, **fields}))["id"]
        line = {
            "purpose": "e_marketing", "action": "given", "source": f"web shop, order of {name}",
            "evidence": f"https://shop.example/{email}", "text_version": "2026-01",
        }  # fmt: skip
        await post(self.client, f"persons/{person}/consents", line)
        answers = {"items": [{"subscription_type_id": self.kind, "subscribed": True}]}
        assert (await self.client.put(f"/v1/persons/{person}/subscriptions", json=answers)).status_code == 200
        return person

    async def build(self):
        client = self.client
        self.kind = (await post(client, "subscription-types", {"name": "News"}))["id"]
        company = (await post(client, "companies", {"name": "Stråe AS"}))["id"]
        fields = {"external_id": EXTERNAL, "cellphone": PHONE, "company_id": company, "first_name": "Needle"}
        self.kari = await self.person(NAME, EMAIL, **fields)
        self.ola = await self.person("Ola Nordmann", "ola@example.com")
        await execute(
            self.database, "INSERT INTO person_email (person_id, email, email_key) VALUES (:id, :email, :email)",
            id=self.kari, email=SECOND,
        )  # fmt: skip
        interest = (await post(client, "interests", {"name": "Cats"}))["id"]
        assert (
            await client.put(f"/v1/persons/{self.kari}/interests", json={"interest_ids": [interest]})
        ).status_code == 200
        await execute(self.database, "INSERT INTO selection (name) VALUES ('All')")
        await execute(
            self.database,
            "INSERT INTO selection_member SELECT max(s.id), p.id FROM selection s, person p GROUP BY p.id",
        )
        await execute(self.database, "INSERT INTO project (name) VALUES ('Fair')")
        await execute(
            self.database, "INSERT INTO project_member SELECT max(j.id), :id FROM project j", id=self.kari
        )  # fmt: skip
        self.sent = await self.mailing("Sent")
        self.waiting = await self.mailing("Waiting")
        await self.send()
        await self.leave_traces()
        return self

    async def send(self):
        """As after sending: lines under the address of the time, results, clicks and opens, a bounce."""
        await execute(self.database, "UPDATE mailing SET state = 'finished' WHERE id = :id", id=self.sent)
        await execute(
            self.database,
            "UPDATE recipient SET status = 'sent', sent_at = now(), opened_at = now(), clicked_at = now(), "
            "attempts = 1, code = 250, reply = 'OK ' || email WHERE mailing_id = :id AND status = 'ready'",
            id=self.sent,
        )
        await execute(
            self.database,
            "INSERT INTO recipient (mailing_id, seq, person_id, name, email, email_key, status) "
            "VALUES (:mailing, 99, :person, 'Needle', :email, :email, 'sent')",
            mailing=self.sent, person=self.kari, email=OLD,
        )  # fmt: skip
        for kind in ("open", "click"):
            await execute(
                self.database,
                "INSERT INTO engagement (kind, mailing_id, recipient_id, user_agent, verdict, rule_version) "
                "SELECT :kind, mailing_id, id, CASE WHEN email ~* 'needle' THEN 'Needle/1.0' END, 'human', 1 "
                "FROM recipient WHERE mailing_id = :id",
                kind=kind, id=self.sent,
            )  # fmt: skip
        mine = "FROM recipient WHERE mailing_id = :id AND person_id = :person AND email <> :old"
        values = {"id": self.sent, "person": self.kari, "old": OLD}
        await execute(
            self.database,
            f"INSERT INTO bounce (mailing_id, recipient_id, kind, origin, detail) "
            f"SELECT mailing_id, id, 'soft', 'dsn', 'mailbox of ' || email || ' is full' {mine}",
            **values,
        )
        await execute(
            self.database,
            f"INSERT INTO inbound_message (digest, recipient_id, octets) "
            f"SELECT sha256('x'), id, convert_to('To: ' || email, 'UTF8') {mine}",
            **values,
        )

    async def leave_traces(self):
        """What names her elsewhere."""
        client = self.client
        await post(client, "blocked-addresses", {"email": EMAIL, "origin": "phoned, Needlestrand"})
        await client.patch(f"/v1/persons/{self.kari}", json={"city": "Needleby"})
        line = {"purpose": "track_opens", "action": "given", "source": "form", "evidence": f"mail to {EMAIL}"}
        await post(client, f"persons/{self.kari}/consents", line, **{"Idempotency-Key": "once"})
        operation = (await execute(self.database, "INSERT INTO operation (kind) VALUES ('import') RETURNING id"))[0].id
        await execute(
            self.database,
            "WITH i AS (INSERT INTO import (file_name, operation_id) VALUES ('a.csv', :operation) RETURNING id) "
            "INSERT INTO import_problem (import_id, row_number, code, detail, rejected) "
            "SELECT id, 3, 'invalid_phone', :detail, false FROM i",
            operation=operation, detail=f"The number of {EMAIL.upper()} is too short.",
        )  # fmt: skip
        await execute(
            self.database,
            "INSERT INTO test_message (mailing_id, operation_id, recipient_id, addresses) "
            "SELECT :mailing, :operation, max(id), ARRAY[cast(:email AS text), 'desk@example.com'] FROM recipient",
            mailing=self.sent, operation=operation, email=EMAIL,
        )  # fmt: skip

    async def mailing(self, name):
        body = {"name": name, "subject": name, "subscription_type_id": self.kind}
        mailing = (await post(self.client, "mailings", body))["id"]
        for person in (self.kari, self.ola):
            await post(self.client, f"mailings/{mailing}/sources", {"kind": "person", "person_id": person})
        async with self.database.begin() as session:
            pasted = AddressesSourceIn(
                kind="addresses", addresses=[f"Old Needle <{OLD}>", "stranger@example.com"],
                consent={"legal_basis": "consent", "source": "fair", "given_on": "2026-01-02"},
            )  # fmt: skip
            await add_addresses(session, mailing_id=mailing, pasted=pasted, recorded_by="tests")
            await update_list(session, mailing=await find_mailing(session, mailing_id=mailing))
        return mailing


async def tables_with(database, words):
    """Return the tables in which any of the words is, in text or in octets."""
    found = {}
    async with database.begin() as session:
        for name in SQLModel.metadata.tables:
            rows = (await session.exec(text(f'SELECT * FROM "{name}"'))).mappings().all()
            said = " ".join(
                value.decode("latin-1") if isinstance(value, bytes) else str(value)
                for row in rows for value in row.values()
            ).lower()  # fmt: skip
            if hits := [word for word in words if word in said]:
                found[name] = hits
    return found
