"""What recipients' merge tags stand for, read for many recipients with one SELECT."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import TextClause, text

# Tag to SQL. Only these strings and bound parameters ever become part of a statement.
_COLUMNS = {
    "customer.name": "r.name",
    "customer.email": "r.email",
    "customer.firstname": "p.first_name",
    "customer.lastname": "p.last_name",
    "customer.salutation": "p.salutation",
    "customer.title": "p.title",
    "customer.cellphone": "p.cellphone",
    "customer.direct": "p.direct",
    "customer.category": "p.category",
    "customer.business": "p.business",
    "customer.number": "p.number",
    "customer.position": "p.position",
    "company.name": "c.name",
    "company.department": "c.department",
    "company.country": "c.country",
    "company.phone": "c.phone",
    "company.url": "c.url",
    "company.category": "c.category",
    "company.business": "c.business",
    "company.number": "c.number",
    "company.city": "c.city",
}
_EXTRAS = {"customer.extra.": "p.extra", "company.extra.": "c.extra"}

BY_RANGE = "r.mailing_id = :mailing_id AND r.seq BETWEEN :first_seq AND :last_seq AND r.status = 'ready'"
BY_ID = "r.mailing_id = :mailing_id AND r.id = :recipient_id"


def select_recipients(tags: Iterable[str], *, where: str) -> TextClause:
    """Return the SELECT of recipients with their merge values, in the order of `seq`.

    Columns: id, seq, attempts, name, email, language, track_opens and track_clicks (null: never asked, D43), and v0,
    v1, … for the tags in order; null for a tag without value. `where` is BY_RANGE (recipient_seq_idx) or BY_ID.
    Recipients who match no person have only name and email (D13).
    """
    values, extras = [], {}
    for position, tag in enumerate(tags):
        column = _COLUMNS.get(tag)
        if column is None:
            prefix = next((prefix for prefix in _EXTRAS if tag.startswith(prefix)), None)
            if prefix is None:
                column = "NULL"  # a tag of what this mailing is not linked to, such as project.name
            else:
                extras[f"extra{position}"] = tag.removeprefix(prefix)
                column = f"{_EXTRAS[prefix]} ->> :extra{position}"
        values.append(f", {column} AS v{position}")
    statement = f"""
        SELECT r.id, r.seq, r.attempts, r.name, r.email, p.language,
               opens.given AS track_opens, clicks.given AS track_clicks{"".join(values)}
        FROM recipient AS r
        LEFT JOIN person AS p ON p.id = r.person_id
        LEFT JOIN company AS c ON c.id = p.company_id
        LEFT JOIN consent_state AS opens ON opens.person_id = p.id AND opens.purpose = 'track_opens'
        LEFT JOIN consent_state AS clicks ON clicks.person_id = p.id AND clicks.purpose = 'track_clicks'
        WHERE {where}
        ORDER BY r.seq
    """
    bound = [sa.bindparam(name, value=field, type_=sa.Text) for name, field in extras.items()]
    return text(statement).bindparams(*bound)


def values_of(row: Any, tags: Iterable[str]) -> dict[str, str]:
    """Return a row's merge values by tag; tags without a value are left out."""
    found = ((tag, getattr(row, f"v{position}")) for position, tag in enumerate(tags))
    return {tag: value for tag, value in found if value is not None}
