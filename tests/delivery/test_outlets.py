"""Several accounts in one sender's hands: shares, failover, faults, and what is told of them (D31, D32)."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import fields, replace

import pytest

from app.delivery.plan import Plan
from app.delivery.routing import Account, Routing
from app.delivery.smtp.account import Pipelining, SmtpAccount
from app.delivery.standing import Standing, Standings
from tests.delivery.sending import PATIENT, WITHIN, reached, sending
from tests.delivery.smtp_server import SmtpServer

FAULT = "connect *: 554 5.7.1 no service for you"


@pytest.fixture
def of(fresh_database, tmp_path):
    return lambda count, **changes: sending(fresh_database, tmp_path, count=count, **changes)


def account(server, number, **changes):
    smtp = SmtpAccount(server.host, server.port, local_hostname="me", timeouts=changes.pop("timeouts", PATIENT))
    return Account(number, f"relay {number}", smtp, **{"connections": 2, **changes})


async def served(stack, *scripts):
    return [await stack.enter_async_context(SmtpServer(script)) for script in scripts]


async def rows_for(mailing, *servers):
    """Rows of the accounts, so that what is learned of them can be stored."""
    for number, server in enumerate(servers, start=1):
        await mailing.sql.execute(
            "INSERT INTO sending_account (id, name, host, port, security) OVERRIDING SYSTEM VALUE "
            "VALUES ($1, $2, $3, $4, 'none')",
            number, f"relay {number}", server.host, server.port,
        )  # fmt: skip


async def health(mailing, number):
    return await mailing.sql.fetchrow("SELECT * FROM sending_account_health WHERE account_id = $1", number)


async def test_accounts_share_by_weight(of):
    async with of(1200) as mailing, AsyncExitStack() as stack:
        first, second = await served(stack, "", "")
        routing = Routing([account(first, 1, weight=3), account(second, 2)])
        ended = await mailing.send(first, routing=routing)
        assert ended.accepted == 1200
        assert 850 <= len(first.ledger) <= 950
        assert Counter(entry.recipient for entry in first.ledger + second.ledger).most_common(1)[0][1] == 1


async def test_account_keeps_its_own_limit_and_leaves_the_rest_to_the_others(of):
    """D31: at two a second, three are what it gets while the other sends all the rest."""
    async with of(400) as mailing, AsyncExitStack() as stack:
        first, second = await served(stack, "", "dot *: wait 0.01; usual")
        await rows_for(mailing, first, second)
        await mailing.sql.execute("UPDATE sending_account SET max_per_second = 2 WHERE id = 1")
        began = asyncio.get_running_loop().time()
        await mailing.send(first, routing=Routing([account(first, 1), account(second, 2)]))
        seconds = asyncio.get_running_loop().time() - began
        assert await mailing.statuses() == {"sent": 400}
        assert 1 <= len(first.ledger) <= 2 * (seconds + 1)


async def test_account_that_stalls_holds_nobody_up(of):
    slow = "dot 3+: wait 1.5; usual"
    async with of(400) as mailing, AsyncExitStack() as stack:
        first, second = await served(stack, "", slow)
        await mailing.send(first, routing=Routing([account(first, 1), account(second, 2)]))
        assert await mailing.statuses() == {"sent": 400}
        assert len(first.ledger) > 350


async def test_account_of_the_from_domain_goes_before_those_of_any(of):
    async with of(30) as mailing, AsyncExitStack() as stack:
        anywhere, bound, elsewhere = await served(stack, "", "", "")
        accounts = [
            account(anywhere, 1),
            account(bound, 2, from_domains=frozenset({"example.com"})),
            account(elsewhere, 3, from_domains=frozenset({"example.org"})),
        ]
        assert (await mailing.sender(bound)).plan.sender_domain == "example.com"
        await mailing.send(bound, routing=Routing(accounts))
        assert [len(server.ledger) for server in (anywhere, bound, elsewhere)] == [0, 30, 0]


class TwoSenders(Plan):
    """Recipients with even numbers get it from even.example, the others from odd.example (D5)."""

    sender_domain = None

    def from_domain(self, row, tags):
        return "odd.example" if row.id % 2 else "even.example"


async def sender_of_two(mailing, server, accounts):
    sender = await mailing.sender(server, routing=Routing(accounts))
    sender.plan = TwoSenders(**{item.name: getattr(sender.plan, item.name) for item in fields(Plan) if item.init})
    return sender


def of_odd(server):
    return sum(int(entry.recipient[1:].partition("@")[0]) % 2 for entry in server.ledger)


async def test_messages_of_each_from_domain_go_over_its_own_accounts(of):
    async with of(400) as mailing, AsyncExitStack() as stack:
        odd, even, anywhere = await served(stack, "dot 5%: wait 0.05; usual", "", "")
        accounts = [
            account(odd, 1, from_domains=frozenset({"odd.example"})),
            account(even, 2, from_domains=frozenset({"even.example"})),
            account(anywhere, 3),
        ]
        async with asyncio.timeout(WITHIN):
            ended = await (await sender_of_two(mailing, odd, accounts)).run()
        assert ended.accepted == 400
        assert [len(odd.ledger), len(even.ledger), len(anywhere.ledger)] == [200, 200, 0]
        assert (of_odd(odd), of_odd(even)) in ((200, 0), (0, 200))  # by the recipient's id, not its address


async def test_fault_of_a_from_domains_only_account_stops_the_mailing_and_sends_nothing_another_way(of):
    async with of(60) as mailing, AsyncExitStack() as stack:
        odd, even = await served(stack, FAULT, "dot *: wait 0.01; usual")
        accounts = [account(odd, 1, from_domains=frozenset({"odd.example"})), account(even, 2)]
        async with asyncio.timeout(WITHIN):
            ended = await (await sender_of_two(mailing, odd, accounts)).run()
        assert ended.fault is not None
        assert ended.fault.code == 554
        assert of_odd(even) in (0, len(even.ledger))
        statuses = await mailing.statuses()
        assert statuses["ready"] >= 30
        assert statuses.get("sent", 0) == len(even.ledger)


async def test_account_the_mailing_names_stands_alone(of):
    async with of(30) as mailing, AsyncExitStack() as stack:
        first, named = await served(stack, "", "")
        accounts = [account(first, 1), account(named, 2, weight=0)]
        await mailing.send(first, routing=Routing(accounts, named=2))
        assert [len(first.ledger), len(named.ledger)] == [0, 30]


@pytest.mark.parametrize(
    ("accounts", "named", "words"),
    [
        ([], None, "No sending account is enabled."),
        ([2], 7, "Sending account 7, which the mailing names, is not enabled."),
        ([2], None, "No enabled sending account serves the From domain example.com."),
    ],
)
async def test_mailing_that_no_account_may_send_stops(of, accounts, named, words):
    async with of(3) as mailing, SmtpServer() as server:
        known = [account(server, number, from_domains=frozenset({"example.org"})) for number in accounts]
        ended = await mailing.send(server, routing=Routing(known, named=named))
        assert ended.fault is not None
        assert ended.fault.text == words
        assert await mailing.statuses() == {"ready": 3}


@pytest.mark.parametrize(
    "script",
    [FAULT, "connect *: close", "mail *: 421 4.3.2 not now; close", "mail *: 550 5.7.1 not in your name",
     "mail *: 454 4.7.0 Throttling failure: Daily message quota exceeded"],
)  # fmt: skip
async def test_share_of_an_account_that_fails_goes_to_the_others(of, script):
    async with of(200) as mailing, AsyncExitStack() as stack:
        broken, good = await served(stack, script, "")
        await rows_for(mailing, broken, good)
        ended = await mailing.send(good, routing=Routing([account(broken, 1), account(good, 2)]))
        assert (ended.accepted, ended.fault) == (200, None)
        assert len(good.ledger) == 200
        failed, working = await health(mailing, 1), await health(mailing, 2)
        assert failed["failing_since"] < failed["retry_at"]
        assert failed["is_fault"] == (script.startswith(FAULT) or ("mail" in script and "421" not in script))
        assert failed["words"]
        assert (working["failures"], working["used_at"] is not None) == (0, True)
        assert mailing.troubles in ([], [None])


async def test_account_whose_server_does_not_answer_holds_a_small_mailing_up_for_seconds_only(of):
    async with of(20) as mailing, AsyncExitStack() as stack:
        silent, good = await served(stack, "connect *: stall", "")
        accounts = [account(silent, 1, weight=1000, timeouts=replace(PATIENT, connect=60)), account(good, 2)]
        async with asyncio.timeout(8):
            await mailing.send(good, routing=Routing(accounts))
        assert len(good.ledger) == 20


async def test_account_that_breaks_in_the_middle_loses_and_repeats_nothing(of):
    async with of(600) as mailing, AsyncExitStack() as stack:
        first, second = await served(stack, "", "")
        sender = await mailing.sender(first, routing=Routing([account(first, 1), account(second, 2)]))
        running = asyncio.create_task(sender.run())
        await reached(first, 50)
        await first.shut()
        async with asyncio.timeout(WITHIN):
            await running
        statuses = await mailing.statuses()
        ledger = Counter(entry.recipient for entry in first.ledger + second.ledger)
        assert ledger.most_common(1)[0][1] == 1
        assert statuses["sent"] + statuses.get("unconfirmed", 0) == 600
        assert statuses.get("unconfirmed", 0) <= 2  # its connections
        assert statuses["sent"] <= len(ledger)


async def test_mailing_stops_once_every_account_keeps_us_out_with_the_words_of_each(of):
    async with of(30) as mailing, AsyncExitStack() as stack:
        first, second = await served(stack, FAULT, "connect *: 550 5.7.1 blocked")
        ended = await mailing.send(first, routing=Routing([account(first, 1), account(second, 2)]))
        assert ended.fault is not None
        assert "relay 1: 554 5.7.1 no service for you" in ended.fault.text
        assert "relay 2: 550 5.7.1 blocked" in ended.fault.text
        assert await mailing.statuses() == {"ready": 30}


async def test_fault_known_from_before_is_looked_at_again_when_nothing_else_is_left(of):
    async with of(30) as mailing, SmtpServer(FAULT) as server:
        await rows_for(mailing, server)
        more = {"routing": Routing([account(server, 1)]), "standings": Standings()}
        assert (await mailing.send(server, **more)).fault is not None
        assert more["standings"].of(1).is_shut()
        server.rules.clear()
        assert (await mailing.send(server, **more)).accepted == 30
        assert (await health(mailing, 1))["failing_since"] is None


async def test_server_that_takes_few_connections_is_not_called_failing(of):
    script = "connect 1: 220 hello\nconnect *: 421 4.7.0 too many connections; close\ndot *: wait 0.01; usual"
    async with of(100) as mailing, SmtpServer(script) as server:
        await rows_for(mailing, server)
        await mailing.send(server, routing=Routing([account(server, 1, connections=4)]))
        assert await mailing.statuses() == {"sent": 100}


LIARS = {
    # how a server that announces PIPELINING gets it wrong: script, what it is used at in the end
    "throws away what follows a message": ("dot *: drop; usual", Pipelining.ENVELOPE),
    "throws away what follows MAIL": ("mail *: drop; usual", Pipelining.OFF),
    "closes after a message if more follows": ("dot *: usual; ahead close", Pipelining.ENVELOPE),
    "closes if more follows MAIL": ("mail *: ahead close; usual", Pipelining.OFF),
    "answers MAIL twice if more follows": ("mail *: ahead 250 ok; usual", Pipelining.OFF),
}


@pytest.mark.parametrize("lie", LIARS)
async def test_server_that_lies_about_pipelining_is_used_with_less_and_nobody_is_lost_or_mailed_twice(of, lie):
    script, level = LIARS[lie]
    quick = replace(PATIENT, pipelined=0.1)
    async with of(120) as mailing, SmtpServer(script) as server:
        await rows_for(mailing, server)
        standings = Standings()
        await mailing.send(server, routing=Routing([account(server, 1, timeouts=quick)]), standings=standings)
        assert await mailing.statuses() == {"sent": 120}
        assert Counter(entry.recipient for entry in server.ledger).most_common(1)[0][1] == 1
        assert standings.of(1).level(None) is level
        stored = await health(mailing, 1)
        assert (stored["step"], stored["failing_since"]) == (level.value, None)
        assert stored["step_words"]


def test_pipelining_is_tried_again_after_a_while_and_later_each_time(monkeypatch):
    moment = 0.0
    monkeypatch.setattr("app.delivery.standing.boot_seconds", lambda: moment)
    standing = Standing()
    for wait in (3600.0, 7200.0):
        assert standing.misbehaved(Pipelining.FULL, surely=False) is None
        assert standing.misbehaved(Pipelining.FULL, surely=False) == (Pipelining.ENVELOPE, wait)
        assert standing.level(None) is Pipelining.ENVELOPE
        assert standing.level(Pipelining.OFF) is Pipelining.OFF
        assert standing.misbehaved(Pipelining.FULL, surely=True) is None  # of a connection from before
        moment += wait
        assert standing.level(None) is None


SUSPECT = "rcpt r7@example.no: 550 5.7.1 this list is closed to you"


async def test_recipient_who_alone_meets_a_fault_of_ours_twice_fails_with_the_servers_words(of):
    async with of(60) as mailing, SmtpServer(SUSPECT) as server:
        assert (await mailing.send(server)).fault is not None
        stopped = await mailing.recipient(7)
        assert (stopped["status"], stopped["code"], stopped["attempts"]) == ("ready", 550, 0)
        assert stopped["reply"] == "5.7.1 this list is closed to you"
        ended = await mailing.send(server)
        assert ended.fault is None
        assert await mailing.statuses() == {"sent": 59, "failed": 1}
        failed = await mailing.recipient(7)
        assert (failed["reply"], failed["attempts"], failed["bounce"]) == ("5.7.1 this list is closed to you", 1, None)
        assert await mailing.sql.fetchval("SELECT count(*) FROM bounce") == 0
        assert await mailing.keep_going()


async def test_recipient_who_is_the_only_one_left_fails_if_many_were_sent_before(of):
    async with of(60) as mailing, SmtpServer(SUSPECT) as server:
        await mailing.sql.execute("UPDATE recipient SET status = 'sent' WHERE seq <> 7")
        assert (await mailing.send(server)).fault is not None
        assert (await mailing.send(server)).fault is None
        assert await mailing.statuses() == {"sent": 59, "failed": 1}


async def test_fault_that_everybody_meets_stops_the_mailing_each_time_and_marks_nobody(of):
    async with of(60) as mailing, SmtpServer("dot *: 550 5.7.26 unauthenticated") as server:
        for _ in range(3):
            assert (await mailing.send(server)).fault is not None
            assert await mailing.statuses() == {"ready": 60}
        server.rules.clear()
        await mailing.send(server)
        assert await mailing.statuses() == {"sent": 60}
