"""The plans of the lists' filters: each is served by an index, so that a million persons cost no more than a page."""

import json
from datetime import datetime

import asyncpg
import pytest
from sqlalchemy import event

from app.contacts import email_queries, queries
from app.contacts.matching_queries import persons_meant_in
from app.platform.db import Database
from tests.conftest import settings_for

PERSONS = 60_000

_FILL = f"""
    INSERT INTO company (external_id, name, email, email_key, updated_at)
    SELECT 'C-' || n, 'Company ' || n, 'post@c' || n || '.example', 'post@c' || n || '.example', '2026-01-01'
    FROM generate_series(1, {PERSONS}) AS n;
    INSERT INTO person (external_id, company_id, name, last_name, email, email_key, updated_at)
    SELECT 'P-' || n, (SELECT min(id) FROM company) + n % 5000, 'Person ' || n, 'Last' || n,
           n || '@p.example', n || '@p.example', '2026-01-01'
    FROM generate_series(1, {PERSONS}) AS n;
    INSERT INTO person_email (person_id, email, email_key)
    SELECT id, 'b' || id || '@p.example', 'b' || id || '@p.example' FROM person WHERE id % 3 = 0;
    INSERT INTO interest (name) SELECT 'Interest ' || n FROM generate_series(1, 400) AS n;
    INSERT INTO person_interest (interest_id, person_id)
    SELECT (SELECT min(id) FROM interest) + id % 400, id FROM person;
    UPDATE person SET updated_at = now() WHERE external_id IN ('P-7', 'P-8');
    UPDATE company SET updated_at = now() WHERE external_id = 'C-7';
"""


@pytest.fixture(scope="module")
async def database(postgres_url):
    database = Database.connect(settings_for(postgres_url), name="tests")
    yield database
    await database.close()


class Book:
    """A large address book, and the plans of what is asked of it."""

    def __init__(self, session, connection) -> None:
        self.session = session
        self.connection = connection
        self.asked: list[tuple[str, tuple]] = []

    async def plan(self, ask, **arguments) -> list[dict]:
        """Every node of the plan of the statement that a function runs."""
        self.asked.clear()
        found = await ask(self.session, **arguments)
        assert found, "a plan for nothing proves nothing"
        statement, parameters = self.asked[-1]
        explained = await self.connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        plan = explained.scalar_one()
        return list(_flatten((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _flatten(node):
    yield node
    for part in node.get("Plans", ()):
        yield from _flatten(part)


@pytest.fixture(scope="module")
async def book(database):
    engine = database._bind
    async with engine.connect() as connection:
        outer = await connection.begin()
        await connection.exec_driver_sql("SELECT 1")  # begins it: asyncpg's own calls would commit for themselves
        raw = await connection.get_raw_connection()
        await raw.driver_connection.execute(_FILL + "; ANALYZE person, company, person_email, person_interest;")
        async with Database(connection).begin() as session:
            book = Book(session, connection)

            @event.listens_for(engine.sync_engine, "before_cursor_execute")
            def note(_connection, _cursor, statement, parameters, *_):
                if not statement.startswith("EXPLAIN"):
                    book.asked.append((statement, parameters))

            yield book
        await outer.rollback()


def walked(nodes: list[dict]) -> set[str]:
    """The tables that a plan reads from one end to the other."""
    whole = ("Seq Scan", "Index Scan", "Index Only Scan")
    return {node["Relation Name"] for node in nodes if node["Node Type"] in whole and "Index Cond" not in node}


NONE = {"external_id": None, "email_key": None, "name": None, "updated_after": None, "after": None, "limit": 50}
RECENT = datetime.fromisoformat("2026-06-01T00:00:00Z")


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"external_id": "P-77"}, "person_external_id_key"),
        ({"email_key": "77@p.example"}, "person_email_key_idx"),
        ({"email_key": "77@p.example"}, "person_email_email_key_idx"),
        ({"name": "person 59999"}, "person_name_prefix_idx"),
        ({"name": "last59999"}, "person_last_name_prefix_idx"),
        ({"updated_after": RECENT}, "person_updated_at_idx"),
    ],
)
async def test_each_filter_of_persons_uses_its_index(book, asked, index):
    nodes = await book.plan(queries.page_of_persons, **NONE | {"company_id": None, "interest_id": None} | asked)
    assert walked(nodes) == set()
    assert index in {node.get("Index Name") for node in nodes}


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"external_id": "C-77"}, "company_external_id_key"),
        ({"email_key": "post@c77.example"}, "company_email_key_idx"),
        ({"name": "company 59999"}, "company_name_prefix_idx"),
        ({"updated_after": RECENT}, "company_updated_at_idx"),
    ],
)
async def test_each_filter_of_companies_uses_its_index(book, asked, index):
    nodes = await book.plan(queries.page_of_companies, **NONE | asked)
    assert walked(nodes) == set()
    assert index in {node.get("Index Name") for node in nodes}


async def test_persons_of_a_company_and_with_an_interest_are_found_by_their_indexes(book):
    [company] = await queries.page_of_companies(book.session, **NONE | {"external_id": "C-777"})
    common = NONE | {"company_id": None, "interest_id": None}
    nodes = await book.plan(queries.page_of_persons, **common | {"company_id": company.id})
    assert walked(nodes) == set()
    interest_id = (await book.connection.exec_driver_sql("SELECT max(id) FROM interest")).scalar_one()
    nodes = await book.plan(queries.page_of_persons, **common | {"interest_id": interest_id})
    assert walked(nodes) == set()
    assert "person_interest_pkey" in {node.get("Index Name") for node in nodes}


async def test_what_a_page_of_persons_has_is_looked_up_person_by_person(book):
    persons = await queries.page_of_persons(book.session, **NONE | {"company_id": None, "interest_id": None})
    nodes = await book.plan(email_queries.belongings, person_ids=[person.id for person in persons])
    assert walked(nodes) <= {"interest"}
    assert {"person_email_person_id_email_key_key", "person_interest_person_id_idx"} <= {
        node.get("Index Name") for node in nodes
    }


_LOADED = """
    CREATE TEMPORARY TABLE loaded (LIKE person INCLUDING ALL) ON COMMIT DROP;
    CREATE TEMPORARY TABLE loaded_email (LIKE person_email INCLUDING ALL) ON COMMIT DROP;
    INSERT INTO loaded (id, external_id, name, email, email_key)
    SELECT n, 'P-' || n, 'Person ' || n, n || '@p.example', n || '@p.example' FROM generate_series(1, 3000) AS n;
    UPDATE pg_class SET reltuples = 0, relpages = 100 WHERE oid = 'loaded'::regclass;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
    SET LOCAL statement_timeout = '5s';
"""


async def test_a_batch_is_matched_in_a_moment_also_while_statistics_call_the_address_book_empty(postgres_url):
    """Vacuumed after all its rows were deleted, a table counts as empty until it is analysed: joins took minutes."""
    connection = await asyncpg.connect(postgres_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(_LOADED)
    numbers = range(1, 3001)
    statement = persons_meant_in("loaded", "loaded_email")
    meant = await connection.fetch(statement, [f"P-{n}" for n in numbers], [f"{n}@p.example" for n in numbers])
    assert [row["id"] for row in meant] == list(numbers)
    await transaction.rollback()
    await connection.close()
