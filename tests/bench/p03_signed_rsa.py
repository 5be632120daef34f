"""P3: a whole send by one worker, every message signed with RSA-2048, against `openssl speed rsa2048` on one core.

The baseline only signs. It is taken beside each of our runs, while the worker has nothing to do, and by the same clock:
without `-elapsed` it would count its own CPU time, and not share the machine with anybody.
"""

from collections.abc import Awaitable, Callable

from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.p01_send import RUNS, WORKERS
from tests.bench.processes import run_program, running
from tests.bench.sending import LINKS, compose, prepare, send, sign_with
from tests.bench.tools import SmtpTools, find_program, postfix

MESSAGES = {"small": 10_000, "full": 50_000}
SECONDS = {"small": 2, "full": 5}

Signs = Callable[[], Awaitable[Run]]


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's sink and OpenSSL's speed."""
    signs = openssl_speed(seconds=SECONDS[size])
    return await measure_with(house, postfix(), signs, messages=MESSAGES[size], runs=RUNS)


def openssl_speed(*, seconds: int) -> Signs:
    """Return what measures RSA-2048 signatures per second of one core."""
    program = find_program("openssl", package="openssl")

    async def signs() -> Run:
        output = await run_program(program, "speed", "-elapsed", "-seconds", str(seconds), "-mr", "rsa2048", within=60)
        for line in output.splitlines():  # +F2:number:bits:signatures per second:verifications
            if line.startswith("+F2:"):
                return Run(BASELINE, float(line.split(":")[3]), seconds)
        raise BenchError(f"openssl speed says nothing of RSA: {output[-300:]}")

    return signs


async def measure_with(house: House, smtp: SmtpTools, signs: Signs, *, messages: int, runs: int) -> Measured:
    """Measure both sides in turn, on one sink."""
    workers = house.workers(WORKERS, smtp_url=smtp.sink.url)
    measured: list[Run] = []
    async with prepare(house, persons=messages) as prepared:
        with (
            running(smtp.sink.child, directory=house.directory) as [sink],
            running(*workers, directory=house.directory) as processes,
        ):
            await sign_with(prepared, ["rsa"])
            for _ in range(runs):
                mailing_id, octets = await compose(prepared)
                measured.append(await signs())
                pids = [process.pid for process in processes]
                measured.append(await send(prepared, mailing_id, workers=pids, sinks=[sink.pid]))
    settings = {"messages": messages, "octets": octets, "links": LINKS, "workers": WORKERS, "signed": ["rsa"]}
    return Measured(measured, settings)


TARGET = Target("P3", "whole send, RSA-2048", "msg/s", 0.7, measure)
