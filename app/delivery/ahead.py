"""Messages made before a connection asks for them, where making one takes long: signed with RSA, on other cores.

An RSA signature takes 210 µs, twice as long as all the rest of sending a message. So tasks are taken out of their
chunks as the committed windows allow, their messages are filled here and signed elsewhere (signing_aside.py), and what
is done is put among the tasks that connections take first. Nothing of it has been started: a task whose chunk is lost
meanwhile is dropped, and at the end whatever lies here is left to the next sender.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

from app.delivery.picking import Picking
from app.delivery.plan import Plan, Task, UnsendableError, Unsigned
from app.delivery.signing_aside import sign_all

DEPTH = 128  # messages made and not taken: half a window, some 4 MB
BATCH = 16  # messages for one trip to a thread and back, which costs as much as filling two
THREADS = min(4, os.cpu_count() or 1)

_POOL = ThreadPoolExecutor(THREADS, thread_name_prefix="signing")  # of the process; threads start when they are needed


@dataclass(slots=True)
class Ahead:
    """What makes messages ahead for one sender."""

    plan: Plan
    tags: tuple[str, ...]
    picking: Picking
    refuse: Callable[[Task, Exception], None]
    """Called for a message that cannot be made."""
    wake: Callable[[], None]
    """Called when messages are done."""
    _closed: bool = False
    _failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.picking.ahead = self.plan.signs_slowly
        self._closed = not self.picking.ahead

    def fill(self) -> None:
        """Have messages made until there are enough; called wherever one was taken or more are allowed."""
        while not (self._closed or self._failure) and self.picking.making + self.picking.returned <= DEPTH - BATCH:
            batch = self._next_batch()
            if not batch:
                return
            self.picking.making += len(batch)
            loop = asyncio.get_running_loop()
            done = loop.run_in_executor(_POOL, sign_all, [field for _, unsigned in batch for field in unsigned.fields])
            done.add_done_callback(partial(self._put, batch))

    def go_on(self) -> None:
        """Have more messages made; raises why that cannot be done, if so: a fault of ours."""
        if self._failure is not None:
            raise self._failure
        self.fill()

    def close(self) -> None:
        """Make no more; what the threads are at is dropped."""
        self._closed = True

    def _next_batch(self) -> list[tuple[Task, Unsigned]]:
        batch: list[tuple[Task, Unsigned]] = []
        while len(batch) < BATCH and (task := self.picking.next_of_chunks()):
            try:
                batch.append((task, self.plan.fill(task.row, self.tags)))
            except UnsendableError as error:
                self.refuse(task, error)
        return batch

    def _put(self, batch: list[tuple[Task, Unsigned]], done: "asyncio.Future[list[bytes]]") -> None:
        self.picking.making -= len(batch)
        if self._closed or done.cancelled():
            return
        if error := done.exception():
            self._failure = error
        else:
            signatures = iter(done.result())
            for task, unsigned in batch:
                task.content = self.plan.finish(unsigned, islice(signatures, len(unsigned.fields)))
                self.picking.put_back(task)
        self.wake()
