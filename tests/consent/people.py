"""Persons and companies with a mailing that waits for them."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlmodel import select

from app.consent.models import SubscriptionType
from app.contacts.models import Company, Person
from app.mailings.models import Mailing, MailingState
from app.platform.db import run
from app.recipients.models import Recipient, RecipientStatus

NOW = datetime.now(UTC).replace(microsecond=0)


def days(number: float) -> datetime:
    """The time so many days from now."""
    return NOW + timedelta(days=number)


class People:
    """What the tests of a slice below mailings need of the slices above: rows."""

    def __init__(self, client, database) -> None:
        self.client, self.database = client, database

    async def add(self, row):
        async with self.database.begin() as session:
            session.add(row)
            await session.flush()
            await session.refresh(row)
        return row

    async def person(self, email: str | None = "kari@nordlys.example", **fields) -> Person:
        return await self.add(Person(**{"name": "Kari", "email": email, "email_key": email, **fields}))

    async def company(self, email: str | None = "post@nordlys.example", **fields) -> Company:
        return await self.add(Company(**{"name": "Nordlys", "email": email, "email_key": email, **fields}))

    async def kind(self, name: str = "News") -> SubscriptionType:
        return await self.add(SubscriptionType(name=name))

    async def mailing(self, kind=None, *, state=MailingState.SENDING, override: bool = False) -> Mailing:
        return await self.add(
            Mailing(name="M", state=state, subscription_type_id=kind.id if kind else None, override_consent=override)
        )

    async def line(self, mailing, person=None, *, company=None, email=None, status=RecipientStatus.READY) -> Recipient:
        email = email or (person or company).email
        return await self.add(
            Recipient(
                mailing_id=mailing.id, person_id=person.id if person else None,
                company_id=company.id if company else None, email=email, email_key=email, status=status,
            )
        )  # fmt: skip

    async def consents(self, person, *, purpose="e_marketing", action="given", **fields):
        kind = "companies" if isinstance(person, Company) else "persons"
        body = {"purpose": purpose, "action": action, "source": "test"} | fields
        answer = await self.client.post(f"/v1/{kind}/{person.id}/consents", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def subscribes(self, person, kind, *, subscribed: bool = True):
        path = "companies" if isinstance(person, Company) else "persons"
        body = {"items": [{"subscription_type_id": kind.id, "subscribed": subscribed}]}
        answer = await self.client.put(f"/v1/{path}/{person.id}/subscriptions", json=body)
        assert answer.status_code == 200, answer.text

    async def state(self, person, purpose="e_marketing"):
        kind = "companies" if isinstance(person, Company) else "persons"
        items = (await self.client.get(f"/v1/{kind}/{person.id}/consents/state")).json()["items"]
        return next(item for item in items if item["purpose"] == purpose)

    async def reason(self, line) -> str:
        """The line's reason, or its status where it has none."""
        async with self.database.begin() as session:
            query = select(Recipient).where(Recipient.id == line.id)
            row = (await session.exec(query.execution_options(populate_existing=True))).one()
            return row.reason or row.status.value

    async def rows(self, statement: str, **params):
        async with self.database.begin() as session:
            return (await run(session, text(statement), **params)).all()
