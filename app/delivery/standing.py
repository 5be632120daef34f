"""How sending accounts fare, as one process knows it: failures, waits that grow, and pipelining that stepped down.

What is learned is stored with the account (account_queries), so that the API shows it and other processes begin with
it. `BUDSTIKKE_SMTP_URL` has no row: of it, only this process knows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from app.delivery.account_models import SendingAccountHealth
from app.delivery.account_queries import Faring
from app.delivery.replies import Outcome, SendResult, decided_here
from app.delivery.smtp.account import Pipelining
from app.delivery.windows import boot_seconds
from app.platform.clock import now

FIRST_WAIT = 0.5  # seconds; a server that was restarted is back in a moment
MAX_WAIT = 300.0
FIRST_FAULT_WAIT = 60.0  # wrong credentials stay wrong until somebody acts; many servers lock out whoever insists
MAX_FAULT_WAIT = 3600.0
STEP_SECONDS = 3600.0  # how long pipelining stays stepped down the first time; doubled each time, to a day
MAX_STEP_SECONDS = 86_400.0
SUSPICIONS = 2  # a connection may break by itself; two in a row that break in mid-pipeline are the server's way

_LOWER: Final = {Pipelining.FULL: Pipelining.ENVELOPE, Pipelining.ENVELOPE: Pipelining.OFF}
_ORDER: Final = (Pipelining.OFF, Pipelining.ENVELOPE, Pipelining.FULL)


@dataclass(slots=True)
class Standing:
    """How one account fares. Times are boot seconds."""

    failures: int = 0
    """In a row, those of connections that broke together counted once."""
    failure: SendResult | None = None
    """The last one."""
    shut_until: float = 0.0
    """Nothing is tried before."""
    step: Pipelining | None = None
    step_until: float = 0.0
    _suspicions: int = 0
    _steps: int = 0

    @property
    def is_fault(self) -> bool:
        """Whether the server does not let us in until somebody acts."""
        return self.failure is not None and self.failure.outcome is Outcome.SENDER_FAULT

    def is_shut(self) -> bool:
        """Whether its time to be tried again has not come."""
        return boot_seconds() < self.shut_until

    def fail(self, failure: SendResult) -> float:
        """Count a failure; return the seconds until it is tried again."""
        self.failures += 1
        self.failure = failure
        first, most = (FIRST_FAULT_WAIT, MAX_FAULT_WAIT) if self.is_fault else (FIRST_WAIT, MAX_WAIT)
        wait = min(first * 2.0 ** min(self.failures - 1, 20), most)
        self.shut_until = boot_seconds() + wait
        return wait

    def works(self) -> None:
        """Forget what stood against it."""
        self.failures, self.failure, self.shut_until = 0, None, 0.0

    def level(self, wanted: Pipelining | None) -> Pipelining | None:
        """Return how much to pipeline on a new connection, where the account wants at most `wanted`."""
        if self.step is None or boot_seconds() >= self.step_until:
            return wanted
        return self.step if wanted is None else min(wanted, self.step, key=_ORDER.index)

    def pipelined_well(self) -> None:
        """Note that a connection did what it should."""
        self._suspicions = 0

    def misbehaved(self, level: Pipelining, *, surely: bool) -> tuple[Pipelining, float] | None:
        """Note that a server broke off in mid-pipeline, or `surely` that its replies were out of step.

        Returns the level it steps down to and for how many seconds, or None for no step: not yet, or taken already.
        """
        if level is Pipelining.OFF or self.level(level) is not level:
            return None
        self._suspicions += SUSPICIONS if surely else 1
        if self._suspicions < SUSPICIONS:
            return None
        wait = min(STEP_SECONDS * 2.0 ** min(self._steps, 10), MAX_STEP_SECONDS)
        self._suspicions, self._steps = 0, self._steps + 1
        self.step, self.step_until = _LOWER[level], boot_seconds() + wait
        return self.step, wait


@dataclass(slots=True)
class Standings:
    """The standings of all accounts that this process has used, by id; None is `BUDSTIKKE_SMTP_URL`."""

    _known: dict[int | None, Standing] = field(default_factory=dict)

    def of(self, account_id: int | None) -> Standing:
        """Return an account's standing; it stays the same object."""
        return self._known.setdefault(account_id, Standing())

    def learn(self, accounts: Iterable[Faring]) -> None:
        """Take over what is stored: the word of all processes, and of whoever changed or tested an account."""
        moment, boot = now(), boot_seconds()
        for account, stored in accounts:
            health = stored or SendingAccountHealth(account_id=account.id)
            standing = self.of(account.id)
            standing.failures = health.failures
            standing.failure = None
            if health.failing_since is not None:
                outcome = Outcome.SENDER_FAULT if health.is_fault else Outcome.DEFERRED
                standing.failure = decided_here(outcome, health.words or "")
            standing.shut_until = boot + (health.retry_at - moment).total_seconds() if health.retry_at else 0.0
            standing.step = health.step
            standing.step_until = boot + (health.step_until - moment).total_seconds() if health.step_until else 0.0
