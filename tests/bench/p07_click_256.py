"""P7: as P6, with 256 connections open at once: bigger groups."""

from functools import partial

from tests.bench.measuring import Target
from tests.bench.p06_click import measure

TARGET = Target("P7", "durable click, 256 open", "req/s", 0.8, partial(measure, connections=256))
