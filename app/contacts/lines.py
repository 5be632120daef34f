"""Fields of persons and companies as they came, brought to the form that they are kept in. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.contacts.addresses import Email, InvalidEmail, InvalidPhone, normalise_email, normalise_phone
from app.contacts.extra_values import Declared, extra_faults
from app.contacts.merging import Line
from app.platform.errors import InvalidField

CONTACTS = ("our_contact", "support_contact")
_PERSON_PHONES = ("cellphone", "direct")
_COMPANY_PHONES = ("phone",)
_IDENTITIES = ("name", "email", "cellphone", "external_id")


@dataclass(slots=True)
class Told:
    """What was told of one person or company, and what is wrong with it."""

    line: dict[str, Any]
    faults: list[InvalidField] = field(default_factory=list)
    further: list[Email] | None = None
    """The addresses beside the preferred one; None when nothing was said of them."""
    interests: list[str] | None = None
    """Names of all interests; None when nothing was said of them."""


def read_person(fields: Mapping[str, Any], *, declared: Declared, default_country: str) -> Told:
    """Return what the fields (of a schema, those that were set) tell of a person.

    `email` and `emails` become the preferred address and the further ones, contacts their two columns each.
    """
    told = _read(fields, _PERSON_PHONES, declared=declared, default_country=default_country)
    line = told.line
    if "emails" in line:
        _read_emails(told, line.pop("emails") or [])
    if "interests" in line:
        told.interests = line.pop("interests") or []
    for role in CONTACTS:
        if role in line:
            contact = line.pop(role) or {"name": None, "email": None}
            if address := contact.get("email"):
                email = _email(address, f"#/{role}/email", told.faults)
                contact["email"] = email and email.address
            line |= {f"{role}_{name}": value for name, value in contact.items()}
    return told


def read_company(fields: Mapping[str, Any], *, declared: Declared, default_country: str) -> Told:
    """Return what the fields (of a schema, those that were set) tell of a company."""
    return _read(fields, _COMPANY_PHONES, declared=declared, default_country=default_country)


def _read(fields: Mapping[str, Any], phones: tuple[str, ...], *, declared: Declared, default_country: str) -> Told:
    line = dict(fields)
    told = Told(line)
    if "email" in line:
        raw, line["email_key"] = line["email"], None
        email = _email(raw, "#/email", told.faults) if raw else None
        line["email"], line["email_key"] = (email.address, email.key) if email else (None, None)
    for name in phones:
        if raw := line.get(name):
            try:
                line[name] = normalise_phone(raw, default_country)
            except InvalidPhone as refusal:
                told.faults.append(InvalidField(pointer=f"#/{name}", detail=refusal.reason))
        elif name in line:
            line[name] = None
    if extra := line.get("extra"):
        told.faults += extra_faults(extra, declared)
    return told


def _read_emails(told: Told, addresses: list[str]) -> None:
    found = [_email(address, f"#/emails/{place}", told.faults) for place, address in enumerate(addresses)]
    by_key = {email.key: email for email in reversed(found) if email}
    emails = [by_key[key] for key in dict.fromkeys(email.key for email in found if email)]
    line = told.line
    if not line.get("email"):
        if "email" in line and emails:
            detail = (
                "The preferred address cannot be none while there are others: leave `email` out, or empty `emails`."
            )
            told.faults.append(InvalidField(pointer="#/email", detail=detail))
        line["email"], line["email_key"] = (emails[0].address, emails[0].key) if emails else (None, None)
    told.further = [email for email in emails if email.key != line["email_key"]]


def repeating_addresses(lines: Iterable[Told]) -> set[str]:
    """Return the external ids of persons who come more than once in lines that change more than one address."""
    lines = list(lines)
    often = Counter(told.line["external_id"] for told in lines)
    return {
        told.line["external_id"]
        for told in lines
        if often[told.line["external_id"]] > 1
        and (told.further is not None or ("email" in told.line and told.line["email"] is None))
    }


def follow_addresses(lines: Iterable[Told], known: Mapping[str, Sequence[Email]]) -> None:
    """Let lines about the same person tell all addresses that the person has after each, as if saved one by one.

    `known` has the addresses before the first line, the preferred one first, by the external id of each such person.
    """
    present = {external_id: list(emails) for external_id, emails in known.items()}
    for told in lines:
        line = told.line
        emails = present.get(line["external_id"])
        if emails is None or (told.further is None and "email" not in line):
            continue
        preferred = Email(line["email"], line["email"], line["email_key"]) if line["email"] else None
        if told.further is not None:
            emails = [*([preferred] if preferred else []), *told.further]
        elif preferred is None:
            emails = emails[1:]
        else:
            others = [email for email in emails[1:] if email.key != preferred.key]
            risen = len(others) < len(emails[1:])
            emails = [preferred, *others, *(emails[:1] if risen else [])]
        present[line["external_id"]] = emails
        line["email"], line["email_key"] = (emails[0].address, emails[0].key) if emails else (None, None)
        told.further = emails[1:]


def _email(raw: str, pointer: str, faults: list[InvalidField]) -> Email | None:
    try:
        return normalise_email(raw)
    except InvalidEmail as refusal:
        faults.append(InvalidField(pointer=pointer, detail=refusal.reason))
        return None


def nameless(person: Line) -> list[InvalidField]:
    """Return what is wrong with a person of whom nothing says who it is."""
    if any(person.get(name) for name in _IDENTITIES):
        return []
    detail = "Nothing says who this is: give a name, an email address, a mobile number or an external id."
    return [InvalidField(pointer="#", detail=detail)]
