"""What a row of an imported file says, in the words of contacts and consent. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from app.audience.models import Import
from app.audience.rows import ContactRow
from app.consent.models import ConsentAction, LegalBasis, Purpose
from app.consent.service import ConsentLine, SubscriptionAnswer
from app.contacts.addresses import InvalidPhone, normalise_phone
from app.contacts.merging import full_name

_SAME = ("external_id", "category", "language", "city", "first_name", "last_name")


def person_line(contact: ContactRow, *, company_ids: Mapping[str, int], default_country: str) -> dict[str, Any]:
    """Return the fields that the row tells of a person; an empty cell tells nothing, so that it clears nothing."""
    line: dict[str, Any] = {field: value for field in _SAME if (value := getattr(contact, field))}
    line |= contact.texts
    whole = contact.first_name and contact.last_name
    if contact.name and (whole or contact.name != full_name(contact.first_name, contact.last_name)):
        line["name"] = contact.name  # else half a name would take the place of a whole one
    if contact.email is not None:
        line["email"], line["email_key"] = contact.email.address, contact.email.key
    elif contact.email_text:
        line["email"], line["email_key"] = contact.email_text, None
    if contact.cellphone:
        line["cellphone"] = contact.cellphone
    elif contact.cellphone_text:
        line["cellphone_text"] = contact.cellphone_text
    if direct := contact.texts.get("direct"):
        line["direct"] = _number(direct, default_country)
    if contact.company_name:
        line["company_id"] = company_ids[contact.company_name]
    if contact.extra:
        line["extra"] = dict(contact.extra)
    return line


def _number(text: str, default_country: str) -> str:
    try:
        return normalise_phone(text, default_country)
    except InvalidPhone:
        return text  # extensions such as "123" are no numbers, but of use to who calls


@dataclass(frozen=True, slots=True)
class Told:
    """What rows say of consent and subscriptions, and whose yes was not taken: (row number, field, when refused)."""

    consents: list[ConsentLine]
    answers: list[SubscriptionAnswer]
    withheld: list[tuple[int, str, datetime]]


def what_is_told(
    rows: Mapping[int, ContactRow],
    *,
    statement: Import,
    type_ids: Mapping[str, int],
    refusals: Mapping[tuple[int, int | None], datetime],
) -> Told:
    """Return the consents and subscriptions that rows tell of persons, by person id.

    A file's yes never overrides a no that the person gave since, on a page or by the unsubscribe link: an export is
    older than it looks. It counts where the import states that consent was given after that no.
    """
    source = f"import: {statement.file_name}"
    given_at = datetime.combine(statement.consent_date, time(), UTC) if statement.consent_date else None
    told = Told([], [], [])

    def is_withheld(person_id: int, type_id: int | None, contact: ContactRow, field: str) -> bool:
        refused_at = refusals.get((person_id, type_id))
        if refused_at is None or (given_at is not None and given_at > refused_at):
            return False
        told.withheld.append((contact.row_number, field, refused_at))
        return True

    for person_id, contact in rows.items():
        for name, subscribed in contact.subscriptions.items():
            type_id = type_ids[name]
            if not subscribed or not is_withheld(person_id, type_id, contact, f"subscription:{name}"):
                told.answers.append(SubscriptionAnswer(person_id, type_id, subscribed, source))
        consent = contact.consent
        if consent is None and statement.consent_basis:
            consent = True
        if consent is None or (consent and is_withheld(person_id, None, contact, "consent")):
            continue
        told.consents.append(
            ConsentLine(
                Purpose.E_MARKETING,
                ConsentAction.GIVEN if consent else ConsentAction.WITHDRAWN,
                (statement.consent_source or source) if consent else source,
                person_id,
                legal_basis=LegalBasis(statement.consent_basis or LegalBasis.CONSENT),
                valid_from=given_at if consent else None,
                recorded_by=f"import {statement.id}",
            )
        )
    return told
