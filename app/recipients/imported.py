"""Imported rows as recipients of one mailing: a source with an address per row, and no persons (D13, D17, D20)."""

from datetime import UTC, datetime, time

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience.errors import MailingNotDraft
from app.audience.import_queries import OPEN_STATES, Problem, mailing_of
from app.audience.import_reading import Batch
from app.audience.imports import Saved
from app.audience.models import Import
from app.consent.models import ConsentAction, LegalBasis, Purpose
from app.consent.service import ConsentLine, record_consents
from app.contacts.merging import full_name
from app.recipients import imported_queries


async def save_addresses_of(session: AsyncSession, current: Import, batch: Batch, *, is_trial: bool = False) -> Saved:
    """Add the rows of a batch to the import's source, in their order; `created` counts them.

    Each has name, address and mobile number (D17). An address that is not valid is kept, so that nobody is lost
    silently (D18). A row without one, and a row that says no to e-marketing, is rejected. With a stated consent the
    ledger gets a line for each address that is no person's (D20). Raises MailingNotDraft, also where the mailing was
    deleted.
    """
    mailing = await mailing_of(session, mailing_id=current.mailing_id) if current.mailing_id else None
    if current.mailing_id is None or mailing is None or mailing.state not in OPEN_STATES:
        state = mailing.state if mailing else "deleted"
        raise MailingNotDraft(f"The mailing is {state}; recipients can be added until it is sent.")
    rows: list[tuple[int, str, str, str | None, str | None]] = []
    problems: list[Problem] = []
    for index, (number, line) in enumerate(zip(batch.numbers, batch.lines, strict=True)):
        if "email" not in line:
            detail = "The row has no email address, so that it can be no recipient."
            problems.append((number, "email", "no_address", detail, True))
        elif batch.consents.get(index) is False:
            problems.append((number, "consent", "said_no", "The row says no to e-marketing; it was left out.", True))
        else:
            name = line.get("name") or full_name(line.get("first_name"), line.get("last_name"))
            rows.append((number, name, line["email"], line["email_key"], line.get("cellphone")))
    if not is_trial:
        source_id = await imported_queries.source_of(session, current=current, mailing_id=current.mailing_id)
        await imported_queries.add_addresses(session, source_id=source_id, rows=rows)
        await _record(session, current, keys=sorted({key for _, _, _, key, _ in rows if key}))
    return Saved(len(rows), 0, problems, rejected=len(problems))


async def _record(session: AsyncSession, current: Import, *, keys: list[str]) -> None:
    if not (current.consent_basis and current.consent_source and current.consent_date and keys):
        return
    recorded_by = f"import {current.id}"
    unknown = await imported_queries.unrecorded(session, keys=keys, recorded_by=recorded_by)
    lines = [
        ConsentLine(
            Purpose.E_MARKETING, ConsentAction.GIVEN, current.consent_source, email_key=key,
            legal_basis=LegalBasis(current.consent_basis), recorded_by=recorded_by,
            valid_from=datetime.combine(current.consent_date, time(), UTC),
        )
        for key in unknown
    ]  # fmt: skip
    await record_consents(session, lines=lines)
