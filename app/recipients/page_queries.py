"""Pages of a list, as fast at a million lines as at a thousand: a filter that few meet walks a bounded way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts.addresses import InvalidEmail, normalise_email
from app.platform.db import run
from app.platform.plans import along_index
from app.recipients.filters import Mark, RecipientFilter
from app.recipients.models import Recipient, RecipientStatus
from app.recipients.queries import read_tallies
from app.recipients.sending_queries import lines_being_sent

Item = TypeVar("Item")

WALK = 100_000
"""Lines that one request looks at, at most: some 0.1 s. Status and marks are in no index, so that results are HOT."""

MOST_FOUND = 10_000
"""Lines of one person, address or company that are looked up for a page, at most; the next page looks up the next."""


@dataclass(frozen=True, slots=True)
class RecipientPage(Generic[Item]):
    """Lines (or their ids) in the order of ids, and the id behind which the list goes on, or None at its end."""

    lines: Sequence[Item]
    goes_on_after: int | None


async def read_page(
    session: AsyncSession, *, mailing_id: int, found: RecipientFilter, after: int | None, limit: int, walk: int = WALK
) -> RecipientPage[Recipient]:
    """Return at most `limit` lines with ids over `after`; of a filter that few meet, as many as `walk` lines hold."""
    page = await read_page_ids(session, mailing_id=mailing_id, found=found, after=after, limit=limit, walk=walk)
    query = select(Recipient).where(col(Recipient.id) == sa.any_(_ids(page.lines))).order_by(col(Recipient.id))
    return RecipientPage((await session.exec(query)).all() if page.lines else [], page.goes_on_after)


async def read_page_ids(
    session: AsyncSession, *, mailing_id: int, found: RecipientFilter, after: int | None, limit: int, walk: int = WALK
) -> RecipientPage[int]:
    """Return the ids of the lines that `read_page` returns."""
    if await _is_empty(session, mailing_id=mailing_id, found=found):
        return RecipientPage([], None)
    of_list = _list_after(mailing_id, after or 0)
    named = await _lines_of_whom(session, mailing_id=mailing_id, found=found, after=after or 0)
    sending = await lines_being_sent(session, mailing_id=mailing_id) if _tells_sending(found) else []
    if set(found.status) == {RecipientStatus.SENDING} and named is None:
        named = RecipientPage(sending, None)
    asked = conditions(Recipient, found, sending=sending)
    if named is not None:
        of_whom = [*of_list, col(Recipient.id) == sa.any_(_ids(named.lines)), *asked]
        ids = (await session.exec(select(Recipient.id).where(*of_whom).order_by(*_IN_ORDER).limit(limit + 1))).all()
        return RecipientPage(ids[:limit], ids[limit - 1] if len(ids) > limit else named.goes_on_after)
    async with along_index(session):
        if asked:
            return await _walk(
                session, of_list, asked=lambda line: conditions(line, found, sending=sending), mailing_id=mailing_id,
                after=after or 0, limit=limit, walk=walk,
            )  # fmt: skip
        ids = (await session.exec(select(Recipient.id).where(*of_list).order_by(*_IN_ORDER).limit(limit + 1))).all()
    return RecipientPage(ids[:limit], ids[limit - 1] if len(ids) > limit else None)


def _list_after(mailing_id: int, after: int) -> list[Any]:
    """Return what makes a line one of the list behind an id, for queries in the order `_IN_ORDER`.

    Both columns are compared together, so that recipient_list_idx alone has the order. For `mailing_id = …` the primary
    key would have it too, and a plan made for any list would pass every line of every other one.
    """
    return [sa.tuple_(_big(mailing_id), _big(after)) < _LINE, sa.tuple_(_big(mailing_id), _big(_LAST_ID)) >= _LINE]


def _big(key: int) -> sa.BindParameter[int]:
    return sa.literal(key, sa.BigInteger)


_LAST_ID = 2**63 - 1
_IN_ORDER = (col(Recipient.mailing_id), col(Recipient.id))
_LINE = sa.tuple_(*_IN_ORDER)


async def _walk(
    session: AsyncSession, of_list: Sequence[Any], *, asked: Callable[[Any], list[Any]], mailing_id: int, after: int,
    limit: int, walk: int,
) -> RecipientPage[int]:  # fmt: skip
    # The inner limit bounds the walk along recipient_list_idx, the outer one ends it early.
    walked = select(Recipient).where(*of_list).order_by(*_IN_ORDER).limit(walk).subquery()
    line = aliased(Recipient, walked)
    query = select(line.id).where(*asked(line)).order_by(col(line.mailing_id), col(line.id))
    ids = (await session.exec(query.limit(limit + 1))).all()
    if len(ids) > limit:
        return RecipientPage(ids[:limit], ids[limit - 1])
    end = (await run(session, _END_OF_WALK, mailing_id=mailing_id, after=after, last=walk - 1)).one_or_none()
    return RecipientPage(ids, int(end.id) if end else None)


def _ids(ids: Sequence[int]) -> sa.BindParameter[Any]:
    return sa.bindparam(None, list(ids), _IDS)


_IDS = sa.ARRAY(sa.BigInteger)

_END_OF_WALK = text("""
    -- The last line of a walk, if the list goes on behind it: an index-only scan of recipient_list_idx.
    SELECT min(id) AS id FROM (
        SELECT id FROM recipient
        WHERE (mailing_id, id) > (:mailing_id, :after) AND (mailing_id, id) <= (:mailing_id, 9223372036854775807)
        ORDER BY mailing_id, id OFFSET :last LIMIT 2
    ) AS rest HAVING count(*) = 2
""").bindparams(sa.bindparam("mailing_id", type_=sa.BigInteger), sa.bindparam("after", type_=sa.BigInteger))


async def _is_empty(session: AsyncSession, *, mailing_id: int, found: RecipientFilter) -> bool:
    """Tell from the tallies that no line meets the filter, so that nobody walks a whole list for nothing."""
    asked = [
        [_STORED.get(status, status.value) for status in found.status],
        [f"blocked:{reason.value}" for reason in found.reason],
    ]
    asked += [[f"bounced:{found.bounce.value}"]] if found.bounce else []
    asked += [[_TALLIES[mark]] for mark in found.mark]
    if not any(asked):
        return False
    tallies = await read_tallies(session, mailing_id=mailing_id)
    return any(names and not any(tallies.get(name) for name in names) for names in asked)


_STORED = {RecipientStatus.SENDING: RecipientStatus.READY.value}  # what the row of a line says until its result
_TALLIES = {
    Mark.OPENED: "opened", Mark.CLICKED: "clicked", Mark.UNSUBSCRIBED: "unsubscribed", Mark.COMPLAINED: "complained",
    Mark.MACHINE_OPENED: "opened_total", Mark.MACHINE_CLICKED: "clicked_total",
}  # fmt: skip


def _tells_sending(found: RecipientFilter) -> bool:
    """Whether the filter wants either lines that are ready or lines that are being sent, whose rows both say ready."""
    return (RecipientStatus.READY in found.status) != (RecipientStatus.SENDING in found.status)


def conditions(line: Any, found: RecipientFilter, *, sending: Sequence[int] = ()) -> list[Any]:
    """Return what the filter asks of a line itself; whose line it is, `_lines_of_whom` finds.

    `sending` are the lines that are being sent, if the filter tells them from those that are ready.
    """
    asked: list[Any] = []
    if found.status:
        asked.append(line.status.in_({_STORED.get(status, status.value) for status in found.status}))
    if _tells_sending(found):
        # Their rows say ready: those that are meant are among them, or not, and all others do not say ready.
        meant = line.id == sa.any_(_ids(sending))
        asked.append(
            or_(
                line.status != RecipientStatus.READY, sa.not_(meant) if RecipientStatus.READY in found.status else meant
            )
        )
    if found.reason:
        asked.append(and_(line.status == "blocked", line.reason.in_(found.reason)))
    asked += [getattr(line, f"{mark.value}_at").is_not(None) for mark in found.mark]
    asked += [getattr(line, f"{mark.value}_at").is_(None) for mark in found.without_mark]
    if found.bounce is not None:
        asked.append(and_(line.status == "bounced", line.bounce == found.bounce))
    if found.source_id is not None:
        asked.append(line.source_id == found.source_id)
    if found.q is not None:
        asked.append(or_(line.name.icontains(found.q, autoescape=True), line.email.icontains(found.q, autoescape=True)))
    return asked


_OF_PERSON = text("""
    -- The line of a person, by recipient_person_idx.
    SELECT id FROM recipient
    WHERE mailing_id = :mailing_id AND person_id = :person_id AND id > :after ORDER BY id LIMIT :most
""")

_OF_COMPANY = text("""
    -- A company's own line and those of its persons, by recipient_company_idx, person_company_id_idx and
    -- recipient_person_idx.
    SELECT id FROM recipient WHERE mailing_id = :mailing_id AND company_id = :company_id AND id > :after
    UNION ALL
    SELECT r.id FROM (SELECT id FROM person WHERE company_id = :company_id OFFSET 0) AS p
    JOIN recipient AS r ON r.person_id = p.id AND r.mailing_id = :mailing_id AND r.id > :after
    ORDER BY id LIMIT :most
""")

_OF_ADDRESS = text("""
    -- Lines of the persons and companies that have an address now, and of strangers with it: by the indexes on
    -- email_key, recipient_person_idx, recipient_company_idx and recipient_stranger_idx. A line that was sent to an
    -- address which its person no longer has is found by `q`.
    SELECT r.id FROM (
        SELECT id FROM person WHERE email_key = :key UNION SELECT person_id FROM person_email WHERE email_key = :key
    ) AS p
    JOIN recipient AS r ON r.person_id = p.id AND r.mailing_id = :mailing_id AND r.id > :after
    UNION ALL
    SELECT r.id FROM (SELECT id FROM company WHERE email_key = :key OFFSET 0) AS k
    JOIN recipient AS r ON r.company_id = k.id AND r.mailing_id = :mailing_id AND r.id > :after
    UNION ALL
    SELECT id FROM recipient
    WHERE email_key = :key AND person_id IS NULL AND company_id IS NULL AND mailing_id = :mailing_id AND id > :after
    ORDER BY id LIMIT :most
""")


async def _lines_of_whom(
    session: AsyncSession, *, mailing_id: int, found: RecipientFilter, after: int
) -> RecipientPage[int] | None:
    """Return the next lines of the person, company and address that the filter names; None when it names nobody."""
    asked: list[tuple[sa.TextClause, dict[str, Any]]] = []
    if found.person_id is not None:
        asked.append((_OF_PERSON, {"person_id": found.person_id}))
    if found.company_id is not None:
        asked.append((_OF_COMPANY, {"company_id": found.company_id}))
    if found.email is not None:
        try:
            asked.append((_OF_ADDRESS, {"key": normalise_email(found.email).key}))
        except InvalidEmail:
            return RecipientPage([], None)  # nobody's mail goes to what is no address
    if not asked:
        return None
    lines: set[int] | None = None
    ends: list[int] = []
    for statement, who in asked:
        rows = await run(session, statement, mailing_id=mailing_id, after=after, most=MOST_FOUND, **who)
        these = [row.id for row in rows]
        lines = set(these) if lines is None else lines & set(these)
        if len(these) == MOST_FOUND:
            ends.append(these[-1])
    end = min(ends, default=None)  # what is behind it may not have been looked up for all of them
    return RecipientPage(sorted(line for line in lines or () if end is None or line <= end), end)
