"""Recovery: what a dead sender's journal tells becomes rows, exactly and repeatably."""

import asyncio
import os

import pytest

from app.delivery import queries
from app.delivery.journal import Journal, boot_id, recovery_lock
from app.delivery.replies import Outcome
from app.platform.db import DATABASE_AWAY
from tests.delivery.sending import sending

WINDOW_END = 100


@pytest.fixture
async def mailing(fresh_database, tmp_path):
    async with sending(fresh_database, tmp_path, count=300) as found:
        yield found


async def dead_sender(mailing, write=lambda _: None) -> Journal:
    """A sender that leased the chunk, opened a window of 100, wrote its journal and died."""
    journal = Journal(mailing.settings.journal_dir)
    async with mailing.database.begin() as session:
        await queries.claim_chunk(session, dispatch_id=mailing.dispatch_id, owner=journal.owner, lease=15)
    await mailing.sql.execute("UPDATE chunk SET window_end = $1", WINDOW_END)
    write(journal)
    journal.flush()
    for segment in journal._segments:  # as its death would
        os.close(segment.descriptor)
    return journal


def starts(mailing, outcomes: dict[int, tuple[Outcome, int] | None], attempt: int = 1):
    def write(journal):
        for seq, result in outcomes.items():
            journal.start(mailing.dispatch_id, seq, attempt)
            if result:
                journal.reply(mailing.dispatch_id, seq, attempt, *result)

    return write


ALL_KINDS = {
    1: (Outcome.ACCEPTED, 250),
    2: (Outcome.DEFERRED, 451),
    3: (Outcome.REJECTED, 554),
    4: (Outcome.UNKNOWN, None),
    5: None,
    6: (Outcome.SENDER_FAULT, 550),
    7: (Outcome.NOT_STARTED, None),
}


async def test_each_start_becomes_what_its_reply_said(mailing):
    await dead_sender(mailing, starts(mailing, ALL_KINDS))
    assert await mailing.recover() == 1
    rows = [await mailing.recipient(number) for number in range(1, 9)]
    assert [row["status"] for row in rows] == [
        "sent", "deferred", "bounced", "unconfirmed", "unconfirmed", "ready", "ready", "ready",
    ]  # fmt: skip
    assert [row["attempts"] for row in rows] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert rows[0]["sent_at"]
    assert rows[1]["due_at"]
    assert rows[2]["bounced_at"]
    assert "killed" in rows[4]["reply"]
    [chunk] = await mailing.chunks()
    assert (chunk["owner"], chunk["window_end"]) == (None, 0)
    assert mailing.journals() == []


async def test_recovery_can_be_repeated(mailing):
    journal = await dead_sender(mailing, starts(mailing, ALL_KINDS))
    [path] = mailing.journals()
    content = path.read_bytes()
    await mailing.recover()
    before = [dict(await mailing.recipient(number)) for number in range(1, 9)]
    path.write_bytes(content)  # killed before it could delete the journal
    assert journal.owner in path.name
    assert await mailing.recover() == 1
    assert [dict(await mailing.recipient(number)) for number in range(1, 9)] == before


async def test_results_stored_before_the_crash_are_left_alone(mailing):
    await mailing.sql.execute("UPDATE recipient SET status = 'sent', attempts = 1 WHERE seq = 5")
    await mailing.sql.execute("UPDATE recipient SET status = 'bounced', attempts = 1 WHERE seq = 1")
    await dead_sender(mailing, starts(mailing, ALL_KINDS))
    await mailing.recover()
    assert (await mailing.recipient(5))["status"] == "sent"
    assert (await mailing.recipient(1))["status"] == "bounced"


async def test_start_of_an_earlier_try_says_nothing_of_the_next(mailing):
    await mailing.sql.execute("UPDATE recipient SET attempts = 1")  # deferred once, ready again
    await dead_sender(mailing, starts(mailing, {1: None, 2: (Outcome.ACCEPTED, 250)}, attempt=1))
    await mailing.recover()
    assert await mailing.statuses() == {"ready": 300}


async def test_journal_of_another_boot_leaves_the_window_in_doubt(mailing):
    journal = await dead_sender(mailing, starts(mailing, {1: (Outcome.ACCEPTED, 250)}))
    [path] = mailing.journals()
    other = journal.owner.replace(boot_id(), "00000000-0000-4000-8000-000000000000")
    path.rename(path.with_name(path.name.replace(journal.owner, other)))
    await mailing.sql.execute("UPDATE chunk SET owner = $1", other)
    await mailing.recover()
    assert await mailing.statuses() == {"sent": 1, "unconfirmed": 99, "ready": 200}


async def test_damaged_journal_leaves_the_window_in_doubt(mailing):
    await dead_sender(mailing, starts(mailing, {1: (Outcome.ACCEPTED, 250)}))
    [path] = mailing.journals()
    with path.open("ab") as file:
        file.write(bytes(32))
    await mailing.recover()
    assert await mailing.statuses() == {"sent": 1, "unconfirmed": 99, "ready": 200}


async def test_journal_tells_what_a_takeover_had_doubted(mailing):
    """Another machine took the chunk over; later the first one comes back and reads its journal."""
    journal = await dead_sender(mailing, starts(mailing, {1: (Outcome.ACCEPTED, 250), 2: None}))
    async with mailing.database.begin() as session:
        await queries.doubt_owner(session, owner=journal.owner)
    assert await mailing.statuses() == {"unconfirmed": 100, "ready": 200}
    await mailing.recover()
    assert await mailing.statuses() == {"sent": 1, "unconfirmed": 99, "ready": 200}


async def test_processes_that_recover_at_once_doubt_nothing_a_journal_knows(mailing):
    """All workers are started again long after the crash: the lease has run out, but the journal is here."""
    await dead_sender(mailing, starts(mailing, ALL_KINDS))
    await mailing.sql.execute("UPDATE chunk SET lease_until = now() - interval '1 hour'")
    await asyncio.gather(*(mailing.recover() for _ in range(8)))
    statuses = await mailing.statuses()
    assert statuses == {"sent": 1, "deferred": 1, "bounced": 1, "unconfirmed": 2, "ready": 295}


async def test_recovery_waits_while_another_process_recovers(mailing):
    await dead_sender(mailing, starts(mailing, ALL_KINDS))
    with recovery_lock(mailing.settings.journal_dir) as ours:
        assert ours
        assert await mailing.recover() == 0
    assert await mailing.recover() == 1


async def test_journals_are_let_go_of_when_the_database_is_away(mailing):
    for _ in range(3):
        await dead_sender(mailing, starts(mailing, {1: None}))
    async with mailing.database_away():
        with pytest.raises(DATABASE_AWAY):
            await mailing.recover()
    assert await mailing.recover() == 3
    assert mailing.journals() == []


async def test_sender_that_lives_is_not_recovered(mailing):
    journal = Journal(mailing.settings.journal_dir)
    journal.start(mailing.dispatch_id, 1, 1)
    assert await mailing.recover() == 0
    assert await mailing.statuses() == {"ready": 300}
    journal.close()
