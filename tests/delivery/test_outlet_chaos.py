"""Servers that break in every way at random, several of them at once: nobody is lost, nobody mailed twice (D34).

BUDSTIKKE_OUTLET_CASES=200 for as many rounds of 400 recipients; one in the suite.
"""

import os
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from app.delivery.routing import Account, Routing
from app.delivery.smtp.account import SmtpAccount
from app.delivery.standing import Standings
from tests.delivery.sending import PATIENT, sending
from tests.delivery.smtp_server import SmtpServer

CASES = int(os.environ.get("BUDSTIKKE_OUTLET_CASES", "1"))
COUNT = 400
QUICK = replace(PATIENT, command=0.5, data=0.5, dot=0.5, body=0.5, pipelined=0.2, idle=0.1)

FAULTS = (
    "connect 20%: close",
    "connect 20%: 421 4.3.2 too busy; close",
    "mail 2%: 421 4.3.2 closing; close",
    "mail 1%: close",
    "mail 2%: 451 4.3.0 later",
    "mail 5%: drop; usual",
    "mail 1%: 550 5.7.1 not in your name",
    "rcpt 2%: 450 4.7.1 Greylisted",
    "rcpt 1%: reset",
    "rcpt 1%: stall",
    "data 1%: 354 go; close",
    "data 1%: 421 4.3.2 closing; close",
    "body 1%: reset",
    "dot 3%: drop; usual",
    "dot 1%: close",
    "dot 1%: accept; close",
    "dot 1%: accept; stall",
    "dot 2%: 451 4.3.0 later",
    "dot 1%: 250 ok; 250 ok",
    "dot 2%: 250 ok; close",
    "dot 1%: accept; raw what?\\r\\n",
)


@pytest.mark.parametrize("case", range(CASES))
async def test_nobody_is_lost_or_mailed_twice_whatever_the_servers_do(fresh_database, tmp_path, case):
    dice = random.Random(case)
    async with sending(fresh_database, tmp_path, count=COUNT) as mailing, AsyncExitStack() as stack:
        scripts = ["\n".join(dice.sample(FAULTS, dice.randint(1, 6))) for _ in range(3)]
        servers = [await stack.enter_async_context(SmtpServer(script, seed=case)) for script in scripts]
        accounts = [
            Account(number, f"relay {number}", smtp_of(server), connections=3, weight=dice.randint(1, 3))
            for number, server in enumerate(servers, start=1)
        ]
        for _ in range(20):
            await mailing.send(servers[0], routing=Routing(accounts), standings=Standings(), within=60)
            if not await again(mailing):
                break
        statuses = await mailing.statuses()
        ledger = Counter(entry.recipient for server in servers for entry in server.ledger)
        told = f"case {case}: {statuses}, {scripts}"
        assert sum(statuses.values()) == COUNT, told
        assert set(statuses) <= {"sent", "unconfirmed", "failed", "bounced"}, told
        assert max(ledger.values()) == 1, told
        by_status = await emails(mailing)
        assert by_status["sent"] <= ledger.keys() <= by_status["sent"] | by_status["unconfirmed"], told


def smtp_of(server):
    return SmtpAccount(server.host, server.port, local_hostname="me", timeouts=QUICK)


async def again(mailing):
    """Make what is deferred due, and what a fault left ready; whether anything is left to do."""
    await mailing.sql.execute("UPDATE recipient SET due_at = now() WHERE status = 'deferred'")
    await mailing.sql.execute("UPDATE dispatch SET look_again_at = NULL")
    return not await mailing.keep_going()


async def emails(mailing):
    rows = await mailing.sql.fetch("SELECT status, email FROM recipient WHERE mailing_id = $1", mailing.mailing_id)
    found = {status: set() for status in ("sent", "unconfirmed")}
    for row in rows:
        found.setdefault(row["status"], set()).add(row["email"])
    return found
