"""Reading the list: filters, search, and pages that cost the same however long the list is (D23)."""

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from app.platform.db import run
from app.platform.plans import along_index
from app.recipients.filters import RecipientFilter
from app.recipients.models import RecipientStatus
from app.recipients.page_queries import MOST_FOUND, read_page, read_page_ids

ADDRESS = "post@example.com"
_FILL = text("""
    INSERT INTO recipient (mailing_id, seq, name, email, email_key, person_id, status, reason)
    SELECT :mailing, n, 'Person ' || n, 'p' || n || '@example.com', 'p' || n || '@example.com', 1000000 + n,
           CASE WHEN n % 500 = 0 THEN 'blocked' ELSE 'ready' END, CASE WHEN n % 500 = 0 THEN 'no_consent' END
    FROM generate_series(1, :lines) AS n
""")


@pytest.fixture
async def long_list(desk):
    await run(desk.session, _FILL, mailing=desk.mailing, lines=3_000)
    await run(desk.session, _FILL, mailing=1_000_000, lines=30_000)  # another mailing's
    await run(desk.session, text("ANALYZE recipient"))
    return desk


async def read_all(desk, **filters):
    items, cursor, pages = [], None, 0
    while True:
        page = await desk.get(
            f"mailings/{desk.mailing}/recipients", **filters, **({"cursor": cursor} if cursor else {})
        )
        items, cursor, pages = items + page["items"], page["next_cursor"], pages + 1
        if cursor is None:
            return [item["email"] for item in items], pages


async def test_pages_follow_each_other_to_the_end(long_list):
    """D23: page by page."""
    emails, pages = await read_all(long_list, limit=200)
    assert (len(set(emails)), pages) == (3_000, 15)


async def test_a_filter_that_few_meet_finds_them_all(long_list):
    """D23: by any set of statuses."""
    emails, _ = await read_all(long_list, status="blocked", limit=2)
    assert emails == [f"p{n}@example.com" for n in range(500, 3_001, 500)]
    assert (await read_all(long_list, status="blocked", reason="no_consent"))[0] == emails
    assert (await read_all(long_list, reason="former_employee"))[0] == []


async def test_a_walk_is_bounded_and_goes_on_where_it_ended(long_list):
    """A page of a rare filter may be empty although the list goes on."""
    found = RecipientFilter(q="p2500@")
    after, pages = None, []
    while True:
        page = await read_page(
            long_list.session, mailing_id=long_list.mailing, found=found, after=after, limit=50, walk=1_000
        )
        pages.append([line.name for line in page.lines])
        after = page.goes_on_after
        if after is None:
            break
    assert pages == [[], [], ["Person 2500"]]


async def test_search_takes_its_signs_literally(long_list):
    """D23: searched."""
    await run(long_list.session, text("UPDATE recipient SET name = '100%_off' WHERE seq = 7"))
    assert (await read_all(long_list, q="100%_o"))[0] == ["p7@example.com"]
    assert (await read_all(long_list, q="%%"))[0] == []


async def test_marks_bounces_and_sources_are_filters(long_list):
    """D24."""
    changes = (
        "status = 'sent', sent_at = now(), opened_at = now() WHERE seq = 1",
        "status = 'sent', sent_at = now(), machine_opened_at = now() WHERE seq = 2",
        "status = 'sent', sent_at = now(), clicked_at = now(), opened_at = now() WHERE seq = 3",
        "status = 'bounced', bounce = 'hard' WHERE seq = 4",
        "status = 'bounced', bounce = 'soft', source_id = 77 WHERE seq = 5",
    )
    for change in changes:
        await run(long_list.session, text(f"UPDATE recipient SET {change}"))
    found = {
        "p1@example.com p3@example.com": {"mark": "opened"},
        "p3@example.com": {"mark": ["opened", "clicked"]},
        "p2@example.com": {"mark": "machine_opened", "without_mark": "opened"},
        "p4@example.com": {"bounce": "hard"},
        "p5@example.com": {"source_id": 77},
        "p4@example.com p5@example.com": {"status": "bounced"},
        "": {"mark": "complained"},
    }
    for emails, filters in found.items():
        assert (await read_all(long_list, **filters))[0] == emails.split(), filters
    assert len((await read_all(long_list, status="sent", without_mark="opened"))[0]) == 1


async def test_persons_companies_and_addresses_are_found_without_a_walk(long_list):
    desk = long_list
    acme = await desk.company("Acme", "post@acme.example")
    person = await desk.person("kari@acme.example", company_id=acme)
    await desk.setup(include_companies=True)
    await desk.source(kind="company", company_id=acme)
    await desk.source(kind="person", person_id=person)
    await desk.source(kind="addresses", addresses=["stranger@example.com"])
    assert (await read_all(desk, person_id=person))[0] == ["kari@acme.example"]
    assert set((await read_all(desk, company_id=acme))[0]) == {"post@acme.example", "kari@acme.example"}
    for email in ("KARI@acme.example", "post@acme.example", "stranger@example.com"):
        assert (await read_all(desk, email=email))[0] == [email.lower()]
    assert (await read_all(desk, email="stranger@example.com", status="ready"))[0] == []
    assert (await read_all(desk, email="no address"))[0] == []


async def test_more_lines_of_one_address_than_are_looked_up_at_once_are_found_page_by_page(desk):
    """D23: what a page looks up is bounded, the list is not."""
    many = """INSERT INTO recipient (mailing_id, name, email, email_key, status, company_id)
              SELECT :mailing, 'P' || n, 'post@example.com', 'post@example.com', 'ready', CASE WHEN n % 2 = 0 THEN 7 END
              FROM generate_series(1, :lines) AS n"""
    await desk.row("INSERT INTO company (id, name, email, email_key) VALUES (7, 'Acme', :key, :key)", key=ADDRESS)
    await desk.row(many, mailing=desk.mailing, lines=2 * MOST_FOUND + 10)
    for found, lines in (
        ({"email": ADDRESS}, 20_010),
        ({"company_id": 7}, 10_005),
        ({"company_id": 7, "q": "P4"}, 556),
    ):
        wanted, after, ids = RecipientFilter(**found), 0, []
        while after is not None:
            page = await read_page_ids(desk.session, mailing_id=desk.mailing, found=wanted, after=after, limit=5_000)
            ids, after = ids + list(page.lines), page.goes_on_after
        assert (len(set(ids)), ids) == (lines, sorted(ids)), found


async def test_an_unknown_filter_is_refused(desk):
    answer = await desk.client.get(f"/v1/mailings/{desk.mailing}/recipients", params={"statu": "sent"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query:statu")


@pytest.fixture
def statements(long_list):
    """What was asked of the list, with its parameters, while the test ran."""
    seen = []

    def listen(conn, cursor, statement, parameters, context, executemany):
        if (
            "FROM recipient" in statement
            and "ORDER BY" in statement
            and not statement.startswith(("EXPLAIN", "PREPARE"))
        ):
            seen.append((statement, parameters))

    connection = long_list.session.get_bind()
    sa.event.listen(connection, "before_cursor_execute", listen)
    yield seen
    sa.event.remove(connection, "before_cursor_execute", listen)


async def plan_of(session, statement, parameters):
    """Return the plan for these parameters, and the one that a connection keeps for any."""
    connection = await session.connection()
    plan = [row[0] for row in await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)]
    await connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    await connection.exec_driver_sql(f"PREPARE any_list AS {statement}")
    nothing = ", ".join(["NULL"] * len(parameters))
    kept = [row[0] for row in await connection.exec_driver_sql(f"EXPLAIN EXECUTE any_list ({nothing})")]
    return "\n".join(plan), "\n".join(kept)


@pytest.mark.parametrize("found", [{}, {"status": ["blocked"]}, {"q": "nobody"}, {"source_id": 9}])
async def test_a_page_walks_the_list_index_and_nothing_else(long_list, statements, found):
    """A page at a million lines costs what it costs at a thousand, and a short list beside a long one no more."""
    session = long_list.session
    await read_page(session, mailing_id=long_list.mailing, found=RecipientFilter(**found), after=None, limit=50)
    async with along_index(session):
        plans = await plan_of(session, *statements[0])
    for plan in plans:
        assert "using recipient_list_idx" in plan
        assert "Index Cond: " in plan
        assert "recipient_pkey" not in plan
        assert "Sort" not in plan
        assert "Seq Scan" not in plan


async def test_the_end_of_a_walk_is_found_in_the_list_index_alone(long_list, statements):
    found = RecipientFilter(q="nobody")
    await read_page(long_list.session, mailing_id=long_list.mailing, found=found, after=None, limit=50, walk=100)
    async with along_index(long_list.session):
        plans = await plan_of(long_list.session, *statements[1])
    for plan in plans:
        assert "Index Only Scan using recipient_list_idx" in plan


async def test_statuses_sum_to_the_size_of_the_list(long_list):
    """D24."""
    counts = await long_list.get(f"mailings/{long_list.mailing}/recipients/counts")
    assert counts["total"] == sum(counts["by_status"].values()) == 3_000
    assert set(counts["by_status"]) == {status.value for status in RecipientStatus}
    assert counts["by_status"]["blocked"] == sum(counts["blocked_by_reason"].values()) == 6
