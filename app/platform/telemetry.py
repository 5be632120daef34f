"""What an operator sees: structured logs without personal data, and Prometheus metrics."""

import logging

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.tracebacks import ExceptionDictTransformer


def set_up_logging(level: str) -> None:
    """Log one JSON object a line to standard output. Ids only: names and addresses stay out (fixed point)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # without the frames' variables: they hold recipients
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )


log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Metrics:
    """The metrics of one process, in a registry of their own so that two apps in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "budstikke_http_requests_total", "Requests by route and status.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "budstikke_http_request_seconds", "Seconds a request took, by route.", ["method", "route"],
            registry=self.registry, buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
        )  # fmt: skip
        self.engagement = Counter(
            "budstikke_engagement_total", "Clicks and opens recorded, by kind.", ["kind"], registry=self.registry
        )
        self.engagement_stored = Counter(
            "budstikke_engagement_stored_total", "Clicks and opens of this machine that PostgreSQL took.",
            registry=self.registry,
        )  # fmt: skip
        self.engagement_dropped = Counter(
            "budstikke_engagement_dropped_total", "Clicks and opens lost: neither disk nor database took them.",
            registry=self.registry,
        )  # fmt: skip
        self.engagement_behind = Gauge(
            "budstikke_engagement_behind_seconds", "Age of what was stored last; 0 when nothing waits in the spool.",
            registry=self.registry,
        )  # fmt: skip
