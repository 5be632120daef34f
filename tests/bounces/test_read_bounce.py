"""The job that reads inbound messages."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.bounces import service
from app.bounces.models import InboundMessage
from app.platform.outbox import OutboxJob
from app.platform.tokens import TokenKey
from app.recipients.models import Recipient, RecipientStatus
from tests.bounces.reports import VACATION, block, delivery_status, postfix_report
from tests.bounces.rows import OLA, add_recipient, count, tallies
from tests.conftest import SECRET
from workers.context import Context, JobRun
from workers.jobs.bounces import read_bounce


@pytest.fixture
def context(settings, database) -> Context:
    return Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET), stopping=asyncio.Event())


async def keep(database, recipient_id: int, octets: bytes) -> OutboxJob:
    async with database.begin() as session:
        await service.keep_message(session, recipient_ids=[recipient_id], octets=octets)
    return await next_job(database)


async def next_job(database) -> OutboxJob | None:
    async with database.begin() as session:
        return (await session.exec(select(OutboxJob))).one_or_none()


async def read(context, job: OutboxJob) -> None:
    await read_bounce(context, JobRun(id=job.id, args=job.args, attempt=1))


async def the_message(database) -> InboundMessage:
    async with database.begin() as session:
        return (await session.exec(select(InboundMessage))).one()


async def test_a_report_bounces_its_recipient_and_ends_its_job(context, database):
    async with database.begin() as session:
        recipient = await add_recipient(session)
    await read(context, await keep(database, recipient.id, postfix_report(to=OLA)))
    message = await the_message(database)
    assert message.outcome == "bounce_hard:counted"
    assert message.read_at is not None
    assert await next_job(database) is None
    async with database.begin() as session:
        assert (await tallies(session, recipient.mailing_id))["bounced:hard"] == 1


async def test_reading_a_message_again_changes_nothing(context, database):
    async with database.begin() as session:
        recipient = await add_recipient(session)
    job = await keep(database, recipient.id, postfix_report(to=OLA))
    await read(context, job)
    first = await the_message(database)
    await read(context, job)
    assert (await the_message(database)).model_dump() == first.model_dump()
    async with database.begin() as session:
        assert await count(session, "bounce") == 1


async def test_two_reports_of_one_bounce_count_once(context, database):
    async with database.begin() as session:
        recipient = await add_recipient(session)
    await read(context, await keep(database, recipient.id, postfix_report(to=OLA)))
    await read(context, await keep(database, recipient.id, postfix_report(to=OLA, diagnostic="550 5.1.1 Again")))
    async with database.begin() as session:
        outcomes = (await session.exec(select(InboundMessage.outcome).order_by(InboundMessage.id))).all()
        assert outcomes == ["bounce_hard:counted", "bounce_hard:repeated"]
        assert await count(session, "bounce") == 1


@pytest.mark.parametrize(
    ("octets", "outcome"),
    [
        (VACATION, "auto_reply"),
        (delivery_status(block(OLA, action="delayed", status="4.4.1")), "delayed"),
        (delivery_status(block(OLA, status="5.7.27")), "sender_fault"),
    ],
    ids=["vacation", "delay", "our fault"],
)
async def test_what_is_no_bounce_leaves_the_recipient_sent(context, database, octets, outcome):
    async with database.begin() as session:
        recipient = await add_recipient(session)
    await read(context, await keep(database, recipient.id, octets))
    assert (await the_message(database)).outcome == outcome
    async with database.begin() as session:
        assert await tallies(session, recipient.mailing_id) == {"total": 1, "sent": 1}


async def test_a_report_about_a_deleted_recipient_ends_with_an_outcome(context, database):
    await read(context, await keep(database, 4711, postfix_report(to=OLA)))
    assert (await the_message(database)).outcome == "bounce_hard:gone"


async def test_a_report_that_is_faster_than_the_senders_own_results_waits_for_them(context, database):
    async with database.begin() as session:
        recipient = await add_recipient(session, status=RecipientStatus.READY)
    job = await keep(database, recipient.id, postfix_report(to=OLA))
    await read(context, job)
    later = await next_job(database)
    assert (later.args, later.due_at - later.created_at) == (job.args, pytest.approx(service.LOOK_AGAIN, abs=SECOND))
    async with database.begin() as session:
        (await session.get(Recipient, recipient.id)).status = RecipientStatus.SENT
    await read(context, later)
    assert (await the_message(database)).outcome == "bounce_hard:counted"


SECOND = timedelta(seconds=5)


async def test_a_report_about_a_message_that_never_left_is_given_up_in_the_end(context, database):
    async with database.begin() as session:
        recipient = await add_recipient(session, status=RecipientStatus.READY)
    job = await keep(database, recipient.id, postfix_report(to=OLA))
    async with database.begin() as session:
        await session.exec(text("UPDATE inbound_message SET created_at = now() - interval '2 hours'"))
    await read(context, job)
    assert (await the_message(database)).outcome == "bounce_hard:not_mailed"
    assert await next_job(database) is None
