"""The chunks a sender holds, and how much of them it may start: the committed windows (exactness 1 and 2)."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.delivery.plan import Task


def boot_seconds() -> float:
    """Return the seconds since boot; goes on while the machine is suspended, unlike the monotonic clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True, eq=False)
class Held:
    """A leased chunk.

    Tasks are given out in order: `given` of them so far, out of the first `allowed`, which a committed window covers.
    `in_hand` of those given out are with a connection; `settled` have a result, or need none.
    """

    number: int
    epoch: int
    first_seq: int
    tasks: list[Task]
    deadline: float
    """Boot seconds; past it nothing of the chunk is started, whatever the database thinks."""
    allowed: int = 0
    given: int = 0
    in_hand: int = 0
    settled: int = 0
    fenced: bool = False
    destination: str | None = None
    """The domain of all its recipients, where a limit kept them back."""
    ahead: int | None = None
    """How many of its tasks may be allowed and unsettled: what a limit lets go soon; None: any number."""

    def next_task(self) -> Task | None:
        """Return the next task that a committed window allows, or None."""
        while self.given < self.allowed:
            task = self.tasks[self.given]
            self.given += 1
            if not task.barred:
                return task
        return None

    def end_of(self, count: int) -> int:
        """Return the window end that allows the first `count` tasks."""
        return self.tasks[count - 1].seq if count else self.first_seq - 1

    def after_window(self, count: int) -> list[Task]:
        """Return the `count` tasks that follow those that are allowed."""
        return self.tasks[self.allowed : self.allowed + count]

    def allow(self, count: int, barred: Collection[int]) -> None:
        """Allow `count` more tasks; of them, recipients in `barred` are no longer ready and are passed over."""
        for task in self.after_window(count):
            if task.recipient_id in barred:
                task.barred = True
                self.settled += 1
        self.allowed += count

    @property
    def waiting(self) -> int:
        """How many tasks no connection has had yet."""
        return 0 if self.fenced else len(self.tasks) - self.given

    @property
    def wanted(self) -> int:
        """How many more tasks it has use for being allowed."""
        rest = len(self.tasks) - self.allowed
        return rest if self.ahead is None else min(rest, self.ahead - (self.allowed - self.settled))

    @property
    def done(self) -> bool:
        """Whether every task has a result or needs none."""
        return self.settled == len(self.tasks)


def share_window(chunks: Sequence[Held], *, window: int) -> list[int]:
    """Share a window out over chunks, oldest first; returns how many more tasks each may start."""
    room = window - sum(held.allowed - held.settled for held in chunks)
    grants = []
    for held in chunks:
        grant = 0 if held.fenced else max(0, min(room, held.wanted))
        room -= grant
        grants.append(grant)
    return grants
