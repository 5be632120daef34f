"""What came of performing an action: a value, whose words hold no personal data."""

from dataclasses import dataclass

from app.actions.models import RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """A state, why, and in how many seconds it is tried again where it waits."""

    state: RunState
    detail: str | None = None
    wait: float = 0.0


def done(detail: str) -> Outcome:
    """Return that it is done."""
    return Outcome(RunState.DONE, detail)


def failed(detail: str) -> Outcome:
    """Return that it cannot be done as things are; somebody mends them and repeats it."""
    return Outcome(RunState.FAILED, detail)


def skipped(detail: str) -> Outcome:
    """Return that there is nobody, or nothing, to do it for."""
    return Outcome(RunState.SKIPPED, detail)


def again(detail: str, *, attempt: int, waits: tuple[int, ...]) -> Outcome:
    """Return that it failed for now: tried again after the wait of this attempt, from 1 on, or given up."""
    if attempt > len(waits):
        return Outcome(RunState.FAILED, f"{detail} Given up after {attempt} tries.")
    return Outcome(RunState.WAITING, detail, waits[attempt - 1])
