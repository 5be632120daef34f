"""Lanes: which jobs share slots, so that what people wait for is never behind what takes long.

Each lane is a queue of its own in Redis, with slots of its own in every worker. A job waits only for jobs of its lane:
whatever many large mailings, imports or slow webhook receivers do, a test message or a small mailing starts at once.
Within the lane of large mailings, senders leave after a short turn while others wait (jobs/sending.py).
"""

from dataclasses import dataclass
from typing import Final

from app.platform.outbox import Job


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue, how many of its jobs one worker runs at a time, and how often it looks for them, in seconds."""

    queue: str
    slots: int
    poll: float = 0.1


# Jobs of a few seconds that somebody waits for. They wait for servers more than they work, hence the many slots.
AT_ONCE: Final = Lane("arq:at-once", slots=16)
# A sender takes what it gets of one core; more of them at a time only wait for each other.
SENDING: Final = Lane("arq:sending", slots=8)
# One long statement each: together with files, less than the connections that a worker has (settings.database_pool),
# so that senders always get one to store results with.
LISTS: Final = Lane("arq:lists", slots=4)
FILES: Final = Lane("arq:files", slots=3, poll=0.2)
# Receivers may take seconds to answer, and hold no connection meanwhile.
TELLING: Final = Lane("arq:telling", slots=8, poll=0.2)

LANES: Final = (AT_ONCE, SENDING, LISTS, FILES, TELLING)

_OF_JOB: Final = {
    Job.DISPATCH_SEND: SENDING,
    Job.MAILING_PREPARE: LISTS,
    Job.LIST_UPDATE: LISTS,
    Job.CONSENT_EXPIRE: LISTS,
    Job.IMPORT_RUN: FILES,
    Job.IMPORT_EXPIRE: FILES,
    Job.LIST_EXPORT: FILES,
    Job.VERDICTS_RECOMPUTE: FILES,
    Job.ENGAGEMENT_RESET: FILES,
    Job.WEBHOOK_DELIVER: TELLING,
    Job.DOMAIN_CHECK: TELLING,
    Job.ACTION_CALL: TELLING,
}


def lane_of(job: str) -> Lane:
    """Return the lane of a job; what is not said to take long is done at once."""
    return _OF_JOB.get(Job(job), AT_ONCE) if job in set(Job) else AT_ONCE
