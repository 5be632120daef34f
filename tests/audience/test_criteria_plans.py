"""The plans of criteria: whole sets are joined, and nobody is looked up; a lost index fails here."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.audience.criteria import read_criteria
from app.audience.criteria_checks import read_surroundings
from app.audience.criteria_sql import compile_criteria
from app.platform.db import Database, driver_url
from app.platform.plans import whole_sets
from tests.bench.a02_dynamic_selection import QUESTIONS, fill
from tests.delivery.test_plans import flatten, indexes, read_whole

PERSONS, EVENTS = 20_000, 200_000


@pytest.fixture(scope="module")
async def database(postgres_url):
    """An address book with events, in a transaction that is rolled back: one for all plans."""
    engine = create_async_engine(driver_url(postgres_url), poolclass=NullPool)
    async with engine.connect() as connection:
        outer = await connection.begin()
        await connection.execute(
            text("SELECT 1")
        )  # without a statement, the driver's calls are outside the transaction
        raw = (await connection.get_raw_connection()).driver_connection
        await fill(raw, persons=PERSONS, events=EVENTS, vacuum=False)
        yield Database(connection)
        await outer.rollback()
    await engine.dispose()


async def nodes(database, criteria) -> list[dict]:
    """Every node of the plan by which criteria are counted."""
    async with database.begin() as session:
        node = read_criteria(criteria)
        persons = compile_criteria(node, await read_surroundings(session, [node]))
        statement = text(f"EXPLAIN (FORMAT JSON) SELECT count(*) FROM {persons.source} WHERE {persons.condition}")
        async with whole_sets(session):
            found = (await session.exec(statement, params=dict(persons.params))).scalar_one()
    return list(flatten(found[0]["Plan"]))


def looks_up(found) -> list[str]:
    """What is done for each person: a loop, or a subquery that needs the person. One that is hashed once is neither."""
    loops = [node["Node Type"] for node in found if node["Node Type"] == "Nested Loop"]
    return loops + [node["Subplan Name"] for node in found if node.get("Subplan Name", "").startswith("SubPlan")]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
async def test_typical_questions_join_whole_sets(database, question):
    found = await nodes(database, question.criteria)
    assert looks_up(found) == []
    for table in ("person", "engagement"):
        assert len([node for node in found if node.get("Relation Name") == table]) <= 1, "read once at most"


SETS = [
    {"engagement": "opened", "since": {"days_ago": 3}},
    {"engagement": "clicked", "link_id": 7},
    {"engagement": "not_clicked", "mailing_id": 2},
    {"selection": 1},
    {"consent": "e_marketing", "is": "never_asked"},
    {"subscription": "not_subscribed"},
]


@pytest.mark.parametrize("criteria", SETS, ids=str)
@pytest.mark.parametrize("shape", ["alone", "negated", "either", "neither"])
async def test_a_set_is_joined_wherever_it_stands(database, criteria, shape):
    """Inside OR, PostgreSQL would look at a subquery for each person."""
    oslo = {"person": "city", "operator": "eq", "value": "Oslo"}
    shaped = {
        "alone": criteria,
        "negated": {"not": criteria},
        "either": {"or": [oslo, criteria]},
        "neither": {"or": [oslo, {"not": {"and": [criteria, {"subscription": "subscribed"}]}}]},
    }
    found = await nodes(database, shaped[shape])
    assert looks_up(found) == []
    assert len([node for node in found if node.get("Relation Name") == "person"]) == 1


async def test_recent_events_are_found_by_their_time(database):
    found = await nodes(database, {"engagement": "opened", "since": {"days_ago": 3}})
    assert "engagement_occurred_idx" in indexes(found)
    assert "engagement" not in read_whole(found)


async def test_what_became_of_one_mailing_is_read_from_its_lines(database):
    found = await nodes(database, {"and": [{"engagement": "opened", "mailing_id": 987}, {"engagement": "received"}]})
    assert indexes(found) & {"recipient_list_idx", "recipient_seq_idx"}
    unread = await nodes(database, {"engagement": "clicked"})
    assert "engagement" not in read_whole(unread)


async def test_two_hundred_criteria_are_planned_in_a_moment(database):
    """Each a join: the planner must not try out their orders."""
    parts = [{"or": [{"person": "id", "operator": "eq", "value": n}, {"not": {"selection": 1}}]} for n in range(1, 50)]
    found = await nodes(database, {"and": parts})
    assert looks_up(found) == []
