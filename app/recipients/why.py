"""Why a person is on a mailing's list (D25): the answer to a data subject's question."""

from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.schemas import ConsentOut
from app.recipients import queries
from app.recipients.errors import RecipientNotFound
from app.recipients.models import BlockedReason, RecipientStatus, SourceKind
from app.recipients.schemas import StatedConsent, Why, WhyBlockedAddress, WhyOverride, WhySource, WhySubscription


async def explain_recipient(session: AsyncSession, *, mailing_id: int, recipient_id: int) -> Why:
    """Return what one line of the list rests on; raises RecipientNotFound.

    The line's source, ledger line and subscription are those it was judged by, and stay when the person is deleted.
    """
    row = await queries.find_why(session, mailing_id=mailing_id, recipient_id=recipient_id)
    if row is None:
        raise RecipientNotFound(f"Mailing {mailing_id} has no recipient {recipient_id}.")
    return Why(
        recipient_id=row.id,
        person_id=row.person_id,
        person_exists=row.person_exists,
        company_id=row.company_id,
        merge_data="person" if row.person_id is not None else "company" if row.company_id is not None else "line",
        name=row.name,
        email=row.email,
        status=row.status,
        reason=row.reason,
        explanation=" ".join([_brought(row), *_judged(row)]),
        source=_source(row),
        consent=_ledger_line(row),
        subscription=_subscription(row),
        override=WhyOverride(by=row.override_by, reason=row.override_reason, needed=_needs_override(row))
        if row.override_consent
        else None,
        blocked_address=WhyBlockedAddress(reason=row.block_reason, origin=row.block_origin, blocked_at=row.blocked_at)
        if row.is_blocked
        else None,
    )


def _source(row: Any) -> WhySource | None:
    if row.source_id is None:
        return None
    stated = None
    if row.consent_basis is not None:
        stated = StatedConsent(legal_basis=row.consent_basis, source=row.consent_source, given_on=row.consent_date)
    return WhySource(
        id=row.source_id, kind=row.kind, label=row.label, associated=row.associated,
        selection_id=row.selection_id, selection_name=row.selection_name,
        stated_consent=stated, added_at=row.added_at,
    )  # fmt: skip


def _ledger_line(row: Any) -> ConsentOut | None:
    if row.line_id is None:
        return None
    return ConsentOut(
        id=row.line_id, person_id=row.line_person_id, company_id=row.line_company_id, purpose=row.purpose,
        action=row.action, legal_basis=row.legal_basis, source=row.source, text_version=row.text_version,
        language=row.language, evidence=row.evidence, valid_from=row.valid_from, valid_until=row.valid_until,
        recorded_by=row.recorded_by, created_at=row.recorded_at,
    )  # fmt: skip


def _subscription(row: Any) -> WhySubscription | None:
    if row.subscribed_at is None or row.reason == BlockedReason.NO_SUBSCRIPTION:  # unsubscribed while it waited
        return None
    return WhySubscription(subscription_type_id=row.type_id, name=row.type_name, subscribed_at=row.subscribed_at)


def _needs_override(row: Any) -> bool:
    """Tell whether somebody gets the mailing without consent or subscription; addresses rest on their statement."""
    lacks = row.consent_id is None or row.subscribed_at is None
    return bool(row.status != RecipientStatus.BLOCKED and _is_known(row) and lacks)


def _is_known(row: Any) -> bool:
    """Tell whether it is the line of a person or company, judged by ledger and subscriptions of its own."""
    return row.person_id is not None or row.company_id is not None


# The answer in words


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _brought(row: Any) -> str:
    """Say what brought the line: by the name it had when it was added, since it may be gone."""
    name, day = row.label or "without a name", _day(row.added_at) if row.kind else ""
    match row.kind:
        case SourceKind.SELECTION | SourceKind.PROJECT | SourceKind.COMPANY:
            associated = ", which the mailing is associated with" if row.associated else ""
            return f'The {row.kind} "{name}" (added {day}){associated} brought this {_who(row)}.'
        case SourceKind.PERSON:
            return f"This person was added by name on {day}."
        case SourceKind.IMPORT:
            return f'The file "{name}" (added {day}) brought this {_who(row)}.{_stated(row)}'
        case SourceKind.ADDRESSES:
            return f"The address was pasted on {day}.{_stated(row)}"
    return "The source is not there any more."


def _who(row: Any) -> str:
    return "person" if row.person_id is not None else "company" if row.company_id is not None else "address"


def _stated(row: Any) -> str:
    if row.consent_basis is None:
        return ""
    return f" Consent was stated with it: {row.consent_basis}, from {row.consent_source}, given on {row.consent_date}."


def _judged(row: Any) -> list[str]:
    if row.status == RecipientStatus.BLOCKED:
        return [f"Blocked: {_blocked(row)}"]
    parts = [_permitted(row), _subscribed(row)]
    if _needs_override(row):
        parts.append(f"{row.override_by or 'Somebody'} overrode this for the mailing: {row.override_reason}")
    return [part for part in parts if part]


def _permitted(row: Any) -> str:
    if row.consent_id is not None:
        return (
            f"Consent to e-marketing: {row.legal_basis}, since {_day(row.valid_from)}, from {row.source}"
            f" (line {row.line_id} of the ledger)."
        )
    return _refused(row) if _is_known(row) else ""


def _refused(row: Any) -> str:
    if row.line_id is not None:
        return f"Consent to e-marketing was withdrawn on {_day(row.valid_from)}, from {row.source}."
    return "Consent to e-marketing is not in the ledger."


def _subscribed(row: Any) -> str:
    if row.subscribed_at is not None:
        return f"Subscribed to {row.type_name or 'at least one type'} since {_day(row.subscribed_at)}."
    return _unsubscribed(row) if _is_known(row) else ""


def _unsubscribed(row: Any) -> str:
    if row.refused_at is not None:
        return f"Unsubscribed from {row.type_name} on {_day(row.refused_at)}."
    return f"Not subscribed to {row.type_name if row.wanted_type_id else 'any type'}."


_BLOCKED = {
    BlockedReason.INVALID_ADDRESS: "there is no valid address.",
    BlockedReason.FORMER_EMPLOYEE: "the person is marked as a former employee.",
    BlockedReason.EXCLUDED: "the address matches no person, and no consent was stated for it.",
    BlockedReason.DUPLICATE: "an earlier line of the list has the same address.",
}


def _blocked(row: Any) -> str:
    match row.reason:
        case BlockedReason.BLOCKED_ADDRESS if row.is_blocked:
            return f"the address is blocked since {_day(row.blocked_at)} ({row.block_reason}: {row.block_origin})."
        case BlockedReason.BLOCKED_ADDRESS:
            return "the address was blocked when it was looked at; it is not any more."
        case BlockedReason.EXCLUDED if _is_known(row):
            return f"the {_who(row)} is not in the address book any more."
        case BlockedReason.NO_CONSENT:
            return _lower(_refused(row))
        case BlockedReason.NO_SUBSCRIPTION:
            return _lower(_unsubscribed(row))
    return _BLOCKED[BlockedReason(row.reason)]


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
