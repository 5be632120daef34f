"""The states of a mailing as an explicit machine (D28): what each verb needs, and where it leads."""

from app.mailings.errors import IllegalTransition, NotEditable
from app.mailings.models import Mailing, MailingState
from app.platform.clock import now

_WAITING = frozenset({MailingState.DRAFT, MailingState.SCHEDULED, MailingState.EXPIRED})

TRANSITIONS: dict[str, tuple[frozenset[MailingState], MailingState]] = {
    "schedule": (_WAITING, MailingState.SCHEDULED),
    "unschedule": (_WAITING - {MailingState.DRAFT}, MailingState.DRAFT),
    "send": (_WAITING, MailingState.PREPARING),
    "begin": (frozenset({MailingState.PREPARING}), MailingState.SENDING),
    "abandon": (frozenset({MailingState.PREPARING}), MailingState.DRAFT),
    "expire": (frozenset({MailingState.SCHEDULED, MailingState.PREPARING}), MailingState.EXPIRED),
    "stop": (frozenset({MailingState.SENDING}), MailingState.STOPPED),
    "start": (frozenset({MailingState.STOPPED, MailingState.FAILED}), MailingState.SENDING),
    "prepare": (frozenset({MailingState.FAILED}), MailingState.PREPARING),
    "finish": (frozenset({MailingState.SENDING}), MailingState.FINISHED),
    "fail": (frozenset({MailingState.PREPARING, MailingState.SENDING}), MailingState.FAILED),
    "cancel": (
        frozenset({
            MailingState.DRAFT, MailingState.SCHEDULED, MailingState.PREPARING, MailingState.STOPPED,
            MailingState.FAILED,
        }),
        MailingState.CANCELLED,
    ),
}  # fmt: skip
"""What each verb needs, and where it leads. `start` of a mailing that failed before it was frozen is `prepare`."""

SOURCES_OPEN = frozenset({MailingState.DRAFT, MailingState.SCHEDULED})
"""Sources may be added and removed until sending starts (D17)."""


def move(mailing: Mailing, verb: str, *, reason: str | None = None) -> None:
    """Move a mailing whose row is locked; raises IllegalTransition with both states named."""
    allowed, target = TRANSITIONS[verb]
    if mailing.state not in allowed:
        needed = " or ".join(sorted(state.value for state in allowed))
        raise IllegalTransition(
            f"Mailing {mailing.id} is {mailing.state.value}; to become {target.value} it would have to be {needed}."
        )
    mailing.state = target
    mailing.state_reason = reason
    mailing.updated_at = now()
    mailing.version += 1
    if target is MailingState.SENDING and mailing.started_at is None:
        mailing.started_at = now()
    if target in (MailingState.FINISHED, MailingState.CANCELLED):
        mailing.finished_at = now()


def check_editable(mailing: Mailing) -> None:
    """Raise NotEditable unless the mailing is a draft."""
    if mailing.state is not MailingState.DRAFT:
        way_out = "Copy it instead."
        if mailing.state in (MailingState.SCHEDULED, MailingState.EXPIRED):
            way_out = "Unschedule it first."
        raise NotEditable(f"Mailing {mailing.id} is {mailing.state.value}; only a draft can be changed. {way_out}")


def check_sources_open(mailing: Mailing) -> None:
    """Raise NotEditable once the mailing is on its way."""
    if mailing.state not in SOURCES_OPEN:
        check_editable(mailing)
