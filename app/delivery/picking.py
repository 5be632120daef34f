"""Which task is next: out of the chunks a sender holds, and out of those that are out of their chunk's order.

Called by connections inside `data_received`, for every message, so nothing here awaits or looks further than it must.
A task that a connection may not take is put aside under its route, and connections of that route take it first. A task
whose destination has no budget is put aside under its destination, so that what is behind it goes on (D31).
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from app.delivery.budgets import Budgets, domain_of
from app.delivery.plan import Task
from app.delivery.windows import Held, boot_seconds

REST_SECONDS = 5.0  # what has no budget for so long is given back, so that nobody holds it and a slot for nothing
Route = Hashable
Name = TypeVar("Name", bound=Hashable)
ONE_ROUTE: Route = None


@dataclass(slots=True)
class Picking:
    """The chunks a sender holds, oldest first, and the tasks that are out of their order."""

    route_of: Callable[[Task], Route] | None = None
    """Over which accounts a task may go; None: over all, so that nothing is ever put aside for a route."""
    closed: bool = False
    """Nothing more is given out."""
    ahead: bool = False
    """Messages are made ahead (ahead.py): connections get tasks that came back from there, and no others."""
    making: int = 0
    """How many tasks are out of their chunk, and their messages being made."""
    budgets: Budgets = field(default_factory=Budgets)
    on_wanted: Callable[[], None] | None = None
    """Called when messages begin to wait for a budget."""
    has_surplus: bool = False
    """Whether `surplus` may find any."""
    _chunks: dict[tuple[int, int], Held] = field(default_factory=dict)
    """By number and epoch: a chunk that was lost may be leased again while its old messages are in flight."""
    _aside: dict[Route, deque[Task]] = field(default_factory=dict)
    """Given out of their chunk, but with no connection: they came back, or were not for the one that asked."""
    _waiting: dict[str, deque[Task]] = field(default_factory=dict)
    """Given out of their chunk, and waiting for their destination's budget."""

    # Chunks

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._chunks.values()))

    def add(self, held: Held) -> None:
        """Take a chunk that was leased."""
        self._chunks[held.number, held.epoch] = held

    def forget(self, held: Held) -> None:
        """Let go of a chunk that is done, given back, or lost with nothing of it in flight."""
        del self._chunks[held.number, held.epoch]

    def fence(self, held: Held) -> None:
        """Start no more of a chunk that another sender has, or may have soon."""
        held.fenced = True
        for route, tasks in list(self._aside.items()):
            _keep(self._aside, route, deque(task for task in tasks if task.chunk is not held))
        for domain, tasks in list(self._waiting.items()):
            _keep(self._waiting, domain, deque(task for task in tasks if task.chunk is not held))
            if budget := self.budgets.destination(domain):
                budget.wanted = len(self._waiting.get(domain, ()))

    # Tasks

    @property
    def waiting(self) -> int:
        """How many tasks connections could soon take: `stock`, as far as the mailing's own limit lets it go."""
        mailing = self.budgets.mailing
        return self.stock if mailing is None else min(self.stock, mailing.limit.at_hand)

    @property
    def stock(self) -> int:
        """How many tasks are at hand; of those of a limited destination, as many as its budget may soon give."""
        budgets = self.budgets
        if not budgets.limited:
            return self.returned + self.making + sum(held.waiting for held in self._chunks.values())
        found = self.returned + self.making
        kept = {domain: len(tasks) for domain, tasks in self._waiting.items()}
        for held in self._chunks.values():
            if held.destination is None:
                found += held.waiting
            else:
                kept[held.destination] = kept.get(held.destination, 0) + held.waiting
        for domain, count in kept.items():
            limit = budgets.limit_of(domain)
            found += count if limit is None else min(count, limit.at_hand)
        return found

    @property
    def unsettled(self) -> int:
        """How many tasks have no result yet, wherever they are."""
        return sum(len(held.tasks) - held.settled for held in self._chunks.values() if not held.fenced)

    @property
    def returned(self) -> int:
        """How many tasks are out of their chunk's order, and ready for a connection of their route."""
        return sum(map(len, self._aside.values()))

    def put_back(self, task: Task) -> None:
        """Take a task back that was given out and not started; it is the next of its route."""
        if not task.chunk.fenced:
            self._aside.setdefault(self._route(task), deque()).append(task)

    def next(self, routes: Collection[Route] | None = None, account: int | None = None) -> Task | None:
        """Give the next task that a committed window allows and that budgets have room for.

        `routes`: only over these, None: over any; `account`: whose budget it takes, None: no account's.
        """
        if self.closed:
            return None
        now = boot_seconds()
        if self.budgets.limited:
            return self._next_within(routes, account, now)
        return self._next(routes, now)

    def _next(self, routes: Collection[Route] | None, now: float) -> Task | None:
        if self._aside and (task := self._from_aside(routes, now)):
            return task
        return None if self.ahead else self._of_chunks(routes, now)

    def next_of_chunks(self) -> Task | None:
        """Give the next task of the chunks, whatever its route, for its message to be made ahead."""
        return None if self.closed else self._of_chunks(None, boot_seconds())

    def _of_chunks(self, routes: Collection[Route] | None, now: float) -> Task | None:
        for held in self._chunks.values():
            if held.fenced or now >= held.deadline:
                continue
            while task := held.next_task():
                if routes is None or (route := self._route(task)) in routes:
                    return task
                self._aside.setdefault(route, deque()).append(task)
        return None

    def _from_aside(self, routes: Collection[Route] | None, now: float) -> Task | None:
        for route in list(self._aside) if routes is None else routes:
            tasks = self._aside.get(route)
            if tasks and now < tasks[0].chunk.deadline:
                task = tasks.popleft()
                _keep(self._aside, route, tasks)
                return task
        return None

    def _route(self, task: Task) -> Route:
        return ONE_ROUTE if self.route_of is None else self.route_of(task)

    # Limits

    def _next_within(self, routes: Collection[Route] | None, account: int | None, now: float) -> Task | None:
        common = self.budgets.of_all(account)
        for budget in common:
            if not budget.has(now):
                budget.wanted += 1
                self._tell_wanted()
                return None
        task = self._from_waiting(routes, now)
        while task is None and (task := self._next(routes, now)):
            domain = domain_of(task.email)
            budget_of_it = self.budgets.destination(domain)
            if budget_of_it is None:
                break
            if budget_of_it.has(now):
                budget_of_it.units -= 1
                break
            tasks = self._waiting.setdefault(domain, deque())
            tasks.append(task)
            budget_of_it.wanted = len(tasks)
            self.has_surplus = self.has_surplus or len(tasks) > budget_of_it.limit.at_hand
            self._tell_wanted()
            task = None
        if task is not None:
            for budget in common:
                budget.units -= 1
        return task

    def _from_waiting(self, routes: Collection[Route] | None, now: float) -> Task | None:
        if not self._waiting:
            return None
        for domain, budget in self.budgets.granted(now):
            tasks = self._waiting.get(domain)
            if not tasks or now >= tasks[0].chunk.deadline:
                continue
            if routes is not None and self._route(tasks[0]) not in routes:
                continue
            task = tasks.popleft()
            _keep(self._waiting, domain, tasks)
            budget.units -= 1
            budget.wanted = len(tasks)
            return task
        return None

    def _tell_wanted(self) -> None:
        if self.on_wanted is not None:
            self.on_wanted()

    def limits_changed(self) -> bool:
        """Free what waited for limits that are gone, and bound what limited chunks have at hand; True if any is free.

        Called when limits are others than they were.
        """
        freed, self.has_surplus = False, self.budgets.limits_destinations
        for domain in [domain for domain in self._waiting if self.budgets.limit_of(domain) is None]:
            for task in self._waiting.pop(domain):
                self.put_back(task)
            freed = True
        for held in self._chunks.values():
            if held.destination is not None:
                limit = self.budgets.limit_of(held.destination)
                held.ahead = None if limit is None else limit.at_hand
        return freed

    def surplus(self) -> list[tuple[Task, str]]:
        """Take out the tasks of limited destinations beyond what their budgets will soon let go, with their domains.

        They are those at the end, of chunks that have other recipients, too. The caller puts them behind the list, or
        loses them: none is given to a connection any more.
        """
        self.has_surplus = False
        at_hand: dict[str, int] = {}
        found: list[tuple[Task, str]] = []
        for domain, tasks in list(self._waiting.items()):
            limit = self.budgets.limit_of(domain)
            mixed = [task for task in tasks if task.chunk.destination is None]
            budget = self.budgets.destination(domain)
            keep = len(mixed) if limit is None else limit.at_hand
            if budget is not None and budget.wait(boot_seconds()) >= REST_SECONDS:
                keep = 0
            at_hand[domain] = min(len(mixed), keep)
            gone = mixed[keep:]
            if gone:
                out = set(map(id, gone))
                _keep(self._waiting, domain, deque(task for task in tasks if id(task) not in out))
                for task in gone:  # inside the window: it counts no more
                    task.chunk.settled += 1
                    task.content, task.row = None, None
                found += [(task, domain) for task in gone]
        for held in self._chunks.values():
            if held.destination is None and not held.fenced:
                found += self._surplus_of(held, at_hand)
        return found

    def surplus_of(self, held: Held) -> list[tuple[Task, str]]:
        """Take those tasks out of a chunk that was just leased."""
        if held.destination is not None or not self.budgets.limits_destinations:
            return []
        at_hand = {domain: len(tasks) for domain, tasks in self._waiting.items()}
        return self._surplus_of(held, at_hand)

    def _surplus_of(self, held: Held, at_hand: dict[str, int]) -> list[tuple[Task, str]]:
        stay, found = [], []
        for task in held.tasks[held.allowed :]:
            domain = domain_of(task.email)
            limit = self.budgets.limit_of(domain)
            if limit is not None and at_hand.get(domain, 0) >= limit.at_hand:
                found.append((task, domain))
                continue
            if limit is not None:
                at_hand[domain] = at_hand.get(domain, 0) + 1
            stay.append(task)
        if found:
            held.tasks[held.allowed :] = stay
        return found

    @property
    def destinations(self) -> list[str]:
        """The destinations of the chunks that were kept back and are held now."""
        return [held.destination for held in self._chunks.values() if held.destination is not None]

    def resting(self, now: float) -> list[tuple[Held, float]]:
        """Return kept-back chunks with nothing in hand whose budget is REST_SECONDS away or more, and how far."""
        found = []
        for held in self._chunks.values():
            if held.destination is None or held.fenced or held.in_hand:
                continue
            budget = self.budgets.destination(held.destination)
            if budget is not None and budget.wanted and (wait := budget.wait(now)) >= REST_SECONDS:
                found.append((held, wait))
        return found

    def wait_of_all(self, now: float, accounts: Collection[int | None]) -> float:
        """Return the seconds until anything may be sent over these accounts; 0 while something may."""
        if not self.budgets.limited or any(held.in_hand for held in self._chunks.values()):
            return 0.0
        mailing = self.budgets.mailing
        of_mailing = mailing.wait(now) if mailing and mailing.wanted else 0.0
        budgets = [self.budgets.accounts.get(account) if account is not None else None for account in accounts]
        waits = [budget.wait(now) if budget and budget.wanted else 0.0 for budget in budgets]
        return max(of_mailing, min(waits, default=0.0))


def _keep(tasks_of: dict[Name, deque[Task]], name: Name, tasks: deque[Task]) -> None:
    if tasks:
        tasks_of[name] = tasks
    else:
        tasks_of.pop(name, None)
