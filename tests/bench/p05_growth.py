"""P5: what one message of a large mailing costs, against one of a small mailing: nothing grows with the list.

The cost is CPU of worker and PostgreSQL; small mailings are sent until they are long enough to be measured, by workers
that have sent before.
"""

from dataclasses import replace
from statistics import fmean

from tests.bench.house import House
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.processes import running
from tests.bench.sending import Prepared, compose, part_of, prepare, send
from tests.bench.tools import SmtpTools, postfix

RUNS = {"small": 3, "full": 3}
MESSAGES = {"small": 20_000, "full": 1_000_000}
FEW = 1_000
SMALL_MAILINGS = 20  # of FEW, for one run: /proc counts CPU in hundredths of a second


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's sink."""
    return await measure_with(house, postfix(), messages=MESSAGES[size], few=FEW, times=SMALL_MAILINGS, runs=RUNS[size])


async def measure_with(house: House, smtp: SmtpTools, *, messages: int, few: int, times: int, runs: int) -> Measured:
    """Measure large and small mailings in turn."""
    measured: list[Run] = []
    async with prepare(house, persons=messages) as many:
        part = await part_of(many, persons=few)
        with (
            running(smtp.sink.child, directory=house.directory) as [sink],
            running(*house.workers(1, smtp_url=smtp.sink.url), directory=house.directory) as [worker],
        ):
            await _cost(part, worker=worker.pid, sink=sink.pid, times=1)  # the worker has started by then
            for _ in range(runs):
                baseline = await _cost(part, worker=worker.pid, sink=sink.pid, times=times)
                measured.append(replace(baseline, side=BASELINE))
                measured.append(await _cost(many, worker=worker.pid, sink=sink.pid, times=1))
    return Measured(measured, {"messages": messages, "few": few, "small_mailings": times})


async def _cost(prepared: Prepared, *, worker: int, sink: int, times: int) -> Run:
    """Send mailings one after the other; the value is µs of CPU per message."""
    sent = []
    for _ in range(times):
        mailing_id, _ = await compose(prepared)
        sent.append(await send(prepared, mailing_id, workers=[worker], sinks=[sink]))
    each = {name: fmean(run.cpu_us[name] for run in sent) for name in sent[0].cpu_us}
    seconds = sum(run.seconds for run in sent)
    further = {"msg_per_s": prepared.messages * times / seconds}
    return Run(sent[0].side, sum(each.values()), seconds, each, sent[-1].peak_rss_mb, further)


TARGET = Target("P5", "cost per message, many to few", "µs", 1.1, measure, at_most=True)
