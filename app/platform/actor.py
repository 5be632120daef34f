"""Who does what is being done: said once per transaction, read by the triggers that keep the audit log (D76)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who: `api-key:3`, `job:import.run`, `recipient:17`; `name` says it in words, without personal data.

    With `bulk`, what the actor does is summed up: one entry per table and kind of change, however many transactions
    it takes. Without an actor, the log names the database's user.
    """

    who: str
    name: str | None = None
    request_id: str | None = None
    bulk: str | None = None

    def setting(self) -> str:
        """Return what the triggers read."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})


_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def acting() -> Actor | None:
    """Return who acts in this task, where it is known before the transaction begins."""
    return _acting.get()


@contextmanager
def acts(actor: Actor) -> Iterator[None]:
    """Let the actor be named in every transaction that is begun inside, also by tasks that are started there."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)
