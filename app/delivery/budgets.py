"""What a sender may send of each limited kind, as leased from PostgreSQL in small grants (D31).

A limit of N in a period is kept in every window of that length, over all workers: of a budget, at most a twentieth of
N is free at once, and the rest comes evenly, so much slower that both together are N. What was granted is used within
GRANT_SECONDS of its coming, or lost; so servers may see a window with one grant more, and never more than that. The
clock of budgets is PostgreSQL's; here only the age of a grant is measured, by a clock that nobody can set.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.delivery.pace_models import ANYWHERE

GRANT_SECONDS: Final = 0.2
ASK_SECONDS: Final = 0.05  # budgets are asked for at most so often: a twentieth of a second's
REFRESH_SECONDS: Final = 1.0  # limits that changed, or destinations slowed down elsewhere, are known after this long
BURST: Final = 20  # a twentieth of a limit is free at once
MOST: Final = 256  # of one grant
DOMAIN: Final = "domain:"
KEPT: Final = 32  # tasks of one limited destination that a sender has at hand


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many messages a second, an hour, and a day; None: any number."""

    per_second: float | None = None
    per_hour: int | None = None
    per_day: int | None = None

    @property
    def rate(self) -> float:
        """Messages a second that it lets through in the long run, but for the day's."""
        rates = [self.per_second, None if self.per_hour is None else self.per_hour / 3600]
        return min((rate for rate in rates if rate is not None), default=math.inf)

    @property
    def at_hand(self) -> int:
        """How many tasks are worth having at hand: those of the next second."""
        return max(1, int(min(KEPT, self.rate, MOST if self.per_day is None else max(self.per_day, 1))))


def _steps(number: float | None, period: float) -> tuple[float | None, float | None]:
    """Return (gap, slack) in seconds: between two messages, and how far the first may be ahead."""
    if number is None:
        return None, None
    burst = max(1, int(number // BURST))
    # With `burst` at once and one each `gap`, a window of the period has at most burst + period / gap - 1 = number.
    gap = period / (number - burst + 1) if number >= 1 else period / number
    return gap, (burst - 1) * gap


@dataclass(slots=True, eq=False)
class Budget:
    """What one key's limit leaves this sender."""

    key: str
    limit: Limit
    units: int = 0
    good_until: float = 0.0
    wanted: int = 0
    """Messages that were refused since the last grant."""
    ask_at: float = 0.0
    known: bool = False
    """Whether PostgreSQL has a row for it."""

    def has(self, now: float) -> bool:
        """Whether a message may go."""
        return self.units > 0 and now < self.good_until

    def is_idle(self, now: float) -> bool:
        """Whether nobody waits for it and nothing is known of it: with `*`, every domain has a budget of its own."""
        return not self.wanted and not self.has(now) and now >= self.ask_at

    def wait(self, now: float) -> float:
        """Return the seconds until it is worth asking again."""
        return max(0.0, self.ask_at - now)


@dataclass(slots=True)
class Budgets:
    """All limits that concern one mailing. Without any, `limited` is False and nothing else is ever looked at."""

    limited: bool = False
    mailing: Budget | None = None
    accounts: dict[int, Budget] = field(default_factory=dict)
    read_at: float = -math.inf
    _limits: dict[str, Limit] = field(default_factory=dict)
    """By destination domain."""
    _destinations: dict[str, Budget] = field(default_factory=dict)
    _open: dict[str, Budget] = field(default_factory=dict)
    """Destinations with a grant."""

    # Limits

    def is_stale(self, now: float) -> bool:
        """Whether the limits should be read again."""
        return now - self.read_at >= REFRESH_SECONDS

    def take_limits(self, rows: Iterable[Any], *, mailing_id: int, now: float) -> bool:
        """Take what `pace_queries.read_limits` returned; what was granted stays.

        Return whether any limit is another than it was.
        """
        self.read_at = now
        before = self.mailing and self.mailing.limit, self._limits
        mailing, accounts, domains, slowed = None, {}, {}, {}
        for row in rows:
            limit = Limit(row.per_second, row.per_hour, row.per_day)
            if row.kind == "mailing":
                mailing = self._budget(self.mailing, f"mailing:{mailing_id}", limit)
            elif row.kind == "account":
                number = int(row.name)
                accounts[number] = self._budget(self.accounts.get(number), f"account:{number}", limit)
            elif row.kind == "domain":
                domains[row.name] = limit
            else:
                slowed[row.name] = row.per_second
        for domain, rate in slowed.items():
            usual = domains.get(domain) or domains.get(ANYWHERE) or Limit()
            domains[domain] = Limit(min(rate, usual.per_second or math.inf), usual.per_hour)
        self.mailing, self.accounts, self._limits = mailing, accounts, domains
        self.limited = bool(mailing or accounts or domains)
        self._destinations = {
            domain: self._budget(budget, budget.key, known)
            for domain, budget in self._destinations.items()
            if (known := self.limit_of(domain)) is not None and not budget.is_idle(now)
        }
        return before != (self.mailing and self.mailing.limit, self._limits)

    @staticmethod
    def _budget(known: Budget | None, key: str, limit: Limit) -> Budget:
        if known is None:
            return Budget(key, limit)
        if known.limit != limit:  # it may leave more at once
            known.limit, known.ask_at = limit, 0.0
        return known

    @property
    def limits_destinations(self) -> bool:
        """Whether any destination is limited."""
        return bool(self._limits)

    def limit_of(self, domain: str) -> Limit | None:
        """Return a destination's limit, or None when it has none."""
        return self._limits.get(domain) or self._limits.get(ANYWHERE)

    def destination(self, domain: str) -> Budget | None:
        """Return a destination's budget, or None when it has no limit."""
        budget = self._destinations.get(domain)
        if budget is None and (limit := self.limit_of(domain)) is not None:
            budget = self._destinations[domain] = Budget(f"{DOMAIN}{domain}", limit)
        return budget

    # Spending

    def of_all(self, account: int | None) -> list[Budget]:
        """Return the budgets that every message over an account needs."""
        found = [] if self.mailing is None else [self.mailing]
        if account is not None and (budget := self.accounts.get(account)):
            found.append(budget)
        return found

    def leaves(self, account: int | None, now: float) -> bool:
        """Tell whether an account's own limit leaves a message now."""
        budget = self.accounts.get(account) if account is not None else None
        return budget is None or budget.has(now)

    def granted(self, now: float) -> list[tuple[str, Budget]]:
        """Return the destinations that have a grant."""
        if self._open:
            self._open = {domain: budget for domain, budget in self._open.items() if budget.has(now)}
        return list(self._open.items())

    # Asking

    def to_ask(self, now: float) -> list[Budget]:
        """Return the budgets that messages wait for and that it is time to ask for."""
        return [budget for budget in self._wanted() if now >= budget.ask_at and not budget.has(now)][:MOST]

    def next_ask(self) -> float:
        """Return the boot second of the next question that is worth asking; infinity when nobody waits."""
        return min(
            (max(budget.ask_at, budget.good_until if budget.units else 0.0) for budget in self._wanted()),
            default=math.inf,
        )

    def _wanted(self) -> list[Budget]:
        every = (*((self.mailing,) if self.mailing else ()), *self.accounts.values(), *self._destinations.values())
        return [budget for budget in every if budget.wanted]

    def take_grants(self, asked: Sequence[Budget], rows: Iterable[Any], *, now: float) -> bool:
        """Take what `pace_queries.lease` returned for what was asked; return whether any is granted."""
        answers = {row.key: row for row in rows}
        for budget in asked:
            row = answers.get(budget.key)
            if row is None:  # its row was forgotten: made anew with the next question
                budget.known = False
                continue
            budget.units, budget.good_until = row.granted, now + GRANT_SECONDS
            budget.ask_at = now + max(ASK_SECONDS, row.wait)
            budget.wanted = 0 if row.granted else budget.wanted
            if row.granted and budget.key.startswith(DOMAIN):
                self._open[budget.key.removeprefix(DOMAIN)] = budget
        return any(budget.units for budget in asked)


def columns(asked: Sequence[Budget]) -> dict[str, list[Any]]:
    """Return the arrays that `pace_queries.lease` takes."""
    seconds = [_steps(budget.limit.per_second, 1.0) for budget in asked]
    hours = [_steps(budget.limit.per_hour, 3600.0) for budget in asked]
    return {
        "keys": [budget.key for budget in asked],
        "wants": [min(budget.wanted, MOST) for budget in asked],
        "second_gaps": [gap for gap, _ in seconds],
        "second_slacks": [slack for _, slack in seconds],
        "hour_gaps": [gap for gap, _ in hours],
        "hour_slacks": [slack for _, slack in hours],
        "days": [budget.limit.per_day for budget in asked],
    }


def domain_of(email: str) -> str:
    """Return the destination of an address as limits write it; its domain is in A-labels already."""
    return email.rpartition("@")[2].lower()
