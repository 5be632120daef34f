"""One message by itself goes over an account, too: that of its From domain, and past those that fail (D15)."""

from contextlib import AsyncExitStack

import pytest

from app.delivery.replies import Outcome
from app.delivery.routing import Account, Routing
from app.delivery.single import send_one
from app.delivery.smtp.account import SmtpAccount
from app.delivery.standing import Standings
from tests.delivery.feeds import QUICK
from tests.delivery.smtp_server import SmtpServer

MESSAGE = b"Subject: x\r\n\r\nx\r\n"


def account(server, number, **changes):
    smtp = SmtpAccount(server.host, server.port, local_hostname="me", timeouts=QUICK)
    return Account(number, f"relay {number}", smtp, **{"connections": 2, **changes})


async def send(routing, standings=None):
    return await send_one(
        routing, standings or Standings(), sender="b+t@bounce.example", recipient="kari@example.no", message=MESSAGE,
        domain="nordlys.example",
    )  # fmt: skip


@pytest.mark.parametrize(
    "script", ["connect *: 554 5.7.1 no", "connect *: close", "mail *: 421 4.3.2 later; close",
               "mail *: 550 5.7.1 not in your name"],
)  # fmt: skip
async def test_account_that_fails_leaves_the_test_to_the_next(script):
    async with AsyncExitStack() as stack:
        broken = await stack.enter_async_context(SmtpServer(script))
        good = await stack.enter_async_context(SmtpServer())
        routing = Routing([account(broken, 1, weight=1000), account(good, 2)])
        for _ in range(3):
            assert (await send(routing)).outcome is Outcome.ACCEPTED
        assert len(good.ledger) == 3


async def test_message_that_was_refused_goes_no_other_way():
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(SmtpServer("rcpt *: 550 5.1.1 no such user")) for _ in range(2)]
        result = await send(Routing([account(server, number) for number, server in enumerate(servers)]))
        assert (result.outcome, result.code) == (Outcome.REJECTED, 550)
        assert sum(server.messages for server in servers) == 1


async def test_account_of_the_from_domain_is_the_one():
    async with AsyncExitStack() as stack:
        any_domain, bound = [await stack.enter_async_context(SmtpServer()) for _ in range(2)]
        accounts = [account(any_domain, 1), account(bound, 2, from_domains=frozenset({"nordlys.example"}))]
        await send(Routing(accounts))
        assert [len(any_domain.ledger), len(bound.ledger)] == [0, 1]


async def test_no_account_is_said_so():
    result = await send(Routing([]))
    assert (result.outcome, result.text) == (Outcome.SENDER_FAULT, "No sending account is enabled.")
