"""What the merge tags in a link's target stand for at click time (D11, D13, D37)."""

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.tracking.queries import recipient_values

_PERSON = {
    "firstname": "first_name", "lastname": "last_name", "salutation": "salutation", "title": "title",
    "cellphone": "cellphone", "direct": "direct", "category": "category", "business": "business", "number": "number",
    "position": "position",
}  # fmt: skip
_COMPANY = ("name", "department", "country", "phone", "url", "category", "business", "number", "city")


async def read_values(session: AsyncSession, *, recipient_id: int) -> dict[str, str]:
    """Return the values of `customer.…` and `company.…` tags of a recipient; empty when it is gone."""
    row = await recipient_values(session, recipient_id=recipient_id)
    if row is None:
        return {}
    person: Mapping[str, Any] = row.person or {}
    company: Mapping[str, Any] = row.company or {}
    values: dict[str, Any] = {"customer.name": row.name, "customer.email": row.email}
    values |= {f"customer.{tag}": person.get(column) for tag, column in _PERSON.items()}
    values |= {f"company.{tag}": company.get(tag) for tag in _COMPANY}
    for group, extra in (("customer", person.get("extra")), ("company", company.get("extra"))):
        values |= {f"{group}.extra.{name}": value for name, value in (extra or {}).items()}
    return {tag: _text(value) for tag, value in values.items() if value is not None}


def _text(value: Any) -> str:
    """Return a value as the messages have it, where PostgreSQL writes it (`->>`)."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
