"""Updates of one list at the same time, on connections of their own."""

import asyncio

import pytest
from sqlalchemy import text

from app.audience.selection_queries import Whom, add_whom
from app.contacts.errors import InvalidContact
from app.contacts.service import create_person
from app.platform.db import Database, run
from app.recipients.list_queries import ListRules
from app.recipients.service import update_list
from app.statistics.service import drift
from tests.conftest import settings_for

_FILL = text("""
    WITH mailing AS (
        INSERT INTO mailing (id, name, subject, from_name, from_email, html) VALUES (1, 'm', '', '', '', '')
    ), selection AS (
        INSERT INTO selection (id, name) VALUES (1, 's')
    ), source AS (
        INSERT INTO mailing_source (mailing_id, kind, selection_id) VALUES (1, 'selection', 1)
    ), person AS (
        INSERT INTO person (name, email, email_key)
        SELECT 'P', 'p' || n || '@example.com', 'p' || n || '@example.com' FROM generate_series(1, 500) AS n
        RETURNING id
    )
    INSERT INTO selection_member (selection_id, person_id) SELECT 1, id FROM person
""")
RULES = ListRules(subscription_type_id=None, override_consent=True)


@pytest.fixture
async def base(fresh_database):
    base = Database.connect(settings_for(fresh_database), name="tests")
    async with base.begin() as session:
        await run(session, _FILL)
    yield base
    await base.close()


async def update(base):
    async with base.begin() as session:
        return await update_list(session, mailing_id=1, rules=RULES)


async def somebody_waits(base):
    async with asyncio.timeout(20), base.begin() as watcher:
        waits = text("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")
        while not (await run(watcher, waits)).one().n:  # noqa: ASYNC110 - PostgreSQL sends no event
            await asyncio.sleep(0.01)


async def test_two_updates_at_once_list_everybody_once(base):
    """The later one waits for the mailing's row, and then sees what the first did."""
    changes = await asyncio.gather(update(base), update(base), update(base))
    assert sorted((change.added, change.removed, change.changed) for change in changes) == [
        (0, 0, 0), (0, 0, 0), (500, 0, 0),
    ]  # fmt: skip
    async with base.begin() as session:
        row = (await run(session, text("SELECT count(*) AS n, count(DISTINCT person_id) AS p FROM recipient"))).one()
        assert (row.n, row.p) == (500, 500)
        assert await drift(session, mailing_id=1) == {}


async def test_whoever_is_deleted_while_a_set_is_added_to_a_selection_is_left_out(base):
    whom = Whom("SELECT id AS person_id, cast(NULL AS bigint) AS company_id FROM person", {})
    async with base.begin() as session:
        await run(session, text("INSERT INTO selection (id, name) VALUES (2, 'All')"))

    async def add():
        async with base.begin() as session:
            return await add_whom(session, selection_id=2, whom=whom)

    async with base.begin() as deleting:
        await run(deleting, text("DELETE FROM person WHERE email_key = 'p250@example.com'"))
        adding = asyncio.create_task(add())
        await somebody_waits(base)
    done = await adding
    assert done.persons == 499


async def test_an_update_waits_for_whoever_moves_the_mailing(base):
    async with base.begin() as mover:
        await run(mover, text("SELECT 1 FROM mailing WHERE id = 1 FOR UPDATE"))
        waiting = asyncio.create_task(update(base))
        await somebody_waits(base)
        assert not waiting.done()
    assert (await waiting).added == 500


async def test_a_person_is_not_added_to_a_company_that_is_deleted_at_that_moment(base):
    async with base.begin() as session:
        await run(session, text("INSERT INTO company (id, name) VALUES (5, 'Acme')"))

    async def add():
        async with base.begin() as session:
            await create_person(session, fields={"name": "Kari", "company_id": 5}, default_country="NO")

    async with base.begin() as deleting:
        await run(deleting, text("DELETE FROM company WHERE id = 5"))
        adding = asyncio.create_task(add())
        await somebody_waits(base)
    with pytest.raises(InvalidContact, match="There is no company 5"):
        await adding
