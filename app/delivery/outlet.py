"""One account in one sender's hands: the feed of its connections, and its share among those that do the same."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.delivery.budgets import Budgets
from app.delivery.replies import Outcome, SendResult, is_of_account
from app.delivery.routing import Account, Route
from app.delivery.smtp.dialogue import SmtpConnection
from app.delivery.smtp.feed import Envelope, Stuffed
from app.delivery.standing import Standing
from app.delivery.windows import boot_seconds

LEAD = 25  # messages that an account may be ahead of its share; its rival is woken when it has caught up
SLOW_OPENING_SECONDS = 2.0  # a server that drops packets is given a minute, and nobody waits for it that has others
STALLED_SECONDS = 1.0  # who took nothing for so long (a slow server) holds nobody up; nor does who may not take any


class Messages(Protocol):
    """What outlets ask of their sender; see `Feed`."""

    def next(self, outlet: "Outlet") -> Envelope | None:
        """Give the next message that an outlet may take."""
        ...

    def content(self, envelope: Envelope) -> bytes | Stuffed:
        """Give a message's content."""
        ...

    def start(self, envelope: Envelope) -> bool:
        """Record a start, or refuse it."""
        ...

    def settle(self, envelope: Envelope, result: SendResult, *, stops: bool = True) -> None:
        """Take a result; `stops`: a fault on our side ends the sending."""
        ...

    @property
    def waiting(self) -> int:
        """How many messages are with no connection and have no result."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is given out."""
        ...


class Siblings(Protocol):
    """What an outlet asks of all of them together; see outlets.py."""

    messages: Messages
    budgets: Budgets
    held_back: set["Outlet"]

    def can_do_without(self, outlet: "Outlet") -> bool:
        """Tell whether others can take all that an outlet may."""
        ...

    def shut(self, outlet: "Outlet", fault: SendResult) -> None:
        """Use an account no more."""
        ...

    def note_success(self, outlet: "Outlet") -> None:
        """Note that an account works."""
        ...

    def wake_held_back(self) -> None:
        """Let those look again that wait for a rival to catch up."""
        ...


@dataclass(slots=True, eq=False)
class Outlet:
    """One account, as the feed of its connections."""

    account: Account
    standing: Standing
    outlets: Siblings
    routes: set[Route] | None
    """Of the messages it may take; None: all of them."""
    content: Callable[[Envelope], bytes | Stuffed]
    start: Callable[[Envelope], bool]
    rivals: Sequence["Outlet"] = ()
    """Others that may take the same messages, and share them by weight."""
    fault: SendResult | None = None
    """What this sender met: the account is out of its game."""
    taken: float = 0.0
    """Messages, divided by the weight."""
    took_at: float = 0.0
    slots: set[asyncio.Task[None]] = field(default_factory=set)
    opening: dict[object, float] = field(default_factory=dict)
    """Those that are not open yet, and since when they try."""
    open: set[SmtpConnection] = field(default_factory=set)
    most: int = 0
    """How many connections the server takes at a time, as far as it told."""
    most_until: float = 0.0
    is_told: bool = False
    """Whether it is stored that it works."""

    def next(self) -> Envelope | None:
        """Give the next message, unless a rival is behind its share."""
        if self.fault is not None or (self.rivals and not self._has_turn()):
            return None
        envelope = self.outlets.messages.next(self)
        if envelope is not None and self.rivals:
            self._count()
        return envelope

    def settle(self, envelope: Envelope, result: SendResult) -> None:
        """Hand a result on; a fault of the account alone leaves the message to the others."""
        if result.outcome is Outcome.ACCEPTED:
            if self.standing.failures or not self.is_told:
                self.outlets.note_success(self)
        elif result.outcome is Outcome.SENDER_FAULT and is_of_account(result) and self.outlets.can_do_without(self):
            self.outlets.messages.settle(envelope, result, stops=False)
            self.outlets.shut(self, result)
            return
        self.outlets.messages.settle(envelope, result)

    def stuck(self) -> int:
        """Return how many connections have been opening for so long that others should do their work."""
        before = boot_seconds() - SLOW_OPENING_SECONDS
        return sum(since < before for since in self.opening.values())

    def _has_turn(self) -> bool:
        least = self._least(boot_seconds())
        if least is None or (self.taken - least) * self.account.weight < LEAD:
            return True
        self.outlets.held_back.add(self)
        return False

    def _least(self, moment: float) -> float | None:
        """Return the least share of the rivals that are at work."""
        at_work = [
            rival.taken
            for rival in self.rivals
            if rival.open
            and rival.fault is None
            and moment - rival.took_at < STALLED_SECONDS
            and self.outlets.budgets.leaves(rival.account.id, moment)
        ]
        return min(at_work, default=None)

    def _count(self) -> None:
        moment = boot_seconds()
        if moment - self.took_at >= STALLED_SECONDS and (least := self._least(moment)) is not None:
            self.taken = max(self.taken, least)  # what it did not take meanwhile, others have
        self.took_at = moment
        self.taken += 1 / max(self.account.weight, 1)
        self.outlets.wake_held_back()
