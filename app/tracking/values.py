"""What the merge tags in a link's target stand for at click time (D11, D13, D37)."""

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.tag_columns import COLUMNS, EXTRAS, Keeper
from app.tracking.queries import recipient_values


async def read_values(session: AsyncSession, *, recipient_id: int) -> dict[str, str]:
    """Return the values of `customer.…` and `company.…` tags of a recipient; empty when it is gone.

    Its contacts are among them, where mail may be from them: a target may name the sender (D5).
    """
    row = await recipient_values(session, recipient_id=recipient_id)
    if row is None:
        return {}
    rows: dict[Keeper, Mapping[str, Any]] = {
        Keeper.RECIPIENT: {"name": row.name, "email": row.email},
        Keeper.PERSON: row.person or {},
        Keeper.COMPANY: row.company or {},
    }
    values = row.contacts | {tag: rows[keeper].get(column) for tag, (keeper, column) in COLUMNS.items()}
    for prefix, keeper in EXTRAS.items():
        values |= {f"{prefix}{name}": value for name, value in (rows[keeper].get("extra") or {}).items()}
    return {tag: _text(value) for tag, value in values.items() if value is not None}


def _text(value: Any) -> str:
    """Return a value as the messages have it, where PostgreSQL writes it (`->>`)."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
