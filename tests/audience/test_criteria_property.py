"""The criteria language in SQL and in plain Python mean the same persons, whatever the criteria and the data."""

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.audience.criteria import read_criteria, to_json
from app.audience.criteria_checks import checked
from app.audience.membership import membership
from app.audience.selection_queries import count_persons, page_of_persons, preview
from app.platform.db import Database, driver_url
from tests.audience.criteria_model import Model
from tests.audience.criteria_worlds import DYNAMIC, STATIC, criteria, store, worlds

EXAMPLES = int(os.environ.get("BUDSTIKKE_CRITERIA", "25"))
"""Worlds; each is asked ASKED questions. BUDSTIKKE_CRITERIA=2000 takes some minutes."""

ASKED = 6


@pytest.fixture(scope="module")
def runner(postgres_url):
    """Runs a check in a transaction that is rolled back; hypothesis calls it from a plain function."""
    engine = create_async_engine(driver_url(postgres_url), poolclass=NullPool)

    async def rolled_back(check, *values):
        async with engine.connect() as connection:
            outer = await connection.begin()
            try:
                async with Database(connection).begin() as session:
                    await check(session, *values)
            finally:
                await outer.rollback()

    with asyncio.Runner() as runner:
        yield lambda *call: runner.run(rolled_back(*call))


async def agree(session, world, asked):
    await store(session, world)
    now = (await session.exec(text("SELECT now() AS it"))).one().it
    model = Model(world, now)
    for told in asked:
        node = read_criteria(told)
        assert to_json(read_criteria(to_json(node))) == to_json(node)
        persons = await checked(session, node)
        found = await session.exec(text(f"{persons.sql} ORDER BY p.id"), params=dict(persons.params))
        expected = model.whom(told)
        assert [row.id for row in found] == expected, persons.sql
        assert await count_persons(session, persons=persons) == len(expected)
        after = expected[0] if expected else None
        page = await page_of_persons(session, persons=persons, after=after, limit=2)
        assert [row.id for row in page] == expected[1:4]
        number, sample = await preview(session, persons=persons)
        assert (number, [person.id for person in sample]) == (len(expected), expected)
    everyone = await membership(session, selection_ids=[*STATIC, *DYNAMIC])
    listed = f"SELECT selection_id, person_id FROM ({everyone.sql}) AS m ORDER BY 1, 2"
    rows = [tuple(row) for row in await session.exec(text(listed), params=dict(everyone.params))]
    assert rows == [(each, who) for each in (*STATIC, *DYNAMIC) for who in model.whom({"selection": each})]


def test_sql_and_plain_python_mean_the_same_persons(runner):
    @settings(max_examples=EXAMPLES)
    @given(worlds(), st.lists(criteria(), min_size=ASKED, max_size=ASKED))
    def ask(world, asked):
        runner(agree, world, asked)

    ask()
