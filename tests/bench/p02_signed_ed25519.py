"""P2: P1, every message signed with Ed25519 (RFC 8463)."""

from tests.bench.house import House
from tests.bench.measuring import Measured, Target
from tests.bench.p01_send import MESSAGES, RUNS, measure_with, smtp_source
from tests.bench.tools import postfix


async def measure(house: House, size: str) -> Measured:
    """Measure with Postfix's tools."""
    smtp, messages = postfix(), MESSAGES[size]
    baseline = smtp_source(smtp, messages)
    return await measure_with(house, smtp, baseline, messages=messages, runs=RUNS, algorithms=["ed25519"])


TARGET = Target("P2", "whole send, Ed25519", "msg/s", 0.9, measure)
