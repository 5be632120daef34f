"""The states of a mailing, and who may move it from where to where (D28)."""

import asyncio

import httpx2
import pytest
from sqlalchemy import text

from app.mailings import schedule_queries
from app.mailings.models import Mailing, MailingState
from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database
from tests.conftest import settings_for
from tests.mailings.scheduling import NOW, House
from workers.watch import start_due

STATES = [state.value for state in MailingState]
SCHEDULE = {"send_at": "2026-12-01T09:00:00Z"}
LEADS = {
    # verb: {from: to}; from every other state it is a conflict
    "schedule": dict.fromkeys(("draft", "scheduled", "expired"), "scheduled"),
    "unschedule": dict.fromkeys(("scheduled", "expired"), "draft"),
    "send": dict.fromkeys(("draft", "scheduled", "expired"), "preparing"),
    "stop": {"sending": "stopped"},
    "start": {"stopped": "sending", "failed": "preparing"},  # it failed before it was frozen
    "cancel": dict.fromkeys(("draft", "scheduled", "preparing", "stopped", "failed"), "cancelled"),
}


@pytest.fixture
async def real_house(fresh_database):
    """A house where several connections see each other's commits."""
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="tests")
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    transport = httpx2.ASGITransport(create_app(settings, database=database))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=30) as client:
        yield House(client, database, settings)
    await database.close()


@pytest.mark.parametrize("verb", LEADS)
async def test_a_verb_leads_where_it_should_and_elsewhere_names_both_states(house, clock, verb):
    mailing_id = await house.mailing()
    for state in STATES:
        await house.sql("UPDATE mailing SET state = :state WHERE id = :id", state=state, id=mailing_id)
        body = SCHEDULE if verb == "schedule" else {}
        answer = await house.client.post(f"/v1/mailings/{mailing_id}/{verb}", json=body)
        leads = LEADS[verb].get(state)
        if leads:
            assert answer.status_code in (200, 202), (state, answer.text)
            assert await house.state(mailing_id) == leads
        else:
            assert answer.status_code == 409, (state, answer.text)
            assert f"is {state}; to become" in answer.json()["detail"]
            assert all(known in answer.json()["detail"] for known in LEADS[verb])
            assert await house.state(mailing_id) == state


async def test_preparing_ends_in_sending_and_sending_in_finished(house, clock):
    mailing_id = await house.mailing()
    operation = await house.post(f"mailings/{mailing_id}/send")
    await house.work()
    assert await house.state(mailing_id) == "sending"
    done = await house.get(f"operations/{operation['id']}")
    assert (done["state"], done["progress"], done["result"]) == ("succeeded", {"done": 1, "total": 1}, {"ready": 1})
    await house.sql("UPDATE recipient SET status = 'sent' WHERE mailing_id = :id", id=mailing_id)
    await house.sql("UPDATE chunk SET done_at = now()")
    await house.move_on()
    assert await house.state(mailing_id) == "finished"
    assert await house.events(mailing_id) == ["preparing", "started", "finished"]


async def test_stopped_goes_on_as_sending_and_cancelled_stays(house, clock):
    mailing_id = await house.mailing()
    await house.post(f"mailings/{mailing_id}/send")
    await house.work()
    for verb in ("stop", "start", "stop", "cancel"):
        await house.post(f"mailings/{mailing_id}/{verb}")
    assert await house.state(mailing_id) == "cancelled"
    assert await house.events(mailing_id) == ["preparing", "started", "stopped", "resumed", "stopped", "cancelled"]
    [dispatch] = await house.sql("SELECT halted_at FROM dispatch")
    assert dispatch.halted_at is not None


async def test_a_fault_in_the_system_fails_the_mailing_and_start_prepares_it_again(real_house):
    house = real_house
    mailing_id = await house.mailing()
    operation = await house.post(f"mailings/{mailing_id}/send")
    await house.sql("ALTER TABLE chunk RENAME TO gone")
    await house.sql("UPDATE outbox SET attempts = 7 WHERE job = 'mailing.prepare'")
    await house.work(fails=True)
    mailing = await house.get(f"mailings/{mailing_id}")
    assert mailing["state"] == "failed"
    assert "fault in the system" in mailing["state_reason"]
    assert (await house.get(f"operations/{operation['id']}"))["state"] == "failed"
    await house.sql("ALTER TABLE gone RENAME TO chunk")
    await house.sql("DELETE FROM outbox")
    again = await house.post(f"mailings/{mailing_id}/start")
    assert again["state"] == "preparing"
    assert again["prepare_operation_id"] != operation["id"]
    await house.work()
    assert await house.state(mailing_id) == "sending"


async def test_a_mailing_that_failed_while_it_was_sent_goes_on_where_it_stopped(house, clock):
    mailing_id = await house.mailing()
    await house.post(f"mailings/{mailing_id}/send")
    await house.work()
    await house.sql("UPDATE mailing SET state = 'failed' WHERE id = :id", id=mailing_id)
    assert (await house.post(f"mailings/{mailing_id}/start"))["state"] == "sending"
    assert len(await house.sql("SELECT id FROM dispatch")) == 1


async def test_cancelling_the_operation_makes_a_draft_again(house, clock):
    mailing_id = await house.mailing()
    operation = await house.post(f"mailings/{mailing_id}/send")
    await house.post(f"operations/{operation['id']}/cancel")
    await house.work()
    mailing = await house.get(f"mailings/{mailing_id}")
    assert (mailing["state"], mailing["state_reason"]) == ("draft", "preparing was cancelled")
    assert (await house.get(f"operations/{operation['id']}"))["state"] == "cancelled"
    assert await house.events(mailing_id) == ["preparing", "not_started"]


async def test_cancelling_a_mailing_in_preparation_ends_its_operation_at_once(house, clock):
    mailing_id = await house.mailing()
    operation = await house.post(f"mailings/{mailing_id}/send")
    await house.post(f"mailings/{mailing_id}/cancel")
    assert (await house.get(f"operations/{operation['id']}"))["state"] == "cancelled"
    await house.work()
    assert await house.state(mailing_id) == "cancelled"
    assert await house.sql("SELECT id FROM dispatch") == []


async def test_preparing_shows_progress_and_heeds_a_cancel_while_it_populates(real_house):
    """D28: another connection keeps lines from being written, so that the job is in the middle of it."""
    house = real_house
    persons = [await house.person(f"p{n}@example.com") for n in range(3)]
    mailing_id = await house.mailing(*persons)
    await house.sql("UPDATE mailing SET list_updated_at = NULL")
    await house.sql("DELETE FROM recipient")
    operation = await house.post(f"mailings/{mailing_id}/send")
    path = f"operations/{operation['id']}"
    async with house.database.begin() as session:
        await session.exec(house.statement("LOCK TABLE recipient IN SHARE MODE"))
        working = asyncio.create_task(house.work())
        async with asyncio.timeout(20):
            while (shown := await house.get(path))["state"] != "running":  # noqa: ASYNC110 - it is a row
                await asyncio.sleep(0.02)
        assert shown["progress"] == {"done": 0, "total": 3}
        await house.post(f"{path}/cancel")
        assert not working.done()
    await working
    assert (await house.get(path))["state"] == "cancelled"
    assert await house.state(mailing_id) == "draft"


async def test_of_two_who_move_a_mailing_at_once_one_wins_and_the_other_hears_both_states(real_house):
    house = real_house
    for verb, body in (("send", {}), ("schedule", {"send_at": "2027-11-01T09:00:00Z"})):
        mailing_id = await house.mailing(await house.person(f"{verb}@example.com"))
        other = "cancel" if verb == "schedule" else "send"
        answers = await asyncio.gather(
            house.client.post(f"/v1/mailings/{mailing_id}/{verb}", json=body),
            house.client.post(f"/v1/mailings/{mailing_id}/{other}", json={}),
        )
        codes = [answer.status_code for answer in answers]
        if verb == "send":
            assert sorted(codes) == [202, 409]
            assert "is preparing; to become preparing" in answers[codes.index(409)].json()["detail"]
            jobs = await house.sql("SELECT id FROM outbox WHERE job = 'mailing.prepare'")
            assert len(jobs) == 1
        else:  # one after the other, whichever was first
            assert codes in ([200, 200], [409, 200])
            assert await house.state(mailing_id) == "cancelled"


async def test_a_due_mailing_is_started_once_though_many_workers_watch(real_house):
    house = real_house
    mailing_id = await house.mailing()
    await house.scheduled(mailing_id, send_at="2027-11-01T09:00:00Z")
    await house.sql("UPDATE mailing SET starts_at = now(), send_at = now()")
    await asyncio.gather(*(start_due(house.context) for _ in range(6)))
    assert await house.state(mailing_id) == "preparing"
    assert len(await house.sql("SELECT id FROM outbox WHERE job = 'mailing.prepare'")) == 1
    assert await house.events(mailing_id) == ["scheduled", "scheduled", "preparing"]  # the time was changed above


async def test_due_mailings_are_found_by_their_index(session):
    session.add_all([Mailing(name="x", state=MailingState.FINISHED, starts_at=NOW) for _ in range(1000)])
    await session.flush()
    await session.exec(text("ANALYZE mailing"))
    explained = text(f"EXPLAIN {schedule_queries._DUE.text}").bindparams(*schedule_queries._DUE._bindparams.values())
    plan = (await session.exec(explained, params={"at": NOW})).scalars().all()
    assert any("mailing_scheduled_idx" in line for line in plan)
