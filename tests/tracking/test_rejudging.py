"""Stored events judged again (D45), and counters set back (D44)."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from app.platform.db import Database
from app.platform.operations import OperationState, read_operation
from app.tracking.events import Event
from app.tracking.models import EventKind
from app.tracking.rejudging import recompute, request_recompute
from app.tracking.resetting import Resettable, request_reset, reset
from app.verdict_commands import commands

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
AGENTS = (FIREFOX, FIREFOX, FIREFOX, "Mozilla/5.0", "curl/8.0", FIREFOX + " Edg/140.0")
START = datetime(2026, 11, 23, 9, 58, tzinfo=UTC)


@pytest.fixture
async def filled(sent, machine_factory):
    """400 events of 8 readers and gateways, stored in groups as they come."""
    await sent.sql("INSERT INTO library_link (id, name, target, target_key) VALUES (9, 'L', 'https://x', 'x')")
    await sent.sql("UPDATE link SET library_link_id = 9 WHERE id <= 2")
    await sent.sql("UPDATE link SET honeypot = true WHERE id = 8")
    await sent.sql("UPDATE recipient SET sent_at = $1", START - timedelta(hours=1))
    await sent.sql("UPDATE recipient SET sent_at = $1 WHERE id = 3", START + timedelta(seconds=100))
    chance = random.Random(7)
    machine = await machine_factory()
    waiting = [
        Event(
            *chance.choice(((EventKind.CLICK, 1), (EventKind.CLICK, 1), (EventKind.OPEN, None))), number,
            None, START + timedelta(seconds=chance.choice([0, 100, 300, 600, 900]) + round(chance.random() * 30, 3)),
            chance.choice(["GET"] * 9 + ["HEAD"]), chance.choice(AGENTS),
        )
        for number in [chance.randint(1, 8) for _ in range(400)]
    ]  # fmt: skip
    events = [
        event._replace(link_id=min(chance.randint(1, 40), 8) if chance.random() < 0.03 else chance.randint(1, 7))
        if event.kind is EventKind.CLICK else event
        for event in waiting
    ]  # fmt: skip
    while events:
        size = chance.randint(1, 60)
        await machine.store(*events[:size])
        events = events[size:]
    await machine.stop()
    return sent


@pytest.fixture
async def pool(filled):
    database = Database.connect(filled.settings, name="tests")
    yield database
    await database.close()


async def judged(sent):
    rows = await sent.sql("SELECT id, verdict, reasons, rule_version FROM engagement ORDER BY id")
    return [(row["id"], row["verdict"], frozenset(row["reasons"]), row["rule_version"]) for row in rows]


async def result_of(pool, operation_id):
    async with pool.begin() as session:
        operation = await read_operation(session, operation_id=operation_id)
    assert operation.state is OperationState.SUCCEEDED
    return operation.result


async def test_recomputing_after_a_change_of_rules_equals_storing_with_the_new_ones(filled, pool):
    """D45: also after a crash in the middle, and a trial changes nothing."""
    stored = await judged(filled)
    reasons = {reason for _, _, told, _ in stored for reason in told}
    assert {"burst", "probed", "honeypot", "near_honeypot", "too_soon", "head_request", "crawler"} <= reasons
    # What rules of old may have said: everything human, and a reader in a burst.
    await filled.sql("UPDATE engagement SET verdict = 'human', reasons = '{}', rule_version = 1")
    await filled.sql(
        "UPDATE engagement SET verdict = 'machine', reasons = '{crawler}'"
        " WHERE id IN (SELECT id FROM engagement ORDER BY id LIMIT 50)"
    )
    await filled.sql("UPDATE recipient SET clicked_at = NULL, opened_at = NULL, machine_clicked_at = NULL")
    old = await judged(filled)

    async def run(**options):
        async with pool.begin() as session:
            operation = await request_recompute(session, dry_run=options.get("dry_run", False))
        return operation.id, await recompute(pool, operation_id=operation.id, machine_seconds=2.0, batch=40, **options)

    trial, ended = await run(dry_run=True)
    assert ended
    assert await judged(filled) == old
    told = await result_of(pool, trial)
    assert (told["judged"], told["changed"]) == (400, sum(a[1] != b[1] for a, b in zip(old, stored, strict=True)))
    assert {"burst", "honeypot"} <= told["to_machine"].keys()
    assert "crawler" in told["to_human"]

    looks = iter(range(100))
    operation, ended = await run(stopping=lambda: next(looks) == 3)
    assert not ended
    assert await judged(filled) not in (old, stored)
    assert await recompute(pool, operation_id=operation, machine_seconds=2.0, batch=40)
    assert await result_of(pool, operation) == {**told, "dry_run": False}
    assert await judged(filled) == stored
    await filled.assert_tallies_equal_a_recount()


async def test_what_an_erased_person_s_agent_told_stays(filled, pool):
    """D78"""
    stored = await judged(filled)
    await filled.sql("UPDATE engagement SET user_agent = NULL")
    async with pool.begin() as session:
        operation = await request_recompute(session, dry_run=False)
    await recompute(pool, operation_id=operation.id, machine_seconds=2.0)
    # Whether a GET followed a HEAD of the same agent is not known any more either.
    assert [(a, b - {"probed"}) for a, _, b, _ in await judged(filled)] == [
        (a, b - {"probed"}) for a, _, b, _ in stored
    ]


@pytest.mark.parametrize("what", Resettable)
async def test_a_reset_removes_clicks_clickers_and_marks_and_says_who_did_it(filled, pool, what):
    """D44"""
    id_ = {Resettable.LINK: 9, Resettable.MAILING: 1}[what]
    before = START + timedelta(seconds=200)
    of_it = {Resettable.LINK: "link_id <= 2", Resettable.MAILING: "true"}[what]
    expected = [
        row["id"] for row in await filled.sql(
            f"SELECT id FROM engagement WHERE NOT ({of_it} AND occurred_at < $1) OR link_id IS NULL AND {of_it} IS NULL"
            " ORDER BY id", before,
        )
    ]  # fmt: skip
    assert 0 < len(expected) < 400
    async with pool.begin() as session:
        operation = await request_reset(session, what=what, id_=id_, before=before)
    await reset(pool, what=what, id_=id_, before=before, operation_id=operation.id, batch=30)
    assert [row[0] for row in await filled.sql("SELECT id FROM engagement ORDER BY id")] == expected
    assert (await result_of(pool, operation.id))["removed"] == 400 - len(expected)
    await filled.assert_tallies_equal_a_recount()
    [entry] = await filled.sql("SELECT entity, entity_id, actor FROM audit_log WHERE action = 'reset'")
    assert (entry["entity"], entry["entity_id"]) == (what.value, str(id_))


def test_the_command_line_judges_again_and_tells_what_changed(fresh_database, tmp_path, sent_factory):
    """D45: `budstikke verdicts recompute`."""
    sent = sent_factory(fresh_database, tmp_path)
    asyncio.run(sent.fill(links=8, recipients=2))
    asyncio.run(
        sent.sql(
            "INSERT INTO engagement (kind, mailing_id, recipient_id, link_id, occurred_at, user_agent, verdict,"
            " rule_version) SELECT 'click', 1, 1, g, now(), $1, 'human', 1 FROM generate_series(1, 6) AS g", FIREFOX,
        )
    )  # fmt: skip
    tried = CliRunner().invoke(commands, ["recompute", "--dry-run"], obj=lambda: sent.settings)
    assert (tried.exit_code, tried.stdout) == (0, "6 events judged, 6 would change\n  to machine: burst 6\n")
    done = CliRunner().invoke(commands, ["recompute"], obj=lambda: sent.settings)
    assert (done.exit_code, done.stdout) == (0, "6 events judged, 6 changed\n  to machine: burst 6\n")
    again = CliRunner().invoke(commands, ["recompute"], obj=lambda: sent.settings)
    assert again.stdout == "6 events judged, 0 changed\n"
    asyncio.run(sent.assert_tallies_equal_a_recount())
