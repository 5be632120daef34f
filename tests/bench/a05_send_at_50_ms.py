"""A5: sending at 50 ms per reply."""

from tests.bench.latency import latency_target

TARGET = latency_target(5, milliseconds=50)
