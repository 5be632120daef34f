"""A8: the memory of a million tracked links, against that of the rows as Python keeps them in a dictionary.

Twenty links in each mailing, each target its own: the worst case, since a target that is linked twice is kept once.
"""

import gc
import time
import tracemalloc

from app.tracking.link_table import LinkTable, octets_of
from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target

LINKS = {"small": 100_000, "full": 1_000_000}
PER_MAILING = 20
LOOKUPS = 100_000
RUNS = 3


async def measure(house: House, size: str) -> Measured:
    """Measure how many octets a link takes, and how long finding one does."""
    return measure_with(links=LINKS[size], runs=RUNS)


def measure_with(*, links: int, runs: int) -> Measured:
    """Fill both with the same links, in turn."""
    measured: list[Run] = []
    for _ in range(runs):
        measured.append(_as_rows(links))
        measured.append(_as_table(links))
    return Measured(measured, {"links": links, "per_mailing": PER_MAILING})


def _target(number: int) -> str:
    return f"https://www.example.com/offers/{number:09}?utm_medium=email&utm_source=news"


def _as_rows(links: int) -> Run:
    began = time.monotonic()
    tracemalloc.start()
    rows = {number + 1: (number // PER_MAILING, 0, _target(number)) for number in range(links)}
    octets = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del rows
    gc.collect()
    return Run(BASELINE, octets / links, time.monotonic() - began, further={"MB_in_all": octets / 1e6})


def _as_table(links: int) -> Run:
    began = time.monotonic()
    table = LinkTable(None)  # type: ignore[arg-type]  # it asks no database here
    tracemalloc.start()
    seen: dict[bytes, int] = {}
    for number in range(links):
        table._append(number + 1, (number // PER_MAILING, 0, octets_of(_target(number))), seen)
    seen.clear()
    gc.collect()
    octets = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    cpu = time.process_time()
    for number in range(LOOKUPS):
        if table.get(number * 7919 % links + 1) is None:
            raise BenchError("The table does not find what is in it")
    each = (time.process_time() - cpu) / LOOKUPS * 1e6
    further = {"MB_in_all": octets / 1e6}
    return Run(OURS, octets / links, time.monotonic() - began, {"lookup": each}, further=further)


TARGET = Target("A8", "memory of a tracked link", "octets", 0.5, measure, at_most=True)
