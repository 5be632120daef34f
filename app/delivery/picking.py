"""Which task is next: out of the chunks a sender holds, and out of those that came back to it.

Called by connections inside `data_received`, for every message, so nothing here awaits or looks further than it must.
A task that a connection may not take is put aside under its route, and connections of that route take it first.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field

from app.delivery.plan import Task
from app.delivery.windows import Held, boot_seconds

Route = Hashable
ONE_ROUTE: Route = None


@dataclass(slots=True)
class Picking:
    """The chunks a sender holds, oldest first, and the tasks that are out of their order."""

    route_of: Callable[[Task], Route] | None = None
    """Over which accounts a task may go; None: over all, so that nothing is ever put aside."""
    closed: bool = False
    """Nothing more is given out."""
    ahead: bool = False
    """Messages are made ahead (ahead.py): connections get tasks that came back from there, and no others."""
    making: int = 0
    """How many tasks are out of their chunk, and their messages being made."""
    _chunks: dict[tuple[int, int], Held] = field(default_factory=dict)
    """By number and epoch: a chunk that was lost may be leased again while its old messages are in flight."""
    _aside: dict[Route, deque[Task]] = field(default_factory=dict)
    """Given out of their chunk, but with no connection: they came back, or were not for the one that asked."""

    # Chunks

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._chunks.values()))

    def add(self, held: Held) -> None:
        """Take a chunk that was leased."""
        self._chunks[held.number, held.epoch] = held

    def forget(self, held: Held) -> None:
        """Let go of a chunk that is done, or lost with nothing of it in flight."""
        del self._chunks[held.number, held.epoch]

    def fence(self, held: Held) -> None:
        """Start no more of a chunk that another sender has."""
        held.fenced = True
        for route, tasks in list(self._aside.items()):
            self._keep(route, deque(task for task in tasks if task.chunk is not held))

    # Tasks

    @property
    def waiting(self) -> int:
        """How many tasks are with no connection and have no result."""
        return self.returned + self.making + sum(held.waiting for held in self._chunks.values())

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

    def next(self, routes: Collection[Route] | None = None) -> Task | None:
        """Give the next task that a committed window allows; `routes`: only over these, None: over any."""
        if self.closed:
            return None
        now = boot_seconds()
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
                self._keep(route, tasks)
                return task
        return None

    def _keep(self, route: Route, tasks: deque[Task]) -> None:
        if tasks:
            self._aside[route] = tasks
        else:
            self._aside.pop(route, None)

    def _route(self, task: Task) -> Route:
        return ONE_ROUTE if self.route_of is None else self.route_of(task)
