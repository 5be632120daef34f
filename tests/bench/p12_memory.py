"""P12: the most memory a worker has had while it sent a large mailing, against a small one; each by a fresh worker."""

from dataclasses import replace

from tests.bench.house import House
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.processes import running
from tests.bench.sending import Prepared, compose, part_of, prepare, send
from tests.bench.tools import SmtpTools, postfix

RUNS = {"small": 3, "full": 3}
MESSAGES = {"small": 30_000, "full": 1_000_000}
FEW = {"small": 3_000, "full": 10_000}
LIMIT_MB = 250


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's sink."""
    return await measure_with(house, postfix(), messages=MESSAGES[size], few=FEW[size], runs=RUNS[size])


async def measure_with(house: House, smtp: SmtpTools, *, messages: int, few: int, runs: int) -> Measured:
    """Measure small and large mailings in turn."""
    measured: list[Run] = []
    async with prepare(house, persons=messages) as many:
        part = await part_of(many, persons=few)
        with running(smtp.sink.child, directory=house.directory) as [sink]:
            for _ in range(runs):
                measured.append(replace(await _peak(part, smtp, sink=sink.pid), side=BASELINE))
                measured.append(await _peak(many, smtp, sink=sink.pid))
    return Measured(measured, {"messages": messages, "few": few, "limit_mb": LIMIT_MB})


async def _peak(prepared: Prepared, smtp: SmtpTools, *, sink: int) -> Run:
    """Send one mailing with a fresh worker; the value is its peak in MiB."""
    house = prepared.house
    with running(*house.workers(1, smtp_url=smtp.sink.url), directory=house.directory) as [worker]:
        mailing_id, _ = await compose(prepared)
        run = await send(prepared, mailing_id, workers=[worker.pid], sinks=[sink])
    return replace(run, value=run.peak_rss_mb or 0.0, further={"msg_per_s": run.value})


TARGET = Target("P12", "memory of a worker, many to few", "MiB", 1.2, measure, at_most=True)
