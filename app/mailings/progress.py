"""How far a mailing is: what is done, how fast it goes, and when it will be through."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.mailings.models import Mailing, MailingState
from app.mailings.schemas import MailingProgress
from app.recipients.models import RecipientStatus
from app.recipients.schemas import ListCounts

PACE_SECONDS = 15.0  # the rate is that of the last so many: results come in bursts, and people want to see a stop
SHORTEST_SECONDS = 1.0  # two looks closer than this say nothing about a rate

_SETTLED = (RecipientStatus.SENT, RecipientStatus.FAILED, RecipientStatus.BOUNCED, RecipientStatus.UNCONFIRMED)


@dataclass(slots=True)
class Pace:
    """The rate of settled recipients, from looks at their number."""

    _looks: deque[tuple[datetime, int]] = field(default_factory=deque)

    def look(self, at: datetime, settled: int) -> float | None:
        """Take a look into account; return recipients per second over the last PACE_SECONDS, None while unknown."""
        if self._looks and settled < self._looks[-1][1]:  # unconfirmed ones are sent again
            self._looks.clear()
        self._looks.append((at, settled))
        while len(self._looks) > 2 and at - self._looks[1][0] >= timedelta(seconds=PACE_SECONDS):
            self._looks.popleft()
        since, before = self._looks[0]
        seconds = (at - since).total_seconds()
        return (settled - before) / seconds if seconds >= SHORTEST_SECONDS else None


def progress_of(mailing: Mailing, counts: ListCounts, *, pace: Pace, at: datetime) -> MailingProgress:
    """Return where a mailing is. The end is that of first tries: when a deferred one is through, nobody knows."""
    by_status = counts.by_status
    settled = sum(by_status[status] for status in _SETTLED)
    waiting = by_status[RecipientStatus.READY] + by_status[RecipientStatus.SENDING]
    sending = mailing.state is MailingState.SENDING
    rate = pace.look(at, settled) if sending else None
    return MailingProgress(
        id=mailing.id,
        state=mailing.state,
        state_reason=mailing.state_reason,
        total=counts.total - by_status[RecipientStatus.BLOCKED],
        done=settled,
        sent=by_status[RecipientStatus.SENT],
        failed=by_status[RecipientStatus.FAILED] + by_status[RecipientStatus.BOUNCED],
        deferred=by_status[RecipientStatus.DEFERRED],
        rate=None if rate is None else round(rate, 2),
        estimated_end_at=at + timedelta(seconds=round(waiting / rate)) if rate and waiting else None,
        recipients=counts,
    )
