"""A6: as P6, but messages are opened: the pixel, durable before it is answered, against a bare uvicorn's."""

from functools import partial

from tests.bench.measuring import Target
from tests.bench.p06_click import measure

TARGET = Target("A6", "durable open, 64 connections", "req/s", 0.6, partial(measure, opens=True))
