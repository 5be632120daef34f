"""Lists: keyset pages, stable while rows are added (api.md rule 3)."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from app.platform.errors import Invalid

MAX_LIMIT = 200
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before", max_length=500)]

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="Pass as `cursor` to get the next page; null on the last one")


def read_cursor(cursor: str | None) -> int | None:
    """Return the id of the last item of the page before: the next page has those with ids over it.

    In a list that is newest first, it has those under it. Raises Invalid for anything not made by `page_of`.
    """
    if cursor is None:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))["after"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        after = None
    if not isinstance(after, int) or isinstance(after, bool) or not 0 < after < 2**63:
        raise Invalid.field("query:cursor", "This is no cursor; take `next_cursor` from the page before, unchanged.")
    return after


def page_of(rows: Sequence[Any], *, limit: int, show: Callable[[Any], Item]) -> dict[str, Any]:
    """Return a page of rows that were read in key order with `limit + 1`, so that the one too many tells of more."""
    shown = rows[:limit]
    more = len(rows) > limit
    cursor = base64.urlsafe_b64encode(json.dumps({"after": shown[-1].id}).encode()).decode() if more else None
    return {"items": [show(row) for row in shown], "next_cursor": cursor}
