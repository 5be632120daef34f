"""What the garbage collector need not look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Make many values at once without looking for circles among them, which takes longer than making them.

    For a block that awaits nothing. The collector looks at every 700th new container, and at all that a process has
    ever so often: unpacking 10 000 rows took 80 ms with it and 10 without. It does its work after the block.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def settle() -> None:
    """Let the collector pass over all that a process has once it has started: it stays as long as the process does.

    Otherwise it walks all objects of routes, schemas and tables whenever a request makes many values: 40 % of the CPU
    time of a bulk request, and a sender whose connections all wait for 0.13 s.
    """
    gc.collect()
    gc.freeze()
