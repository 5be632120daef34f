"""P3: a whole send by one worker, every message signed with RSA-2048, against `openssl speed rsa2048` on one core.

The baseline only signs. It is taken beside each of our runs, while the worker has nothing to do, and by the same clock:
without `-elapsed` it would count its own CPU time, and not share the machine with anybody.
"""

from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import BASELINE, Measured, Run, Target
from tests.bench.p01_send import RUNS, Baseline, measure_with
from tests.bench.processes import run_program
from tests.bench.tools import find_program, postfix

MESSAGES = {"small": 10_000, "full": 50_000}
SECONDS = {"small": 2, "full": 5}


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's sink and OpenSSL's speed."""
    signs = openssl_speed(seconds=SECONDS[size])
    return await measure_with(house, postfix(), signs, messages=MESSAGES[size], runs=RUNS, algorithms=["rsa"])


def openssl_speed(*, seconds: int) -> Baseline:
    """Return what measures RSA-2048 signatures per second of one core."""
    program = find_program("openssl", package="openssl")

    async def signs(octets: int, sink: int) -> Run:
        del octets, sink  # it only signs
        output = await run_program(program, "speed", "-elapsed", "-seconds", str(seconds), "-mr", "rsa2048", within=60)
        for line in output.splitlines():  # +F2:number:bits:signatures per second:verifications
            if line.startswith("+F2:"):
                return Run(BASELINE, float(line.split(":")[3]), seconds)
        raise BenchError(f"openssl speed says nothing of RSA: {output[-300:]}")

    return signs


TARGET = Target("P3", "whole send, RSA-2048", "msg/s", 0.7, measure)
