"""Sources come and go, the list follows."""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.models import Consent, ConsentAction, LegalBasis, Purpose
from app.contacts.addresses import InvalidEmail, parse_mailbox
from app.recipients import queries
from app.recipients.errors import MailingNotFound, RecipientNotFound, SourceNotFound
from app.recipients.models import (
    BlockedReason,
    MailingSource,
    Recipient,
    RecipientStatus,
    SourceAddress,
    SourceKind,
)
from app.recipients.schemas import AddressesSourceIn, ListCounts, StatedConsent


async def check_mailing(session: AsyncSession, *, mailing_id: int) -> None:
    """Raise MailingNotFound unless there is such a mailing."""
    if not await queries.mailing_exists(session, mailing_id=mailing_id):
        raise MailingNotFound(f"There is no mailing {mailing_id}.")


@dataclass(frozen=True, slots=True)
class ListChange:
    """What an update did to the list, in lines."""

    added: int
    removed: int
    changed: int


@dataclass(frozen=True, slots=True)
class ListRules:
    """A mailing's options that decide who may get it (D21, D22)."""

    subscription_type_id: int | None
    override_consent: bool
    one_per_address: bool


async def update_list(
    session: AsyncSession, *, mailing_id: int, rules: ListRules, membership: bool = True
) -> ListChange:
    """Evaluate the sources and the rules D18-D22 again.

    With `membership` off nobody is added or removed; consent, subscriptions and blocked addresses count all the same.
    Pasted addresses that match no person stay excluded under `override_consent`: there is nobody who could have agreed.
    """
    row = await queries.update_list(
        session,
        mailing_id=mailing_id,
        subscription_type_id=rules.subscription_type_id,
        override_consent=rules.override_consent,
        one_per_address=rules.one_per_address,
        membership=membership,
    )
    return ListChange(added=row.added, removed=row.removed, changed=row.changed)


async def add_source(
    session: AsyncSession, *, mailing_id: int, selection_id: int | None = None, person_id: int | None = None
) -> MailingSource:
    """Add a selection or a person as a source."""
    kind = SourceKind.SELECTION if selection_id is not None else SourceKind.PERSON
    source = MailingSource(mailing_id=mailing_id, kind=kind, selection_id=selection_id, person_id=person_id)
    session.add(source)
    await session.flush()
    await session.refresh(source)
    return source


async def add_addresses(
    session: AsyncSession, *, mailing_id: int, pasted: AddressesSourceIn, recorded_by: str
) -> MailingSource:
    """Add pasted addresses as a source; invalid ones are kept and become *blocked: invalid address* (D18).

    A stated consent is recorded in the ledger for each valid address (D20).
    """
    stated = pasted.consent
    source = MailingSource(
        mailing_id=mailing_id,
        kind=SourceKind.ADDRESSES,
        consent_basis=stated.legal_basis.value if stated else None,
        consent_source=stated.source if stated else None,
        consent_date=stated.given_on if stated else None,
    )
    session.add(source)
    await session.flush()
    addresses = [_address(source.id, position, line) for position, line in enumerate(pasted.addresses)]
    session.add_all(addresses)
    if stated:
        keys = {address.email_key for address in addresses if address.email_key}
        session.add_all(_ledger_line(key, stated, recorded_by) for key in sorted(keys))
    await session.flush()
    await session.refresh(source)
    return source


def _address(source_id: int, position: int, line: str) -> SourceAddress:
    try:
        name, email = parse_mailbox(line)
    except InvalidEmail:
        return SourceAddress(source_id=source_id, position=position, email=line.replace("\x00", ""))
    return SourceAddress(source_id=source_id, position=position, name=name, email=email.address, email_key=email.key)


def _ledger_line(email_key: str, stated: StatedConsent, recorded_by: str) -> Consent:
    return Consent(
        email_key=email_key,
        purpose=Purpose.E_MARKETING,
        action=ConsentAction.GIVEN,
        legal_basis=LegalBasis(stated.legal_basis),
        source=stated.source,
        valid_from=datetime.combine(stated.given_on, time(), UTC),
        recorded_by=recorded_by,
    )


async def remove_source(session: AsyncSession, *, mailing_id: int, source_id: int) -> None:
    """Remove a source; raises SourceNotFound. The list follows at its next update."""
    source = await queries.find_source(session, mailing_id=mailing_id, source_id=source_id)
    if source is None:
        raise SourceNotFound(f"Mailing {mailing_id} has no source {source_id}.")
    await session.delete(source)


async def read_recipient(session: AsyncSession, *, mailing_id: int, recipient_id: int) -> Recipient:
    """Return one line of the list; raises RecipientNotFound."""
    recipient = await queries.find_recipient(session, mailing_id=mailing_id, recipient_id=recipient_id)
    if recipient is None:
        raise RecipientNotFound(f"Mailing {mailing_id} has no recipient {recipient_id}.")
    return recipient


async def count_list(session: AsyncSession, *, mailing_id: int) -> ListCounts:
    """Return the list's size by status and by reason, from the tallies."""
    return counts_of(await queries.read_tallies(session, mailing_id=mailing_id))


def counts_of(tallies: dict[str, Any]) -> ListCounts:
    """Return the counts that a mailing's tallies hold."""
    return ListCounts(
        total=tallies.get("total", 0),
        by_status={status: tallies.get(status.value, 0) for status in RecipientStatus},
        blocked_by_reason={
            reason: count for reason in BlockedReason if (count := tallies.get(f"blocked:{reason.value}", 0))
        },
    )
