"""What a result of the SMTP dialogue makes of a recipient (D32)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.plan import Task
from app.delivery.replies import Outcome, SendResult, asked_wait, is_hard, is_local

LONGEST_ASKED = 6 * 3600.0  # seconds that a server's words can put off a retry: it has three days in all

Settled = tuple[Task, SendResult]


@dataclass(frozen=True, slots=True)
class Bounced:
    """A refusal for good, as the bounces slice takes it in."""

    recipient_id: int
    hard: bool
    status: str | None
    detail: str


OnBounced = Callable[[AsyncSession, Sequence[Bounced]], Awaitable[None]]
"""Takes refusals in, in the transaction that stores their results."""


@dataclass(frozen=True, slots=True)
class Retries:
    """When a temporary failure is tried again (D32).

    `first_wait` in seconds is doubled with every attempt, up to eight times as long. `give_up_after`: a temporary
    failure is final when the recipient's first one was so many seconds ago. The mailing's age does not count: it may
    have been stopped for days.
    """

    first_wait: float
    give_up_after: float

    def wait(self, attempt: int, result: SendResult) -> float:
        """Return the seconds to wait after an attempt (from 1); longer where the server asked for it."""
        return max(float(self.first_wait * 2 ** min(attempt - 1, 3)), min(asked_wait(result), LONGEST_ASKED))

    def is_last(self, task: Task) -> bool:
        """Whether a temporary failure of a task is final."""
        return task.tried_for is not None and task.tried_for > self.give_up_after


def columns(settled: Sequence[Settled], retries: Retries) -> dict[str, list[Any]]:
    """Return the arrays that the flush statement stores."""
    rows = [_stored(task, result, retries) for task, result in settled]
    return {
        "ids": [task.recipient_id for task, _ in settled],
        "attempts": [
            task.attempt - (status == "ready") for (task, _), (status, _, _) in zip(settled, rows, strict=True)
        ],
        "codes": [result.code for _, result in settled],
        "replies": [result.text for _, result in settled],
        "statuses": [status for status, _, _ in rows],
        "bounces": [bounce for _, bounce, _ in rows],
        "waits": [wait for _, _, wait in rows],
    }


def _stored(task: Task, result: SendResult, retries: Retries) -> tuple[str, str | None, float | None]:
    """Return (status, bounce, seconds until the next try)."""
    if result.outcome is Outcome.ACCEPTED:
        return "sent", None, None
    if result.outcome is Outcome.UNKNOWN:
        return "unconfirmed", None, None
    if result.outcome is Outcome.DEFERRED:
        if retries.is_last(task):
            return "bounced", "soft", None
        return "deferred", None, retries.wait(task.attempt, result)
    if result.outcome is Outcome.SENDER_FAULT:
        return "failed" if task.is_suspect else "ready", None, None
    if is_local(result):
        return "failed", None, None
    return "bounced", "hard" if is_hard(result) else "soft", None


def bounces(settled: Sequence[Settled], retries: Retries) -> list[Bounced]:
    """Return the results that are bounces: refusals by a server, and temporary failures that were the last."""
    return [
        Bounced(task.recipient_id, is_hard(result), result.enhanced, result.text)
        for task, result in settled
        if (result.outcome is Outcome.REJECTED and not is_local(result))
        or (result.outcome is Outcome.DEFERRED and retries.is_last(task))
    ]
