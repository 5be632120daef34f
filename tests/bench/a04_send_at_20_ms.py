"""A4: sending at 20 ms per reply."""

from tests.bench.latency import latency_target

TARGET = latency_target(4, milliseconds=20)
