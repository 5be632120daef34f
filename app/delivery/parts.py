"""Each recipient's own time (D27): the ready recipients of a mailing in parts, each with a moment of its own.

A part is who shares a moment: people in Oslo and in Paris are one. The freeze gives its recipients neighbouring places,
so that whole chunks wait for it (decision record "Recipients' own time is chunks that wait").
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery import part_queries
from app.delivery.models import Dispatch
from app.platform.clock import now
from app.platform.wall_clock import find_zone, moment


@dataclass(frozen=True, slots=True)
class LocalTime:
    """When everyone is to get a mailing, by the clock on their own wall."""

    send_at: datetime
    """Without offset."""
    send_before: datetime | None
    """Without offset."""
    time_zone: str
    """Of recipients whose own is not known, and of companies."""

    def moments(self, zone: str | None) -> tuple[datetime, datetime | None]:
        """Return when it is `send_at` and `send_before` in a zone."""
        found = find_zone(zone) or find_zone(self.time_zone)
        if found is None:
            raise ValueError(f"{self.time_zone!r} is no time zone.")
        return moment(self.send_at, found), moment(self.send_before, found) if self.send_before else None


@dataclass(frozen=True, slots=True)
class Part:
    """Ready recipients who get a mailing at one moment: `count` of them, in `zones` ("" is nobody's own)."""

    not_before: datetime | None
    """None: at once, since it has been `send_at` there."""
    send_before: datetime | None
    zones: tuple[str, ...]
    count: int

    def is_late(self) -> bool:
        """Whether its time is over, so that it is not sent any more."""
        return self.send_before is not None and self.send_before <= now()


async def part_recipients(session: AsyncSession, *, mailing_id: int, local: LocalTime) -> list[Part]:
    """Return the parts of a mailing's ready recipients, by time; those whose time has passed are first."""
    found: dict[tuple[datetime | None, datetime | None], list[tuple[str, int]]] = defaultdict(list)
    at = now()
    for zone, count in await part_queries.count_zones(session, mailing_id=mailing_id):
        not_before, send_before = local.moments(zone)
        found[not_before if not_before > at else None, send_before].append((zone, count))
    parts = [
        Part(not_before, send_before, tuple(zone for zone, _ in zones), sum(count for _, count in zones))
        for (not_before, send_before), zones in found.items()
    ]
    return sorted(parts, key=lambda part: (part.not_before or at, part.send_before or at))


async def cut_parts(session: AsyncSession, *, dispatch: Dispatch, parts: Sequence[Part]) -> None:
    """Cut chunks that wait for their part's time. The largest part keeps its places, the others move behind it."""
    largest = max(range(len(parts)), key=lambda place: parts[place].count)
    ranges = {largest: (1, await part_queries.last_seq(session, mailing_id=dispatch.mailing_id))}
    moving = [(zone, place) for place, part in enumerate(parts) if place != largest for zone in part.zones]
    if moving:
        ranges |= await part_queries.move_zones(session, mailing_id=dispatch.mailing_id, moving=moving)
    await part_queries.cut(
        session,
        dispatch_id=dispatch.id,
        parts=[
            (*ranges[place], part.not_before, part.send_before) for place, part in enumerate(parts) if place in ranges
        ],
    )
