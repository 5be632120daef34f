"""P1: a whole send by the real workers, results durable in PostgreSQL, against Postfix's smtp-source."""

import time
from collections.abc import Awaitable, Callable, Sequence

from tests.bench.house import House
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.processes import cpu_seconds, running
from tests.bench.sending import LINKS, compose, prepare, send, sign_with
from tests.bench.tools import SmtpTools, postfix

RUNS = 3
MESSAGES = {"small": 10_000, "full": 100_000}
WORKERS = 1  # one sink takes one core; P4 measures two workers with two sinks


Baseline = Callable[[int, int], Awaitable[Run]]
"""(octets of a message, pid of the sink): measures the other side once."""


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's tools."""
    smtp, messages = postfix(), MESSAGES[size]
    return await measure_with(house, smtp, smtp_source(smtp, messages), messages=messages, runs=RUNS)


async def measure_with(
    house: House, smtp: SmtpTools, baseline: Baseline, *, messages: int, runs: int, algorithms: Sequence[str] = ()
) -> Measured:
    """Measure both sides in turn, on one sink; signed with keys of these algorithms."""
    workers = house.workers(WORKERS, smtp_url=smtp.sink.url)
    measured: list[Run] = []
    async with prepare(house, persons=messages) as prepared:
        with (
            running(smtp.sink.child, directory=house.directory) as [sink],
            running(*workers, directory=house.directory) as processes,
        ):
            pids = [process.pid for process in processes]
            await sign_with(prepared, algorithms)
            for _ in range(runs):
                mailing_id, octets = await compose(prepared)
                measured.append(await baseline(octets, sink.pid))
                measured.append(await send(prepared, mailing_id, workers=pids, sinks=[sink.pid]))
    settings = {
        "messages": messages, "octets": octets, "links": LINKS, "workers": WORKERS,
        "connections": house.settings.smtp_connections, "senders": house.settings.senders, "signed": list(algorithms),
    }  # fmt: skip
    return Measured(measured, settings)


def smtp_source(smtp: SmtpTools, messages: int) -> Baseline:
    """Return what sends as many messages of the same size with the tool that we are compared with."""

    async def baseline(octets: int, sink: int) -> Run:
        sink_before, began = cpu_seconds(sink), time.monotonic()
        await smtp.source(messages, octets)
        seconds = time.monotonic() - began
        sink_us = (cpu_seconds(sink) - sink_before) / messages * 1e6
        return Run(BASELINE, messages / seconds, seconds, further={"sink_cpu_us": sink_us})

    return baseline


TARGET = Target("P1", "whole send", "msg/s", 1.0, measure)
