"""Schedules (D27): from what a person asks for to moments, and starting what is due."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.parts import LocalTime
from app.mailings import service
from app.mailings.composing import Composer
from app.mailings.models import Mailing, MailingState
from app.mailings.readiness import check_ready
from app.mailings.schedule_schemas import ScheduleIn
from app.mailings.states import move
from app.platform.clock import now
from app.platform.errors import Invalid
from app.platform.wall_clock import EARLIEST, LATEST, comes, find_zone, moment, wall

MOST_AHEAD = timedelta(days=731)
"""A date further away is a slip of the pen, such as 2062 for 2026."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a mailing is to be sent. With `recipient_local_time` both times are those of `time_zone`'s clocks."""

    send_at: datetime
    send_before: datetime | None
    time_zone: str | None
    recipient_local_time: bool

    @property
    def starts_at(self) -> datetime:
        """When preparing begins: in recipients' own time, when the first zone of all has come to it."""
        if not self.recipient_local_time:
            return self.send_at
        return moment(self._wall(self.send_at), EARLIEST)

    @property
    def expires_at(self) -> datetime | None:
        """After when nothing of it may begin: in recipients' own time, when the last zone of all has come to it."""
        if self.send_before is None or not self.recipient_local_time:
            return self.send_before
        return moment(self._wall(self.send_before), LATEST)

    @property
    def local(self) -> LocalTime | None:
        """What clocks show when it is to be sent, if that is where recipients are."""
        if not self.recipient_local_time:
            return None
        send_before = self._wall(self.send_before) if self.send_before else None
        return LocalTime(self._wall(self.send_at), send_before, self.time_zone or "UTC")

    def _wall(self, at: datetime) -> datetime:
        return wall(at, find_zone(self.time_zone) or UTC)


def schedule_of(mailing: Mailing) -> Schedule | None:
    """Return a mailing's schedule, or None when it has none."""
    if mailing.send_at is None:
        return None
    return Schedule(mailing.send_at, mailing.send_before, mailing.time_zone, mailing.recipient_local_time)


def plan(wanted: ScheduleIn, *, at: datetime) -> Schedule:
    """Return the schedule that was asked for at a moment; raises Invalid that points at what cannot be."""
    zone = find_zone(wanted.time_zone)
    if wanted.recipient_local_time and zone is None:
        raise Invalid.field(
            "#/time_zone",
            "recipient_local_time needs time_zone: recipients whose own is not known get it by that one's clocks.",
        )
    send_at = _moment("send_at", wanted.send_at, zone)
    send_before = _moment("send_before", wanted.send_before, zone) if wanted.send_before else None
    if send_at <= at:
        shown = at.astimezone(zone or UTC).isoformat(timespec="seconds")
        raise Invalid.field(
            "#/send_at", f"{wanted.send_at.isoformat()} is past: it is {shown}. Give a later time, or `send` it now."
        )
    if send_at - at > MOST_AHEAD:
        raise Invalid.field("#/send_at", "send_at is more than two years ahead; give an earlier time.")
    if send_before is not None and send_before <= send_at:
        raise Invalid.field("#/send_before", "send_before must be later than send_at, or left out.")
    return Schedule(send_at, send_before, wanted.time_zone, wanted.recipient_local_time)


def _moment(field: str, given: datetime, zone: ZoneInfo | None) -> datetime:
    if not 2000 <= given.year <= 2200:
        raise Invalid.field(f"#/{field}", f"{field} is in the year {given.year}; give one within two years.")
    if given.tzinfo is not None:
        return given.astimezone(UTC)
    if zone is None:
        raise Invalid.field(
            "#/time_zone",
            f"{field} has no offset, so that nobody knows which moment it means: give time_zone, such as Europe/Oslo, "
            f"or write an offset, such as {given.isoformat()}+01:00.",
        )
    found = moment(given, zone)
    if not comes(given, zone):
        shown = wall(found, zone).isoformat()
        raise Invalid.field(
            f"#/{field}",
            f"In {zone.key} there is no {given.isoformat()}: clocks are put forward then. It would be {shown}; "
            "write that, or a time with an offset.",
        )
    return found


async def schedule(session: AsyncSession, *, mailing_id: int, wanted: ScheduleIn, composer: Composer) -> Mailing:
    """Schedule a mailing, or move its schedule; raises IllegalTransition, Invalid, or NotReady with every problem.

    One that expired can be scheduled again: its list is evaluated anew then.
    """
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    expired = mailing.state is MailingState.EXPIRED
    move(mailing, "schedule")
    planned = plan(wanted, at=now())
    mailing.send_at, mailing.send_before = planned.send_at, planned.send_before
    mailing.time_zone, mailing.recipient_local_time = planned.time_zone, planned.recipient_local_time
    mailing.starts_at = planned.starts_at
    await check_ready(session, mailing=mailing, composer=composer)
    if expired:
        await service.list_is_behind(session, mailing)
    return mailing


async def unschedule(session: AsyncSession, *, mailing_id: int) -> Mailing:
    """Make a scheduled or expired mailing a draft again."""
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    expired = mailing.state is MailingState.EXPIRED
    move(mailing, "unschedule")
    mailing.forget_schedule()
    if expired:
        await service.list_is_behind(session, mailing)
    return mailing


async def start_due(session: AsyncSession, *, mailing_id: int) -> None:
    """Start a scheduled mailing whose time has come, or let it expire; once, however many watches see it.

    It may have been moved, started or unscheduled since it was seen: the row, locked, tells.
    """
    mailing = await service.read_mailing(session, mailing_id=mailing_id, lock=True)
    planned = schedule_of(mailing)
    if mailing.state is not MailingState.SCHEDULED or planned is None or planned.starts_at > now():
        return
    if not expire_overdue(mailing):
        await service.prepare(session, mailing=mailing)


def expire_overdue(mailing: Mailing) -> bool:
    """Let a mailing expire if its `send_before` has passed; return whether it did."""
    planned = schedule_of(mailing)
    expires_at = planned.expires_at if planned else None
    if expires_at is None or expires_at > now():
        return False
    reason = f"It was to be sent before {expires_at:%Y-%m-%dT%H:%M:%SZ}, and had not begun by then."
    move(mailing, "expire", reason=reason)
    return True
