"""An event as it came in: what a reader did, and its few octets in the spool."""

import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from app.tracking.models import EventKind
from app.tracking.verdicts import LONGEST_USER_AGENT

# Further octets, kind, method, mailing, recipient, link, microseconds since 1970. KINDS and METHODS only ever grow.
_RECORD = struct.Struct("<HBBqqqq")
_LENGTH_OCTETS = 2
KINDS = (EventKind.CLICK, EventKind.OPEN)
METHODS = ("GET", "HEAD")
CLICK, OPEN = range(len(KINDS))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Event(NamedTuple):
    """A click or an open. `mailing_id` and `link_id` are None for opens: the recipient knows its mailing."""

    kind: EventKind
    mailing_id: int | None
    recipient_id: int
    link_id: int | None
    occurred_at: datetime
    method: str
    user_agent: str


def record_of(
    kind: int, mailing_id: int, recipient_id: int, link_id: int, microseconds: int, method: str, user_agent: bytes
) -> bytes:
    """Return an event as a record of the spool. `kind` is CLICK or OPEN; ids that an open does not have are 0."""
    agent = user_agent[:LONGEST_USER_AGENT]
    length = _RECORD.size - _LENGTH_OCTETS + len(agent)
    return _RECORD.pack(length, kind, method == "HEAD", mailing_id, recipient_id, link_id, microseconds) + agent


def event_of(record: bytes) -> Event:
    """Return the event of a record."""
    _, kind, method, mailing_id, recipient_id, link_id, microseconds = _RECORD.unpack_from(record)
    agent = record[_RECORD.size :].decode("latin-1").replace("\0", "")
    occurred_at = _EPOCH + timedelta(microseconds=microseconds)
    return Event(KINDS[kind], mailing_id or None, recipient_id, link_id or None, occurred_at, METHODS[method], agent)


def pack(event: Event) -> bytes:
    """Return the record of an event."""
    microseconds = (event.occurred_at - _EPOCH) // timedelta(microseconds=1)
    return record_of(
        KINDS.index(event.kind), event.mailing_id or 0, event.recipient_id, event.link_id or 0, microseconds,
        event.method, event.user_agent.encode("latin-1", "replace"),
    )  # fmt: skip
