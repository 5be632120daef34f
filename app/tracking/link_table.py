"""Every tracked link in memory, so that a click needs no query and works while the database is away (D41).

Those that were there at the start lie in columns, in the order of their ids, and each target once: a million links
take some 40 MB besides their targets (A8 of the measurements), where objects would take 300. Links that came later lie
in a dictionary.
"""

import asyncio
import time
from array import array
from bisect import bisect_left

from app.platform.db import Database
from app.tracking.answers import location_of
from app.tracking.queries import links_after, links_beside

PAGE = 2000  # links read at once when the table is filled: clicks wait some milliseconds for a page
UNKNOWN_SECONDS = 5.0
"""How long a link that does not exist is believed not to. Its token was made by us, so it is rare: a deleted mailing,
or a link whose transaction is not committed yet."""
MAX_UNKNOWN = 10_000
MAX_SEEN = 50_000  # targets remembered while filling; the same ones stand close together

Found = tuple[int, int, bytes]
"""Of a link: its mailing, its library link or 0, and its target's octets.

Octets without merge tags are what a Location header says; with some (`is_template`) they are the target as stored.
A plain tuple, since one is made for every click.
"""


def is_template(octets: bytes) -> bool:
    """Tell whether a target has merge tags, which are filled at click time (D37)."""
    return b"[[" in octets


def octets_of(target: str) -> bytes:
    """Return a stored target as the table keeps it."""
    return target.encode() if "[[" in target else location_of(target)


class LinkTable:
    """Links by id. Links never change, so what is known stays true; a miss asks for the links of the whole mailing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = array("q")
        self._mailings = array("q")
        self._library_links = array("q")
        self._starts = array("q")
        self._lengths = array("i")
        self._octets = bytearray()
        self._later: dict[int, Found] = {}
        self._unknown: dict[int, float] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._ids) + len(self._later)

    def get(self, link_id: int) -> Found | None:
        """Return a link that is in memory, or None."""
        place = bisect_left(self._ids, link_id)
        if place < len(self._ids) and self._ids[place] == link_id:
            start = self._starts[place]
            octets = bytes(self._octets[start : start + self._lengths[place]])
            return self._mailings[place], self._library_links[place], octets
        return self._later.get(link_id)

    async def fill(self) -> None:
        """Read every link, a page per transaction; raises what the driver raises, and goes on from there next time."""
        seen: dict[bytes, int] = {}
        while True:
            after = self._ids[-1] if self._ids else 0
            async with self._database.begin() as session:
                rows = await links_after(session, after=after, limit=PAGE)
            for link_id, mailing_id, library_link_id, target in rows:
                self._append(link_id, (mailing_id, library_link_id or 0, octets_of(target)), seen)
            if len(rows) < PAGE:
                return

    def _append(self, link_id: int, link: Found, seen: dict[bytes, int]) -> None:
        mailing_id, library_link_id, octets = link
        start = seen.get(octets)
        if start is None:
            if len(seen) >= MAX_SEEN:
                seen.clear()
            start = seen[octets] = len(self._octets)
            self._octets += octets
        self._starts.append(start)
        self._lengths.append(len(octets))
        self._mailings.append(mailing_id)
        self._library_links.append(library_link_id)
        self._ids.append(link_id)
        self._later.pop(link_id, None)

    async def find(self, link_id: int, *, within: float) -> Found | None:
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
        return self.get(link_id)

    async def _ask(self, link_id: int) -> None:
        async with self._database.begin() as session:
            rows = await links_beside(session, link_id=link_id)
        for each, mailing_id, library_link_id, target in rows:
            if self.get(each) is None:
                self._later[each] = (mailing_id, library_link_id or 0, octets_of(target))
        if not rows:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[link_id] = time.monotonic() + UNKNOWN_SECONDS
