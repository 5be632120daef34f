"""Jobs of consent: yeses that run out, addresses that were blocked, and tests to them."""

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlmodel import select

from app.consent import blocked
from app.consent.models import BlockReason, ConsentAction
from app.consent.service import ConsentLine, record_consents
from app.mailings.models import MailingState
from app.platform.db import run
from app.platform.operations import Operation
from app.platform.outbox import OutboxJob
from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from tests.consent.people import People, days
from tests.delivery.smtp_server import SmtpServer
from workers.context import Context, run_job
from workers.main import JOBS
from workers.watch import expire_consents


@pytest.fixture
async def people(client, database) -> People:
    return People(client, database)


@pytest.fixture
def context(settings, database) -> Context:
    return Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET))


async def run_all(context) -> int:
    """Run every job that waits; return how many there were."""
    async with context.database.begin() as session:
        ids = (await session.exec(select(OutboxJob.id).order_by(OutboxJob.id))).all()
    for job_id in ids:
        await run_job(context, JOBS, job_id)
    async with context.database.begin() as session:
        assert (await session.exec(select(OutboxJob.last_error))).all() == []
    return len(ids)


async def test_the_watch_has_the_ledger_told_what_ran_out_once_however_many_watches_there_are(context, people, session):
    persons = [await people.person(f"{number}@x.example") for number in range(3)]
    lines = [
        ConsentLine("e_marketing", ConsentAction.GIVEN, "x", person.id, valid_from=days(-9), valid_until=days(-1))
        for person in persons
    ]
    await record_consents(session, lines=lines)
    waiting = await people.line(await people.mailing(), persons[0])
    for _ in range(3):
        await expire_consents(context)
    assert await run_all(context) == 1
    assert [(await people.state(person))["state"] for person in persons] == ["expired"] * 3
    assert await people.reason(waiting) == "no_consent"
    await expire_consents(context)
    await run_all(context)
    assert len(await people.rows("SELECT id FROM consent")) == 6


async def test_what_waits_for_a_blocked_address_is_taken_out_by_its_job(context, people, session):
    person = await people.person()
    line = await people.line(await people.mailing(override=True), person)
    await blocked.block_address(session, email=person.email, reason=BlockReason.HARD_BOUNCE, origin="550")
    assert await run_all(context) == 1
    assert await people.reason(line) == "blocked_address"


async def ready_to_test(people):
    mailing = await people.mailing(state=MailingState.DRAFT)
    await people.rows(
        "UPDATE mailing SET subject = 'N', html = '<p>Hi</p>', from_email = 'n@x.example' WHERE id = :id RETURNING id",
        id=mailing.id,
    )
    await people.line(mailing, await people.person())
    return f"/v1/mailings/{mailing.id}/test"


async def test_a_test_to_a_blocked_address_is_refused_and_says_which(client, people, session):
    """D15, D59: whoever blocked an address meant tests, too."""
    path = await ready_to_test(people)
    await blocked.block_address(session, email="boss@x.example", reason=BlockReason.MANUAL, origin="x")
    await run(session, text("INSERT INTO erased_address (hash) VALUES (erased_hash('gone@x.example'))"))
    answer = await client.post(path, json={"addresses": "me@x.example; Boss@X.example; gone@x.example"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:budstikke:problem:blocked-test-address")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/addresses/1", "#/addresses/2"]
    assert await people.rows("SELECT id FROM outbox") == []


async def test_a_test_passes_over_an_address_that_was_blocked_since_it_was_asked_for(
    client, people, session, postgres_url
):
    path = await ready_to_test(people)
    answer = await client.post(path, json={"addresses": "me@x.example; boss@x.example"})
    assert answer.status_code == 202, answer.text
    await blocked.block_address(session, email="boss@x.example", reason=BlockReason.MANUAL, origin="x")
    async with SmtpServer() as server:
        settings = settings_for(postgres_url, smtp_url=SecretStr(f"smtp://{server.host}:{server.port}"))
        await run_all(Context(settings=settings, database=people.database, tokens=TokenKey.from_secret(SECRET)))
        assert [entry.recipient for entry in server.ledger] == ["me@x.example"]
    [operation] = (await session.exec(select(Operation).execution_options(populate_existing=True))).all()
    outcomes = [message["outcome"] for message in operation.result["messages"]]
    assert outcomes == ["accepted", "blocked"]
