"""What clocks on walls show: between a local date-time, which has no offset, and the moment it means in a time zone."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

EARLIEST = timezone(timedelta(hours=14))
"""Where a day begins first: no zone is further ahead (Kiritimati)."""

LATEST = timezone(timedelta(hours=-12))
"""Where a day ends last."""


def moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return the moment, in UTC, at which clocks in a zone show `wall` (without offset).

    A time that comes twice, when clocks are put back, means the first. One that never comes, when they are put forward,
    means as much later as they jump: 02:30 becomes 03:30.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def wall(at: datetime, zone: tzinfo) -> datetime:
    """Return what clocks in a zone show at a moment, without offset."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def comes(shown: datetime, zone: tzinfo) -> bool:
    """Tell whether clocks in a zone ever show `shown`; they jump over it when they are put forward."""
    return wall(moment(shown, zone), zone) == shown


def find_zone(name: str | None) -> ZoneInfo | None:
    """Return a time zone by its IANA name, or None when there is none of that name."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a name that is no file name, a folder, or unknown
        return None
