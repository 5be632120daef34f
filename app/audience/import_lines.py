"""What rows of an imported file say of consent and subscriptions. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from app.audience.models import Import
from app.consent.ledger_queries import Refusal, Refusals
from app.consent.models import ConsentAction, LegalBasis, Purpose
from app.consent.service import ConsentLine, SubscriptionAnswer


@dataclass(slots=True)
class Said:
    """What the rows about one person say, each with the number of the row; `stated` is a row of the person."""

    stated: int
    consent: tuple[bool, int] | None = None
    subscriptions: dict[str, tuple[bool, int]] = field(default_factory=dict)


def gather(
    rows: Iterable[tuple[int, int, bool | None, Mapping[str, bool] | None]], *, first_counts: bool
) -> dict[int, Said]:
    """Return what rows (person id, row number, consent, subscriptions) say of each person.

    Of several rows that tell the same the last one counts, or with `first_counts` the first: what happens when each is
    carried out by itself, so that it does not depend on how a file is cut into batches.
    """
    said: dict[int, Said] = {}
    for person_id, number, consent, subscriptions in rows:
        known = said.setdefault(person_id, Said(number))
        if consent is not None and not (first_counts and known.consent):
            known.consent = (consent, number)
        for name, subscribed in (subscriptions or {}).items():
            if not (first_counts and name in known.subscriptions):
                known.subscriptions[name] = (subscribed, number)
    return said


@dataclass(frozen=True, slots=True)
class Told:
    """What rows say of consent and subscriptions, and whose yes was not taken: (row number, field, why)."""

    consents: list[ConsentLine]
    answers: list[SubscriptionAnswer]
    withheld: list[tuple[int, str, Refusal]]


def what_is_told(
    said: Mapping[int, Said],
    *,
    statement: Import,
    type_ids: Mapping[str, int],
    refusals: Refusals,
) -> Told:
    """Return the consents and subscriptions that rows tell of persons, by person id.

    A file's yes never overrides a no that the person gave since, on a page or by the unsubscribe link, and never brings
    back a yes that ran out (D20, D21): an export is older than it looks. It counts where the import states that consent
    was given after that.
    """
    source = f"import: {statement.file_name}"
    given_at = datetime.combine(statement.consent_date, time(), UTC) if statement.consent_date else None
    basis = LegalBasis(statement.consent_basis or LegalBasis.CONSENT)
    recorded_by = f"import {statement.id}"
    told = Told([], [], [])

    def is_withheld(person_id: int, type_id: int | None, number: int, name: str) -> bool:
        refusal = refusals.get((person_id, type_id))
        if refusal is None or (given_at is not None and given_at > refusal.since):
            return False
        told.withheld.append((number, name, refusal))
        return True

    for person_id, rows in said.items():
        for name, (subscribed, number) in rows.subscriptions.items():
            type_id = type_ids[name]
            if not subscribed or not is_withheld(person_id, type_id, number, f"subscription:{name}"):
                told.answers.append(SubscriptionAnswer(person_id, type_id, subscribed, source))
        consent, number = rows.consent or (bool(statement.consent_basis) or None, rows.stated)
        if consent is None or (consent and is_withheld(person_id, None, number, "consent")):
            continue
        told.consents.append(
            ConsentLine(
                Purpose.E_MARKETING,
                ConsentAction.GIVEN if consent else ConsentAction.WITHDRAWN,
                (statement.consent_source or source) if consent else source,
                person_id,
                legal_basis=basis,
                valid_from=given_at if consent else None,
                recorded_by=recorded_by,
            )
        )
    return told
