"""Every tracked link in memory, so that a click needs no query and works while the database is away (D41)."""

import asyncio
import time
from dataclasses import dataclass

from app.platform.db import Database
from app.tracking.queries import links_after, links_beside

PAGE = 10_000  # links read at once when the table is filled
UNKNOWN_SECONDS = 5.0
"""How long a link that does not exist is believed not to. Its token was made by us, so it is rare: a deleted mailing,
or a link whose transaction is not committed yet."""
MAX_UNKNOWN = 10_000

_PRINTABLE = frozenset(range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class TrackedTarget:
    """Where a link leads: the target as stored, and the octets of its Location header unless it has merge tags."""

    mailing_id: int
    target: str
    location: bytes | None


def location_of(target: str) -> bytes:
    """Return a target as the value of a Location header: octets that a URL cannot have are percent-encoded."""
    octets = target.encode()
    if _PRINTABLE.issuperset(octets):
        return octets
    return b"".join(bytes((octet,)) if octet in _PRINTABLE else b"%%%02X" % octet for octet in octets)


class LinkTable:
    """Links by id. Links never change, so what is known stays true; a miss asks for the links of the whole mailing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._links: dict[int, TrackedTarget] = {}
        self._unknown: dict[int, float] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def get(self, link_id: int) -> TrackedTarget | None:
        """Return a link that is in memory, or None."""
        return self._links.get(link_id)

    async def fill(self) -> None:
        """Read every link, a page per transaction; raises what the driver raises."""
        after = 0
        while True:
            async with self._database.begin() as session:
                rows = await links_after(session, after=after, limit=PAGE)
            for link in rows:
                self._add(*link)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def find(self, link_id: int, *, within: float) -> TrackedTarget | None:
        """Return a link that is not in memory yet, or None when there is none.

        Raises TimeoutError when the database does not answer within that many seconds, else what the driver raises.
        """
        if self._unknown.get(link_id, 0.0) > time.monotonic():
            return None
        asking = self._asking.get(link_id)
        if asking is None:
            asking = self._asking[link_id] = asyncio.create_task(self._ask(link_id))
            asking.add_done_callback(lambda _: self._asking.pop(link_id, None))
        done, _ = await asyncio.wait({asking}, timeout=within)
        if not done:
            raise TimeoutError
        asking.result()
        return self._links.get(link_id)

    async def _ask(self, link_id: int) -> None:
        async with self._database.begin() as session:
            rows = await links_beside(session, link_id=link_id)
        for link in rows:
            self._add(*link)
        if not rows:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[link_id] = time.monotonic() + UNKNOWN_SECONDS

    def _add(self, link_id: int, mailing_id: int, target: str) -> None:
        location = None if "[[" in target else location_of(target)
        self._links[link_id] = TrackedTarget(mailing_id, target, location)
