"""Recipients who met a fault of ours before: whether it is the mailing's, or theirs alone.

A 5xx that blames the sender stops the mailing (D32); a lone closed list answers the same for ever, and would stop it
each time it is started again. So whoever meets one keeps the server's words, and is a suspect the next time: he is
`failed`, and never bounced, if others are accepted meanwhile. Where everybody is refused, the mailing stops again.
"""

from dataclasses import dataclass, field

from app.delivery.plan import Task
from app.delivery.replies import SendResult
from app.platform.db import Database
from app.recipients.queries import read_tallies

FEW = 20  # so many others must have been sent for each suspect, where none is left to be tried now


@dataclass(slots=True)
class Suspects:
    """Suspects that were refused again, and wait for a verdict. They are with no connection, and not given out."""

    _held: list[tuple[Task, SendResult]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, task: Task, result: SendResult) -> None:
        """Keep one until it shows whether others are accepted."""
        self._held.append((task, result))

    async def are_few(self, database: Database, mailing_id: int) -> bool:
        """Tell whether what was sent of the mailing before speaks for it, and against the suspects."""
        async with database.begin() as session:
            sent = (await read_tallies(session, mailing_id=mailing_id)).get("sent", 0)
        return sent >= FEW * len(self._held)

    def first(self) -> SendResult:
        """Return what the first of them met."""
        return self._held[0][1]

    def release(self) -> list[tuple[Task, SendResult]]:
        """Return all of them; none is held any more."""
        held, self._held = self._held, []
        return held
