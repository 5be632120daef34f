"""Sending to a server that is far away: there the connections are the bound, not the CPU.

A pipelining connection can send one message per latency of a reply, since body, dot and the next envelope leave in one
write; that is the baseline. Postfix's smtp-source, which waits for every reply, is told beside it.
"""

import time
from collections.abc import Callable
from functools import partial

from app.embedded.ports import free_port
from tests.bench.house import House, ready_at
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.processes import running
from tests.bench.sending import LINKS, compose, prepare, send
from tests.bench.tools import SOURCE_CONNECTIONS, SmtpTools, postfix

RUNS = 3
SECONDS_OF_SENDING = {"small": 4, "full": 20}  # at the speed that the latency allows


def latency_target(number: int, *, milliseconds: int) -> Target:
    """Return the target of a latency."""
    measure = partial(_measure, seconds=milliseconds / 1000)
    return Target(f"A{number}", f"send at {milliseconds} ms per reply", "msg/s per connection", 0.9, measure)


async def _measure(house: House, size: str, *, seconds: float) -> Measured:
    connections = house.settings.smtp_connections * house.settings.senders
    messages = round(SECONDS_OF_SENDING[size] / seconds) * connections
    return await measure_with(house, postfix, seconds=seconds, messages=messages, runs=RUNS)


async def measure_with(
    house: House, tools: Callable[..., SmtpTools], *, seconds: float, messages: int, runs: int
) -> Measured:
    """Measure against the theoretical figure; `tools` makes a sink whose source goes through a given port."""
    far = free_port()
    smtp = tools(through=far)
    near = smtp.sink.url.rpartition(":")[2]
    delaying = ready_at(far, house.python("delaying", "tests.bench.delaying", str(far), near, str(seconds)))
    workers = house.workers(1, smtp_url=f"smtp://127.0.0.1:{far}")
    connections = house.settings.smtp_connections * house.settings.senders
    measured: list[Run] = []
    async with prepare(house, persons=messages) as prepared:
        with (
            running(smtp.sink.child, directory=house.directory) as [sink],
            running(delaying, directory=house.directory),
            running(*workers, directory=house.directory) as processes,
        ):
            for _ in range(runs):
                mailing_id, octets = await compose(prepared)
                lockstep = max(SOURCE_CONNECTIONS, messages // 20)
                began = time.monotonic()
                await smtp.source(lockstep, octets)
                waited = lockstep / (time.monotonic() - began) / SOURCE_CONNECTIONS
                ours = await send(prepared, mailing_id, workers=[p.pid for p in processes], sinks=[sink.pid])
                measured.append(Run(BASELINE, 1 / seconds, ours.seconds, further={"smtp_source": waited}))
                measured.append(_per_connection(ours, connections))
    settings = {
        "messages": messages, "octets": octets, "links": LINKS, "connections": connections, "seconds": seconds,
    }  # fmt: skip
    return Measured(measured, settings)


def _per_connection(run: Run, connections: int) -> Run:
    return Run(
        run.side, run.value / connections, run.seconds, run.cpu_us, run.peak_rss_mb,
        {**run.further, "msg_per_s": run.value},
    )  # fmt: skip
