"""The plans of the statements that run for every message: a lost index or a wide update fails here."""

from contextlib import nullcontext

import pytest
from sqlalchemy import text

from app.delivery import queries
from app.delivery.merge_data import BY_RANGE, select_recipients
from app.platform.plans import by_key
from tests.delivery.sending import sending
from tests.delivery.smtp_server import SmtpServer
from workers.relay import _OFFER

COUNT = 20_000


@pytest.fixture
async def mailing(fresh_database, tmp_path):
    async with sending(fresh_database, tmp_path, count=COUNT) as found:
        await found.sql.execute("INSERT INTO outbox (job) SELECT 'list.update' FROM generate_series(1, 5000)")
        await found.sql.execute("UPDATE outbox SET failed_at = now() WHERE id % 50 > 0")
        await found.sql.execute("ANALYZE")
        yield found


async def nodes(mailing, statement, *, generic: bool = True, keyed: bool = False, **params) -> list[dict]:
    """Every node of a statement's plan; `generic` for the plan that PostgreSQL comes to use when it is prepared."""
    async with mailing.database.begin() as session:
        if generic:
            await session.exec(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        explained = text(f"EXPLAIN (FORMAT JSON) {statement.text}").bindparams(*statement._bindparams.values())
        async with by_key(session) if keyed else nullcontext():
            found = (await session.exec(explained, params=params)).scalar_one()
    return list(flatten(found[0]["Plan"]))


def flatten(node):
    yield node
    for part in node.get("Plans", ()):
        yield from flatten(part)


def indexes(found: list[dict]) -> set[str]:
    return {node["Index Name"] for node in found if "Index Name" in node}


def read_whole(found: list[dict]) -> set[str]:
    return {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}


async def test_flush_finds_recipients_by_key(mailing):
    found = await nodes(
        mailing, queries._FLUSH, dispatch_id=mailing.dispatch_id, owner="me", lease=15.0, numbers=[1], epochs=[1],
        window_ends=[256], dones=[False], granted=list(range(1, 257)), ids=list(range(1, 65)), attempts=[1] * 64,
        statuses=["sent"] * 64, codes=[250] * 64, replies=["ok"] * 64, bounces=[None] * 64, waits=[None] * 64,
    )  # fmt: skip
    assert read_whole(found) <= {"dispatch", "chunk"}  # a few rows each
    assert "recipient_pkey" in indexes(found)


async def test_chunk_is_read_by_its_range(mailing):
    await mailing.sql.execute(
        "INSERT INTO person (name, email, email_key) SELECT 'P', 'p', 'p' FROM generate_series(1, 200000);"
        "UPDATE recipient SET person_id = id; ANALYZE"
    )
    select = select_recipients(("customer.firstname", "company.name"), where=BY_RANGE)
    values = {"mailing_id": mailing.mailing_id, "first_seq": 5001, "last_seq": 6000}
    found = await nodes(mailing, select, generic=False, keyed=True, **values)
    assert {"recipient_seq_idx", "person_pkey"} <= indexes(found)
    assert read_whole(found) <= {"company", "consent_state"}  # they are empty


async def test_claim_reads_open_chunks_only(mailing):
    await mailing.sql.execute(
        "INSERT INTO chunk (dispatch_id, number, first_seq, last_seq, window_end, done_at) "
        "SELECT $1, n + 100, n, n, n, now() FROM generate_series(1, 5000) AS n",
        mailing.dispatch_id,
    )
    await mailing.sql.execute("ANALYZE chunk")
    found = await nodes(mailing, queries._CLAIM_ANY, dispatch_id=mailing.dispatch_id, owner="me", lease=15.0, held=[])
    assert "chunk_open_idx" in indexes(found)
    assert read_whole(found) == set()


async def test_recovery_finds_recipients_by_seq(mailing):
    columns = {"dispatches": [mailing.dispatch_id], "seqs": [7], "attempts": [1], "statuses": ["sent"], "codes": [250]}
    found = await nodes(mailing, queries._RECOVER, wait=1800.0, **columns)
    assert "recipient_seq_idx" in indexes(found)


async def test_offer_reads_jobs_that_wait(mailing):
    found = await nodes(mailing, _OFFER, seconds=5, batch=200)
    assert "outbox_due_idx" in indexes(found)


async def test_results_are_hot_updates(mailing):
    """No index knows a column that results set, and most pages have room for the new version of a row.

    Not all have: with the server's reply it is longer than the old one.
    """
    async with SmtpServer() as server:
        await mailing.sql.execute("UPDATE chunk SET done_at = now() WHERE number > 3")
        await mailing.send(server)
    await mailing.sql.execute("SELECT pg_stat_force_next_flush()")
    await mailing.database.close()  # a backend reports when it ends, at the latest
    seen = "SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = $1"
    recipient = await mailing.sql.fetchrow(seen, "recipient")
    assert recipient["updated"] >= 3000
    assert recipient["hot"] > 0.75 * recipient["updated"]
