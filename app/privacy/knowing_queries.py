"""SQL that finds what is about a person: by id, by the person's addresses, and by the lines that name either."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.db import run

_IDS = sa.ARRAY(sa.BigInteger)
_TEXTS = sa.ARRAY(sa.Text)

_PERSON = text("""
    -- The person, by primary key; locked where it is to be erased.
    SELECT id, name, email, email_key, cellphone, direct, external_id FROM person WHERE id = :person_id
""")
_LOCK = text(f"{_PERSON.text} FOR UPDATE")

_ADDRESSES = text("""
    -- Addresses the person has (held), and had when lists were frozen. Of the latter, those that another person has by
    -- now are that person's. By primary key, person_email's unique key and recipient_person_idx.
    WITH mine AS (
        SELECT email, email_key, true AS held FROM person WHERE id = :person_id
        UNION SELECT email, email_key, true FROM person_email WHERE person_id = :person_id
        UNION SELECT email, email_key, false FROM recipient WHERE person_id = :person_id
    )
    SELECT DISTINCT email, email_key FROM mine
    WHERE email <> '' AND (held OR email_key IS NULL OR NOT EXISTS (
        SELECT FROM person AS p WHERE p.email_key = mine.email_key AND p.id <> :person_id
        UNION ALL
        SELECT FROM person_email AS e WHERE e.email_key = mine.email_key AND e.person_id <> :person_id))
""")

_LINES = text("""
    -- Lines of recipient lists: the person's, and those of addresses that matched nobody. By recipient_person_idx and
    -- recipient_stranger_idx. A company's line is the company's.
    SELECT id FROM recipient WHERE person_id = :person_id
    UNION
    SELECT id FROM recipient WHERE person_id IS NULL AND company_id IS NULL AND email_key = ANY(:keys)
""").bindparams(sa.bindparam("keys", type_=_TEXTS))

_LEFT = text("""
    -- Whether the ledger or the audit log know a person who has no row and no line any more.
    SELECT EXISTS (SELECT FROM consent WHERE person_id = :person_id AND source <> 'erased')
        OR EXISTS (SELECT FROM audit_log WHERE person_id = :person_id) AS known
""")


@dataclass(frozen=True, slots=True)
class Known:
    """Where a person is found."""

    person_id: int
    row: Any | None
    """The person's own row; None for one who was deleted."""
    emails: tuple[str, ...]
    keys: tuple[str, ...]
    """Keys of the addresses that are valid."""
    lines: tuple[int, ...] = field(repr=False)
    """Ids of recipients."""

    @property
    def words(self) -> list[str]:
        """What names the person in running text: addresses, numbers, and a name that is not a word of any text."""
        named = [self.row.name, self.row.cellphone, self.row.direct] if self.row is not None else []
        return sorted({word.lower() for word in (*self.emails, *self.keys, *named) if word and len(word) >= MIN_WORD})

    def params(self) -> dict[str, Any]:
        """Return the parameters of statements about the person."""
        return {
            "person_id": self.person_id, "keys": list(self.keys), "lines": list(self.lines), "words": self.words,
            "emails": sorted({email.lower() for email in self.emails}),
        }  # fmt: skip


MIN_WORD = 6  # shorter ones are found in what is not about the person


def about(statement: str) -> TextClause:
    """Return a statement about a person; it takes what it needs of `Known.params`."""
    clause = text(statement)
    types: dict[str, Any] = {
        "person_id": sa.BigInteger(), "keys": _TEXTS, "lines": _IDS, "words": _TEXTS, "emails": _TEXTS
    }  # fmt: skip
    used: list[sa.BindParameter[Any]] = [
        sa.bindparam(name, type_=kind) for name, kind in types.items() if f":{name}" in statement
    ]
    return clause.bindparams(*used)


async def find(session: AsyncSession, *, person_id: int, lock: bool = False) -> Known | None:
    """Return where a person is found, or None for one of whom nothing is known."""
    row = (await run(session, _LOCK if lock else _PERSON, person_id=person_id)).one_or_none()
    addresses = list(await run(session, _ADDRESSES, person_id=person_id))
    keys = tuple(sorted({address.email_key for address in addresses if address.email_key}))
    lines = tuple(line.id for line in await run(session, _LINES, person_id=person_id, keys=list(keys)))
    if row is None and not lines and not (await run(session, _LEFT, person_id=person_id)).one().known:
        return None
    return Known(person_id, row, tuple(sorted({address.email for address in addresses})), keys, lines)


async def tell(session: AsyncSession, statement: TextClause, params: Mapping[str, Any]) -> Sequence[Any]:
    """Run a statement about a person with those of the parameters that it takes."""
    wanted = {name: params[name] for name in statement.compile().params if name in params}
    return list(await run(session, statement, **wanted))
