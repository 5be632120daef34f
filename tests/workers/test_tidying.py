"""What the watch deletes when its time is over (D79)."""

from sqlalchemy import text

from app.platform.db import run
from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from workers import watch
from workers.context import Context

_AUDIT = """
    INSERT INTO audit_log (actor, action, entity, occurred_at)
    SELECT 'job:x', 'changed', 'person', now() - make_interval(days => :age) FROM generate_series(1, :count)
"""
_EVENTS = """
    INSERT INTO event (type, data, seq, occurred_at)
    SELECT 'person.updated', '{}', :first + n, now() - make_interval(days => :age) FROM generate_series(1, :count) AS n
"""


async def test_audit_entries_and_events_go_when_their_days_are_over(database, postgres_url, monkeypatch):
    """D79: as many days as the settings say, some thousands in one transaction."""
    monkeypatch.setattr(watch, "FORGET_AT_ONCE", 10)
    context = Context(
        settings_for(postgres_url, audit_days=730, events_days=90), database, TokenKey.from_secret(SECRET)
    )
    async with database.begin() as session:
        await run(session, text("DELETE FROM audit_log"))
        for age, count in ((900, 25), (731, 3), (729, 4)):
            await run(session, text(_AUDIT), age=age, count=count)
        for age, count, first in ((91, 25, 1000), (89, 4, 2000)):
            await run(session, text(_EVENTS), age=age, count=count, first=first)
        await run(
            session, text("INSERT INTO event (type, data, occurred_at) VALUES ('person.updated', '{}', '2020-1-1')")
        )
        await run(session, text("INSERT INTO webhook (url, secret_salt, last_seq) VALUES ('https://a.example', '', 0)"))
        await run(
            session,
            text("INSERT INTO webhook_delivery (webhook_id, event_id, state) "
                 "SELECT w.id, e.id, 'failed' FROM webhook AS w, event AS e WHERE e.seq = 1001"),
        )  # fmt: skip
    await watch.tidy(context)
    async with database.begin() as session:
        entries = await run(session, text("SELECT count(*) FROM audit_log WHERE actor = 'job:x'"))
        assert entries.scalar_one() == 4
        events = await run(session, text("SELECT seq FROM event WHERE type = 'person.updated' ORDER BY seq"))
        assert list(events.scalars()) == [2001, 2002, 2003, 2004, None], "one without a number was read by nobody yet"
        assert (await run(session, text("SELECT count(*) FROM webhook_delivery"))).scalar_one() == 0
