"""Requests that stand in each other's way, on connections of their own: the one that was given up is tried again."""

import asyncio

import httpx2
import pytest
from sqlalchemy import text

from app.main import create_app
from app.platform.auth import Scope, create_api_key
from app.platform.db import Database, run
from app.platform.tokens import Purpose
from tests.conftest import settings_for

WAITS = text("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


class House:
    """The API on a database of its own, and transactions beside it."""

    def __init__(self, database, app, client):
        self.database, self.app, self.client = database, app, client

    async def one(self, statement, **values):
        async with self.database.begin() as session:
            return (await run(session, text(statement), **values)).scalar_one()

    async def somebody_waits(self):
        async with asyncio.timeout(20), self.database.begin() as watcher:
            while not (await run(watcher, WAITS)).one().n:  # noqa: ASYNC110 - PostgreSQL sends no event
                await asyncio.sleep(0.01)


@pytest.fixture
async def house(fresh_database):
    settings = settings_for(fresh_database, database_pool=12)
    database = Database.connect(settings, name="tests")
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    app = create_app(settings, database=database)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield House(database, app, client)
    await database.close()


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k1"}], ids=["plain", "with a key"])
async def test_a_folder_goes_although_a_draft_is_moved_into_it_at_that_moment(house, key):
    """The other one has the draft and wants the folder; the request has the folder and wants the draft."""
    folder = (await house.client.post("/v1/folders", json={"kind": "mailing", "name": "2026"})).json()["id"]
    other = (await house.client.post("/v1/folders", json={"kind": "mailing", "name": "2027"})).json()["id"]
    body = {"name": "News", "subject": "News", "folder_id": folder}
    mailing = (await house.client.post("/v1/mailings", json=body)).json()["id"]
    path = f"/v1/folders/{folder}"
    async with house.database.begin() as session:
        # whoever waits longest for its turn looks for a circle first, and gives itself up: not this one
        await run(session, text("SET LOCAL deadlock_timeout = '60s'"))
        await run(session, text("UPDATE mailing SET name = 'Moved' WHERE id = :id"), id=mailing)
        request = asyncio.create_task(house.client.delete(path, params={"contents": "move_up"}, headers=key))
        await house.somebody_waits()
        await run(session, text("UPDATE mailing SET folder_id = :f WHERE id = :id"), f=other, id=mailing)
        await run(session, text("SELECT 1 FROM folder WHERE id = :f FOR KEY SHARE"), f=folder)
    answer = await request
    assert answer.status_code == 204, answer.text
    assert await house.one("SELECT name || ' to ' || folder_id FROM mailing WHERE id = :id", id=mailing) == (
        f"Moved to {other}"
    )


_LISTS = text("""
    -- Twelve persons, each on the lists of six mailings, in another order for every other one.
    WITH kind AS (INSERT INTO subscription_type (name) VALUES ('News') RETURNING id), mailing AS (
        INSERT INTO mailing (name, subject, from_name, from_email, html, state, subscription_type_id)
        SELECT 'm' || n, '', '', '', '', 'sending', id FROM kind, generate_series(1, 6) AS n RETURNING id
    ), person AS (
        INSERT INTO person (name, email, email_key)
        SELECT 'P', 'p' || n || '@example.com', 'p' || n || '@example.com' FROM generate_series(1, 12) AS n RETURNING id
    )
    INSERT INTO recipient (mailing_id, person_id, email, email_key, name, status)
    SELECT m.id, p.id, 'p@example.com', 'p@example.com', 'P', 'ready' FROM mailing AS m CROSS JOIN person AS p
    ORDER BY p.id, CASE WHEN p.id % 2 = 0 THEN m.id ELSE -m.id END
""")


@pytest.mark.parametrize("form", [{"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}])
async def test_a_one_click_that_was_given_up_for_another_transaction_is_done_all_the_same(house, form):
    """D47: the other one has the tally and wants the person; the click has the person and wants the tally."""
    async with house.database.begin() as session:
        await run(session, _LISTS)
    line = await house.one("SELECT min(id) FROM recipient WHERE person_id = (SELECT min(id) FROM person)")
    token = house.app.state.tokens.make(Purpose.UNSUBSCRIBE, line)
    async with house.database.begin() as session:
        await run(session, text("SET LOCAL deadlock_timeout = '60s'"))
        await run(session, text("UPDATE recipient_tally SET value = value WHERE name = 'ready'"))
        click = asyncio.create_task(house.client.post(f"/u/{token}", **form))
        await house.somebody_waits()
        await run(session, text("UPDATE person SET name = 'Q' WHERE id = (SELECT min(id) FROM person)"))
    answer = await click
    assert answer.status_code == 200, answer.text
    assert await house.one("SELECT count(*) FROM recipient WHERE unsubscribed_at IS NOT NULL") == 1
    assert await house.one("SELECT count(*) FROM recipient WHERE status = 'ready'") == 66


async def test_a_batch_of_a_stream_that_was_given_up_is_saved_all_the_same(house):
    """The stream has the first person and wants the second, the other one the other way round."""
    lines = b'{"external_id": "1", "name": "A"}\n{"external_id": "2", "name": "B"}\n'
    stream = {"content": lines, "headers": {"Content-Type": "application/x-ndjson"}}
    assert (await house.client.post("/v1/persons/bulk/stream", **stream)).status_code == 200
    async with house.database.begin() as session:
        await run(session, text("SET LOCAL deadlock_timeout = '60s'"))
        await run(session, text("UPDATE person SET city = 'Oslo' WHERE external_id = '2'"))
        sending = asyncio.create_task(house.client.post("/v1/persons/bulk/stream", **stream))
        await house.somebody_waits()
        await run(session, text("UPDATE person SET city = 'Oslo' WHERE external_id = '1'"))
    answer = await sending
    assert '"updated":2' in answer.text.replace(" ", "")


async def test_persons_who_unsubscribe_at_the_same_moment_are_all_answered(house):
    """D47: their lines count in the same tallies."""
    async with house.database.begin() as session:
        await run(session, _LISTS)
        lines = (await run(session, text("SELECT min(id) AS id FROM recipient GROUP BY person_id"))).scalars().all()
    tokens = [house.app.state.tokens.make(Purpose.UNSUBSCRIBE, line) for line in lines]
    answers = await asyncio.gather(*(house.client.post(f"/u/{token}", data=ONE_CLICK) for token in tokens))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert await house.one("SELECT count(*) FROM recipient WHERE status = 'ready'") == 0
    assert await house.one("SELECT count(*) FROM recipient WHERE unsubscribed_at IS NOT NULL") == 12
    assert await house.one("SELECT sum(value) FROM recipient_tally WHERE name = 'blocked'") == 72
