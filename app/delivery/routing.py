"""Which sending accounts a message may go through: the mailing's own, else by its From domain, else by weight."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.delivery.replies import Outcome, SendResult, decided_here
from app.delivery.smtp.account import SmtpAccount

Route = frozenset["int | None"]
"""The ids of accounts, any of which may take the message; `BUDSTIKKE_SMTP_URL` has none."""


@dataclass(frozen=True, slots=True)
class Account:
    """A sending account as senders use it."""

    id: int | None
    name: str
    smtp: SmtpAccount
    connections: int
    weight: int = 1
    from_domains: frozenset[str] = frozenset()
    fault: SendResult | None = None
    """Why it cannot be used at all: its password is sealed under another secret."""

    @property
    def share(self) -> int:
        """Its weight, where it has to take messages at all: one that only a mailing names takes all of that."""
        return max(self.weight, 1)

    def draw(self) -> float:
        """Draw a number to sort by: each account is first as often as its weight says (Efraimidis, Spirakis 2006)."""
        return -math.pow(random.random(), 1 / self.share)  # noqa: S311 - a share, no secret


@dataclass(slots=True)
class Routing:
    """The accounts that are enabled, and which of them a message may go through.

    `named` is the mailing's own choice, which stands alone: nothing else takes its messages, however it fares.
    """

    accounts: Sequence[Account]
    named: int | None = None
    _routes: dict[str, Route] = field(default_factory=dict)

    def route(self, domain: str) -> Route:
        """Return the accounts that serve a From domain (A-label, lower case); empty: none does."""
        known = self._routes.get(domain)
        if known is None:
            known = self._routes[domain] = frozenset(account.id for account in self._serving(domain))
        return known

    def _serving(self, domain: str) -> list[Account]:
        if self.named is not None:
            return [account for account in self.accounts if account.id == self.named]
        by_weight = [account for account in self.accounts if account.weight > 0]
        bound = [account for account in by_weight if domain in account.from_domains]
        return bound or [account for account in by_weight if not account.from_domains]

    def every_route(self) -> frozenset[Route]:
        """Return the routes of all domains there may be: of those that accounts name, and of any other."""
        named = {domain for account in self.accounts for domain in account.from_domains}
        return frozenset(map(self.route, (*named, "")))

    def of(self, route: Route) -> list[Account]:
        """Return the accounts of a route."""
        return [account for account in self.accounts if account.id in route]

    def nobody(self, domain: str) -> SendResult:
        """Return the fault of a From domain that no account serves."""
        if self.named is not None:
            text = f"Sending account {self.named}, which the mailing names, is not enabled."
        elif not self.accounts:
            text = "No sending account is enabled."
        else:
            text = f"No enabled sending account serves the From domain {domain}."
        return decided_here(Outcome.SENDER_FAULT, text)
