"""A7: how long a reader waits for a redirect while a mailing is being sent on the same machine, against a quiet one.

Readers come one after another, every PAUSE seconds, as they do: what is measured is what one of them feels.
"""

import asyncio
import time
from collections.abc import Sequence
from statistics import median, quantiles

from tests.bench.errors import BenchError
from tests.bench.house import House, ready_at
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target
from tests.bench.p06_click import Load, add_clicks
from tests.bench.processes import running
from tests.bench.sending import compose, prepare, send
from tests.bench.tools import SmtpTools, postfix

RUNS = 3
MESSAGES = {"small": 20_000, "full": 100_000}
PAUSE = 0.005  # seconds between one answer and the next click


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's sink."""
    return await measure_with(house, postfix(), messages=MESSAGES[size], runs=RUNS)


async def measure_with(house: House, smtp: SmtpTools, *, messages: int, runs: int) -> Measured:
    """Measure quiet and busy times in turn; both are as long."""
    measured: list[Run] = []
    async with prepare(house, persons=messages) as prepared:
        load = Load(connections=1, seconds=0.0, recipients=min(messages, 10_000))
        paths = (await add_clicks(house, prepared.connection, load)).read_text("ascii").split()
        processes = [
            smtp.sink.child,
            *house.workers(1, smtp_url=smtp.sink.url),
            ready_at(house.settings.port, house.python("api", "app.cli", "api")),
        ]
        with running(*processes, directory=house.directory) as [sink, worker, _api]:
            for _ in range(runs):
                mailing_id, _ = await compose(prepared)
                readers = asyncio.create_task(_click(house.settings.port, paths))
                try:
                    sent = await send(prepared, mailing_id, workers=[worker.pid], sinks=[sink.pid])
                finally:
                    readers.cancel()
                    busy = await readers
                quiet = await _click(house.settings.port, paths, seconds=sent.seconds)
                measured.append(_run(BASELINE, quiet, sent.seconds))
                measured.append(_run(OURS, busy, sent.seconds, msg_per_s=sent.value))
    return Measured(measured, {"messages": messages, "pause": PAUSE})


async def _click(port: int, paths: Sequence[str], *, seconds: float = float("inf")) -> list[float]:
    """Click until the time is over, or until cancelled; return how many seconds each answer took."""
    took: list[float] = []
    ends = time.monotonic() + seconds
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.monotonic() < ends:
            path = paths[len(took) % len(paths)]
            began = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: click\r\nUser-Agent: Firefox\r\n\r\n".encode("ascii"))
            head = await reader.readuntil(b"\r\n\r\n")
            took.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 302"):
                raise BenchError(f"A click is answered {head[:40]!r}")
            await asyncio.sleep(PAUSE)
    except asyncio.CancelledError:
        pass  # the mailing is sent
    finally:
        writer.close()
    return took


def _run(side: str, took: Sequence[float], seconds: float, **further: float) -> Run:
    p99 = quantiles(took, n=100)[98] * 1e3
    return Run(side, p99, seconds, further={"p50_ms": median(took) * 1e3, "clicks": len(took), **further})


TARGET = Target("A7", "redirect p99 while sending", "ms", 5.0, measure, at_most=True)
