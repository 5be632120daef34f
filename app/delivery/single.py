"""Sending one message by itself: tests, and whatever else belongs to no mailing's list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.delivery.replies import Outcome, SendResult, decided_here, is_of_account
from app.delivery.routing import Account, Routing
from app.delivery.smtp.connection import open_connection
from app.delivery.smtp.feed import Envelope, Stuffed
from app.delivery.standing import Standings

HURRIED_SECONDS = 10.0  # to connect, where another account can be tried


@dataclass(slots=True)
class _One:
    """A feed of one message."""

    waiting: Envelope | None
    message: bytes | Stuffed
    result: SendResult | None = None

    def next(self) -> Envelope | None:
        envelope, self.waiting = self.waiting, None
        return envelope

    def content(self, _: Envelope) -> bytes | Stuffed:
        return self.message

    def start(self, _: Envelope) -> bool:
        return True

    def settle(self, _: Envelope, result: SendResult) -> None:
        self.result = result


async def send_one(
    routing: Routing, standings: Standings, *, sender: str, recipient: str, message: bytes | Stuffed, domain: str
) -> SendResult:
    """Send one message over a connection of its own and return what became of it.

    It goes over the accounts of its From domain, by weight; one that fails leaves it to the next.
    """
    result = routing.nobody(domain)
    accounts = _in_turn(routing.of(routing.route(domain)), standings)
    for account in accounts:
        if account.fault is not None:
            result = account.fault
            continue
        standing = standings.of(account.id)
        smtp = replace(account.smtp, max_messages=1, pipelining=standing.level(account.smtp.pipelining))
        if account is not accounts[-1]:
            smtp = replace(smtp, timeouts=replace(smtp.timeouts, connect=min(smtp.timeouts.connect, HURRIED_SECONDS)))
        feed = _One(Envelope(key=None, sender=sender, recipient=recipient), message)
        connection = await open_connection(smtp, feed)
        if isinstance(connection, SendResult):
            result = connection
            continue
        await connection.closed
        result = feed.result or decided_here(Outcome.UNKNOWN, "the connection ended without a result")
        if result.outcome is not Outcome.NOT_STARTED and not _is_for_another(result):
            break
    return result


def _is_for_another(result: SendResult) -> bool:
    return result.outcome is Outcome.SENDER_FAULT and is_of_account(result)


def _in_turn(accounts: Sequence[Account], standings: Standings) -> list[Account]:
    """Return accounts in the order to try them: those that fail last, the others by chance and weight."""
    return sorted(
        accounts,
        key=lambda account: (standings.of(account.id).is_shut(), account.draw()),
    )
