"""P4: two workers send one mailing to two sinks, against two smtp-sources to the same sinks at once."""

import asyncio
import time
from collections.abc import Callable

from tests.bench.house import House
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.processes import running
from tests.bench.sending import LINKS, compose, prepare, send
from tests.bench.tools import SmtpTools, postfix

RUNS = 3
MESSAGES = {"small": 20_000, "full": 200_000}


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's tools."""
    return await measure_with(house, postfix, messages=MESSAGES[size], runs=RUNS)


async def measure_with(house: House, tools: Callable[[], SmtpTools], *, messages: int, runs: int) -> Measured:
    """Measure both sides in turn; each worker has a sink of its own."""
    pair = [tools(), tools()]
    children = [
        worker
        for number, smtp in enumerate(pair, start=1)
        for worker in house.workers(1, smtp_url=smtp.sink.url, first=number)
    ]
    measured: list[Run] = []
    async with prepare(house, persons=messages) as prepared:
        with (
            running(*(smtp.sink.child for smtp in pair), directory=house.directory) as sinks,
            running(*children, directory=house.directory) as workers,
        ):
            for _ in range(runs):
                mailing_id, octets = await compose(prepared)
                began = time.monotonic()
                await asyncio.gather(*(smtp.source(messages // 2, octets) for smtp in pair))
                seconds = time.monotonic() - began
                measured.append(Run(BASELINE, messages // 2 * 2 / seconds, seconds))
                pids = [worker.pid for worker in workers]
                measured.append(await send(prepared, mailing_id, workers=pids, sinks=[sink.pid for sink in sinks]))
    settings = {"messages": messages, "octets": octets, "links": LINKS, "workers": len(children)}
    return Measured(measured, settings)


TARGET = Target("P4", "two workers, two sinks", "msg/s", 0.75, measure)
