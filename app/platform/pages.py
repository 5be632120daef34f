"""Lists: keyset pages, stable while rows are added (api.md rule 3)."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from app.platform.clock import within_reach
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

    In a list that is newest first, it has those under it. Raises Invalid for anything not made by `make_cursor`.
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


def make_cursor(after: int) -> str:
    """Return the cursor of the page that begins behind an id."""
    return base64.urlsafe_b64encode(json.dumps({"after": after}).encode()).decode()


def read_key(cursor: str | None, *kinds: type) -> list[Any] | None:
    """Return the key of the last item of the page before, in a list that is sorted by something besides ids.

    `kinds` are the key's: int, str or datetime. Raises Invalid for a cursor of another list or sort order.
    """
    if cursor is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))["key"]
        return [_part(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        detail = "This is no cursor of a list in this order; take `next_cursor` from the page before, unchanged."
        raise Invalid.field("query:cursor", detail) from error


def _part(value: Any, kind: type) -> Any:
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)
        return within_reach(moment)
    sound = type(value) is kind and (0 < value < 2**63 if isinstance(value, int) else "\x00" not in str(value))
    if not sound:
        raise ValueError(value)
    return value


def page_of(
    rows: Sequence[Any],
    *,
    limit: int,
    show: Callable[[Any], Item],
    key: Callable[[Any], Sequence[int | str | datetime]] | None = None,
) -> dict[str, Any]:
    """Return a page of rows that were read in key order with `limit + 1`, so that the one too many tells of more.

    `key` is that of a row in a list whose cursor is read by `read_key`; without it, the key is the id.
    """
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        last: dict[str, Any] = {"after": shown[-1].id} if key is None else {"key": key(shown[-1])}
        cursor = base64.urlsafe_b64encode(json.dumps(last, default=datetime.isoformat).encode()).decode()
    return {"items": [show(row) for row in shown], "next_cursor": cursor}
