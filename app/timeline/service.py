"""A person's timeline: the newest of every source, laid into one another (D68)."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.errors import PersonNotFound
from app.timeline import queries
from app.timeline.schemas import EntryKind, VerdictFilter

_SOURCES = (
    (queries.LINES, {"sent", "failed", "unconfirmed", "bounced", "unsubscribed", "complained"}),
    (queries.ENGAGEMENT, {"open", "click"}),
    (queries.CONSENTS, {"consent"}),
    (queries.SUBSCRIPTIONS, {"subscription"}),
    (queries.RUNS, {"action"}),
    (queries.FOLLOW_UPS, {"follow_up"}),
    (queries.REQUESTS, {"request"}),
)
_VERDICTS = {
    VerdictFilter.HUMAN: ["human"],
    VerdictFilter.MACHINE: ["machine"],
    VerdictFilter.ANY: ["human", "machine"],
}
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def page_of_entries(
    session: AsyncSession,
    *,
    person_id: int,
    kinds: Collection[EntryKind],
    verdict: VerdictFilter,
    since: datetime | None,
    until: datetime | None,
    before: Sequence[Any] | None,
    limit: int,
) -> Sequence[Any]:
    """Return at most `limit + 1` rows, newest first, of which each has moment, kind and id, and what its kind needs.

    No `kinds` are all of them; `verdict` is that of opens and clicks; `since` <= moment < `until`; `before` is the key
    (moment, kind, id) of the last row of the page before. Raises PersonNotFound, for an erased person too.
    """
    if not await queries.person_exists(session, person_id=person_id):
        raise PersonNotFound(f"There is no person {person_id}.")
    wanted = {kind.value for kind in kinds or EntryKind}
    at, kind, entry_id = before or (_LAST, "", 0)
    if until is not None and until <= at:
        at, kind, entry_id = until, "", 0  # nothing has a key under this one but what is earlier
    params = {
        "person_id": person_id, "at": at, "kind": kind, "id": entry_id, "since": since or _FIRST, "limit": limit + 1,
        "kinds": sorted(wanted), "verdicts": _VERDICTS[verdict],
    }  # fmt: skip
    sources = [statement for statement, gives in _SOURCES if wanted & gives]
    rows = await queries.read(session, sources, params)
    rows.sort(key=key_of, reverse=True)
    return rows[: limit + 1]


def key_of(row: Any) -> tuple[datetime, str, int]:
    """Return the key that rows are sorted by."""
    return row.moment, row.kind, row.id
