"""The decision table of D17-D24: whatever the world is like, the list is what a plain model of the rules says.

BUDSTIKKE_LIST_CASES=10000 runs that many cases (`make list-rules`); the suite runs fewer.
"""

import asyncio
import os
from collections import Counter

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.platform.db import Database, driver_url, run
from app.platform.tokens import erasure_key
from app.recipients.list_queries import ListRules
from app.recipients.service import count_list, update_list
from app.statistics.service import drift
from tests.conftest import SECRET
from tests.recipients import model
from tests.recipients.worlds import MAILING, NOW, WRITE, WRITER, document, worlds

CASES = int(os.environ.get("BUDSTIKKE_LIST_CASES", "100"))

# What may have happened to a line between two updates: its message left, or someone withdrew (D47).
LATER = ("ready", "ready", "ready", "sending", "deferred", "sent", "failed", "bounced", "unconfirmed", "withdrawn")

_READ = text("""
    SELECT person_id, company_id, source_id, name, email, email_key, status, reason, consent_id, subscribed_at, seq
    FROM recipient WHERE mailing_id = :mailing ORDER BY id
""")
_TURN = text("""
    UPDATE recipient AS r
    SET status = CASE v.status WHEN 'withdrawn' THEN 'blocked' ELSE v.status END,
        reason = CASE v.status WHEN 'withdrawn' THEN 'no_subscription' END
    FROM unnest(cast(:seqs AS integer[]), cast(:statuses AS text[])) AS v (seq, status)
    WHERE r.mailing_id = :mailing AND r.seq = v.seq AND r.status = 'ready' AND v.status <> 'ready'
""").bindparams(sa.bindparam("seqs", type_=sa.ARRAY(sa.Integer)), sa.bindparam("statuses", type_=sa.ARRAY(sa.Text)))


class Bench:
    """One connection with an outer transaction; each case is a savepoint in it, so that cases cost milliseconds."""

    def __init__(self, url):
        self.runner = asyncio.Runner()
        key = {"budstikke.erasure_key": erasure_key(SECRET), "jit": "off"}
        self.engine = create_async_engine(
            driver_url(url), poolclass=NullPool, connect_args={"server_settings": key}, hide_parameters=True
        )
        self.runner.run(self._open())

    async def _open(self):
        self.connection = await self.engine.connect()
        await self.connection.begin()
        await self.connection.exec_driver_sql(WRITER)
        self.database = Database(self.connection)

    def case(self, first, second, turns, *, membership):
        self.runner.run(self._case(first, second, turns, membership=membership))

    async def _case(self, first, second, turns, *, membership):
        savepoint = await self.connection.begin_nested()
        try:
            listed = await self._update(first, [], membership=True)
            async with self.database.begin() as session:
                await run(
                    session, _TURN, mailing=MAILING, seqs=list(range(1, len(turns) + 1)), statuses=list(turns)
                )  # fmt: skip
                listed = await self._read(session)
            listed = await self._update(second, listed, membership=membership)
            if membership:
                await self._update(second, listed, membership=True, is_repeated=True)
        finally:
            await savepoint.rollback()

    async def _update(self, world, listed, *, membership, is_repeated=False):
        options = world.options
        rules = ListRules(
            subscription_type_id=options.subscription_type_id,
            override_consent=options.override_consent,
            one_per_address=options.one_per_address,
            include_companies=options.include_companies,
            prefer_company=options.prefer_company,
        )
        async with self.database.begin() as session:
            if not is_repeated:
                await run(session, WRITE, doc=document(world))
            change = await update_list(session, mailing_id=MAILING, rules=rules, membership=membership)
            found = await self._read(session)
            counts = await count_list(session, mailing_id=MAILING)
            assert await drift(session, mailing_id=MAILING) == {}
        wanted, said = model.updated(world, listed, membership=membership, now=NOW)
        assert sorted(found, key=by_who) == sorted(wanted, key=by_who)
        assert (change.added, change.removed, change.changed) == (said.added, said.removed, said.changed)
        if is_repeated:
            assert (change.added, change.removed, change.changed) == (0, 0, 0)
        assert counts.total == sum(counts.by_status.values()) == len(found)  # D24
        assert counts.by_status == Counter(line.status for line in found) | dict.fromkeys(counts.by_status, 0) | {
            status: sum(line.status == status for line in found) for status in counts.by_status
        }
        for line in found:
            event(line.reason or line.status)
        return found

    async def _read(self, session):
        lines = []
        rows = (await run(session, _READ, mailing=MAILING)).all()
        assert len({row.seq for row in rows}) == len(rows)
        for row in rows:
            who = ("address", row.email_key or row.email)
            if row.person_id is not None:
                who = ("person", row.person_id)
            elif row.company_id is not None:
                who = ("company", row.company_id)
            lines.append(
                model.Line(
                    who=who, source_id=row.source_id, name=row.name, email=row.email, email_key=row.email_key,
                    status=row.status, reason=row.reason, consent_id=row.consent_id, subscribed_at=row.subscribed_at,
                )
            )  # fmt: skip
        return lines

    def close(self):
        self.runner.run(self._close())
        self.runner.close()

    async def _close(self):
        await self.connection.close()
        await self.engine.dispose()


def by_who(line):
    return tuple(map(str, line.who))


@pytest.fixture(scope="module")
def bench(postgres_url):
    bench = Bench(postgres_url)
    yield bench
    bench.close()


@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
@given(data=st.data(), membership=st.sampled_from([True, True, True, False]))
def test_the_list_is_what_the_rules_say(bench, data, membership):
    """D17-D24: a first list, then one after changes, some messages gone and some withdrawals."""
    first = data.draw(worlds())
    second = data.draw(worlds(base=first, first_consent=1001))
    turns = data.draw(st.lists(st.sampled_from(LATER), max_size=8))
    bench.case(first, second, turns, membership=membership)
