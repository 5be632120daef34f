"""An unsubscribe that came by mail does what the one-click does."""

from sqlmodel import select

from app.consent.models import Subscription, SubscriptionType
from app.contacts.models import Person
from app.mailings.models import Mailing
from app.platform.outbox import Job, OutboxJob, enqueue
from app.platform.tokens import TokenKey
from app.recipients.models import Recipient, RecipientStatus
from tests.conftest import SECRET
from workers.context import Context, run_job
from workers.main import JOBS


async def test_unsubscribing_by_mail_ends_the_subscription_at_once(database, settings):
    async with database.begin() as session:
        kind = SubscriptionType(name="News")
        person = Person(name="Kari", email="kari@example.com", email_key="kari@example.com")
        session.add_all([kind, person])
        await session.flush()
        mailing = Mailing(name="M", subscription_type_id=kind.id)
        session.add_all(
            [mailing, Subscription(person_id=person.id, subscription_type_id=kind.id, subscribed=True, source="t")]
        )
        await session.flush()
        recipient = Recipient(
            mailing_id=mailing.id, person_id=person.id, email="kari@example.com", email_key="kari@example.com",
            status=RecipientStatus.SENT,
        )  # fmt: skip
        session.add(recipient)
        await session.flush()
        await enqueue(session, Job.RECIPIENT_UNSUBSCRIBE, recipient=recipient.id)
        job_id = (await session.exec(select(OutboxJob.id))).one()
    context = Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET))
    await run_job(context, JOBS, job_id)
    async with database.begin() as session:
        subscription = (await session.exec(select(Subscription))).one()
        assert subscription.subscribed is False
        marked = await session.get(Recipient, recipient.id, populate_existing=True)
        assert marked.unsubscribed_at is not None
        assert (await session.exec(select(OutboxJob))).all() == []
