"""Nothing is sent to an address that was blocked or erased in the meantime, whichever way its message comes (D47, D59).

What is taken out at once is tested in tests/consent/test_at_once.py. Here the address is blocked behind everybody's
back, so that what a sender looks at by itself is all there is.
"""

import pytest

from app.delivery import queries
from app.platform.tokens import erasure_key
from tests.conftest import SECRET
from tests.delivery.sending import sending, until
from tests.delivery.smtp_server import SmtpServer
from tests.delivery.test_plans import indexes, nodes, read_whole

BLOCK = """
    INSERT INTO blocked_address (email, email_key, reason, origin)
    VALUES ('r2@example.no', 'r2@example.no', 'manual', 'test')
"""
ERASE = "INSERT INTO erased_address (hash) VALUES (erased_hash('r2@example.no'))"


@pytest.fixture(params=["blocked", "erased"])
def bar(request):
    """Bars r2@example.no, in one of two ways."""

    async def act(mailing):
        if request.param == "blocked":
            await mailing.sql.execute(BLOCK)
        else:
            await mailing.sql.execute(f"SET budstikke.erasure_key = '{erasure_key(SECRET)}'")
            await mailing.sql.execute(ERASE)

    return act


@pytest.fixture
def of(fresh_database, tmp_path):
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


def taken(server) -> list[str]:
    return sorted(entry.recipient for entry in server.ledger)


async def barred(mailing):
    row = await mailing.recipient(2)
    return row["status"], row["reason"]


async def test_after_the_list_was_frozen(of, bar):
    async with of(3) as mailing, SmtpServer() as server:
        await bar(mailing)
        await mailing.send(server)
        assert taken(server) == ["r1@example.no", "r3@example.no"]
        assert await barred(mailing) == ("blocked", "blocked_address")
        assert await mailing.keep_going()


async def test_before_a_retry_is_due(of, bar):
    """D32: temporary failures are tried again."""
    async with of(3) as mailing, SmtpServer("rcpt r2@example.no: 451 4.3.0 try later") as server:
        await mailing.send(server)
        assert (await mailing.recipient(2))["status"] == "deferred"
        await bar(mailing)
        await mailing.sql.execute("UPDATE recipient SET due_at = now() WHERE due_at IS NOT NULL")
        await mailing.sql.execute("UPDATE dispatch SET look_again_at = NULL")
        await mailing.keep_going()
        async with SmtpServer() as recovered:
            await mailing.send(recovered)
            assert taken(recovered) == []
        assert taken(server) == ["r1@example.no", "r3@example.no"]
        assert await barred(mailing) == ("blocked", "blocked_address")
        assert await mailing.keep_going()


async def test_before_what_is_unconfirmed_is_sent_again(of, bar):
    """D34: by the policy `resend`."""
    async with of(1) as mailing, SmtpServer("dot 1: close") as server:
        await mailing.sql.execute("UPDATE recipient SET email = 'r2@example.no', email_key = 'r2@example.no'")
        await mailing.send(server)
        assert (await mailing.recipient(2))["status"] == "unconfirmed"
        await bar(mailing)
        assert not await mailing.keep_going(resend_unconfirmed=True)
        await mailing.send(server)
        assert taken(server) == []
        assert await barred(mailing) == ("blocked", "blocked_address")


async def test_while_the_mailing_was_stopped(of, bar):
    """D29: start goes on exactly where it stopped, but not to these."""
    async with of(3) as mailing, SmtpServer() as server:
        mailing.stopping.set()
        await mailing.send(server)
        mailing.stopping.clear()
        sent_before = len(server.ledger)
        await bar(mailing)
        await mailing.send(server)
        assert sent_before == 0
        assert taken(server) == ["r1@example.no", "r3@example.no"]


async def test_after_its_line_had_become_ready_again(of, bar):
    async with of(3) as mailing, SmtpServer() as server:
        await mailing.sql.execute("UPDATE recipient SET status = 'blocked', reason = 'no_consent' WHERE seq = 2")
        await mailing.send(server)
        await mailing.sql.execute("UPDATE recipient SET status = 'ready', reason = NULL WHERE seq = 2")
        await bar(mailing)
        assert not await mailing.keep_going()
        await mailing.send(server)
        assert taken(server) == ["r1@example.no", "r3@example.no"]


async def test_while_an_earlier_chunk_is_being_sent(of, bar):
    async with of(1002) as mailing, SmtpServer() as server:
        await mailing.sql.execute(
            "UPDATE recipient SET email = 'x' || email, email_key = 'x' || email_key WHERE seq = 2"
        )
        await mailing.sql.execute(
            "UPDATE recipient SET email = 'r2@example.no', email_key = 'r2@example.no' WHERE seq = 1002"
        )
        await mailing.sql.execute(
            "UPDATE chunk SET lease_until = now() + interval '1 hour', owner = 'x' WHERE number = 2"
        )
        await mailing.send(server)
        await until(lambda: len(server.ledger) == 1000)
        await bar(mailing)
        await mailing.sql.execute("UPDATE chunk SET lease_until = NULL, owner = NULL WHERE number = 2")
        await mailing.send(server)
        assert len(server.ledger) == 1001
        assert "r2@example.no" not in taken(server)


async def test_a_consent_to_tracking_that_ran_out_is_a_no(of):
    """D43, whatever an unknown one means: the condition on `valid_until` is the same everywhere."""
    async with of(2, unknown_tracking_consent=True) as mailing, SmtpServer() as server:
        await mailing.sql.execute(
            "INSERT INTO person (name, email, email_key) "
            "SELECT name, email, email_key FROM recipient WHERE mailing_id = $1 ORDER BY seq",
            mailing.mailing_id,
        )
        await mailing.sql.execute(
            "UPDATE recipient AS r SET person_id = p.id FROM person AS p WHERE p.email_key = r.email_key"
        )
        await mailing.sql.execute(
            "INSERT INTO consent_state (person_id, purpose, given, consent_id, valid_until) "
            "SELECT id, purpose, true, 1, now() + CASE email_key WHEN 'r2@example.no' THEN -interval '1 h' "
            "ELSE interval '1 h' END FROM person, unnest(ARRAY['track_opens', 'track_clicks']) AS purpose"
        )
        await mailing.send(server)
        tracked = {entry.recipient: b"/o/" in entry.content for entry in server.ledger}
        assert tracked == {"r1@example.no": True, "r2@example.no": False}


async def test_looking_reads_the_chunk_and_not_the_list(of):
    async with of(20_000) as mailing:
        await mailing.sql.execute("ANALYZE")
        found = await nodes(mailing, queries._BAR, mailing_id=mailing.mailing_id, first_seq=5001, last_seq=6000)
        assert "recipient_seq_idx" in indexes(found)
        assert "recipient" not in read_whole(found)
