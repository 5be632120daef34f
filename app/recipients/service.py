"""Sources come and go, the list follows."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.models import Project, Selection
from app.consent.models import ConsentAction, LegalBasis, Purpose
from app.consent.service import ConsentLine, record_consents
from app.contacts.addresses import InvalidEmail, parse_mailbox
from app.contacts.models import Company, Person
from app.platform.errors import Invalid
from app.recipients import list_queries, queries
from app.recipients.errors import AssociatedSource, MailingNotFound, RecipientNotFound, SourceNotFound
from app.recipients.list_queries import ListChange, ListRules
from app.recipients.models import (
    BlockedReason,
    MailingSource,
    Recipient,
    RecipientStatus,
    SourceAddress,
    SourceKind,
)
from app.recipients.schemas import AddressesSourceIn, ListCounts, StatedConsent
from app.recipients.sending_queries import lines_being_sent


async def check_mailing(session: AsyncSession, *, mailing_id: int) -> None:
    """Raise MailingNotFound unless there is such a mailing."""
    if not await queries.mailing_exists(session, mailing_id=mailing_id):
        raise MailingNotFound(f"There is no mailing {mailing_id}.")


async def update_list(
    session: AsyncSession, *, mailing_id: int, rules: ListRules, membership: bool = True
) -> ListChange:
    """Evaluate the sources and the rules D18-D22 again; lines whose message has left are never touched.

    With `membership` off nobody is added or removed; consent, subscriptions and blocked addresses count all the same.
    Pasted addresses that match no person stay excluded under `override_consent`: there is nobody who could have agreed.
    Two updates of one mailing wait for each other, and for the verb that moves it.
    """
    return await list_queries.update_list(session, mailing_id=mailing_id, rules=rules, membership_too=membership)


async def add_source(
    session: AsyncSession,
    *,
    mailing_id: int,
    selection_id: int | None = None,
    project_id: int | None = None,
    person_id: int | None = None,
    company_id: int | None = None,
) -> MailingSource:
    """Add a selection, project, person or company as a source; raises Invalid when there is none of that id.

    Its label keeps the name of today, for when what it names is gone (D25).
    """
    named = (
        (SourceKind.SELECTION, "selection_id", Selection, selection_id),
        (SourceKind.PROJECT, "project_id", Project, project_id),
        (SourceKind.PERSON, "person_id", Person, person_id),
        (SourceKind.COMPANY, "company_id", Company, company_id),
    )
    [(kind, field, model, key)] = [entry for entry in named if entry[3] is not None]
    found: Selection | Project | Person | Company | None = await session.get(model, key)
    if found is None:
        raise Invalid.field(f"#/{field}", f"There is no {kind.value} {key}.")
    source = MailingSource(mailing_id=mailing_id, kind=kind, label=_label(found))
    setattr(source, field, key)
    session.add(source)
    await session.flush()
    await session.refresh(source)
    return source


def _label(found: Selection | Project | Person | Company) -> str:
    if isinstance(found, Person):
        return found.name or found.email or f"person {found.id}"
    return found.name


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
        label=f"{len(pasted.addresses)} pasted",
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
        await record_consents(session, lines=[_ledger_line(key, stated, recorded_by) for key in sorted(keys)])
    await session.flush()
    await session.refresh(source)
    return source


def _address(source_id: int, position: int, line: str) -> SourceAddress:
    try:
        name, email = parse_mailbox(line)
    except InvalidEmail:
        return SourceAddress(source_id=source_id, position=position, email=line.replace("\x00", ""))
    return SourceAddress(source_id=source_id, position=position, name=name, email=email.address, email_key=email.key)


def _ledger_line(email_key: str, stated: StatedConsent, recorded_by: str) -> ConsentLine:
    return ConsentLine(
        Purpose.E_MARKETING,
        ConsentAction.GIVEN,
        stated.source,
        email_key=email_key,
        legal_basis=LegalBasis(stated.legal_basis),
        valid_from=datetime.combine(stated.given_on, time(), UTC),
        recorded_by=recorded_by,
    )


async def remove_source(session: AsyncSession, *, mailing_id: int, source_id: int) -> None:
    """Remove a source; raises SourceNotFound, and AssociatedSource (D19). The list follows at its next update."""
    source = await queries.find_source(session, mailing_id=mailing_id, source_id=source_id)
    if source is None:
        raise SourceNotFound(f"Mailing {mailing_id} has no source {source_id}.")
    if source.associated:
        raise AssociatedSource(
            f"Source {source_id} is the {source.kind.value} that mailing {mailing_id} is associated with; "
            f"change its setup: set {source.kind.value}_id to null."
        )
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


async def count_list_now(session: AsyncSession, *, mailing_id: int) -> ListCounts:
    """Return the list's size by status and by reason; of those that are ready, who is being sent is told apart."""
    return await tell_sending(session, await count_list(session, mailing_id=mailing_id), mailing_id=mailing_id)


async def tell_sending(session: AsyncSession, counts: ListCounts, *, mailing_id: int) -> ListCounts:
    """Return the counts with those who are being sent apart from those that are ready (D24)."""
    ready = counts.by_status[RecipientStatus.READY]
    if ready:
        sending = min(ready, len(await lines_being_sent(session, mailing_id=mailing_id)))
        counts.by_status[RecipientStatus.SENDING] = sending
        counts.by_status[RecipientStatus.READY] = ready - sending
    return counts


async def find_sending(session: AsyncSession, *, lines: Sequence[Recipient]) -> set[int]:
    """Return which lines of a page of one list are being sent: their rows say ready (D24)."""
    waiting = {line.id for line in lines if line.status is RecipientStatus.READY}
    if not waiting:
        return set()
    return waiting.intersection(await lines_being_sent(session, mailing_id=lines[0].mailing_id))


def counts_of(tallies: dict[str, Any]) -> ListCounts:
    """Return the counts that a mailing's tallies hold."""
    return ListCounts(
        total=tallies.get("total", 0),
        by_status={status: tallies.get(status.value, 0) for status in RecipientStatus},
        blocked_by_reason={
            reason: count for reason in BlockedReason if (count := tallies.get(f"blocked:{reason.value}", 0))
        },
    )
