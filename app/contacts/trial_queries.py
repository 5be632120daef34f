"""Persons as they would be: changes that are tried out in temporary tables, beside the address book (dry runs).

A trial reads the address book without locking anything, and writes only what vanishes with its transaction. So what it
finds is what the real thing would find: by the same statements, over the rows of both, those of the trial first.
"""

from collections.abc import Sequence
from hashlib import blake2b

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import matching_queries
from app.contacts.merging import Draft
from app.contacts.queries import PERSON_COLUMNS
from app.platform.db import run

FIRST_ID = 1 << 62
"""Ids of persons who would be created: over those of all who exist, since they are the youngest."""

_OPEN = (
    "DROP TABLE IF EXISTS trial_person, trial_person_email",
    "CREATE TEMPORARY TABLE trial_person (LIKE person INCLUDING DEFAULTS) ON COMMIT DROP",
    "CREATE UNIQUE INDEX ON trial_person (id)",
    "CREATE INDEX ON trial_person (external_id)",
    "CREATE INDEX ON trial_person (email_key)",
    "CREATE TEMPORARY TABLE trial_person_email (person_id bigint, email_key text) ON COMMIT DROP",
    "CREATE INDEX ON trial_person_email (person_id)",
    "CREATE INDEX ON trial_person_email (email_key)",
)

_REAL = matching_queries.persons_meant_in("person", "person_email")
_TRIED = matching_queries.persons_meant_in("trial_person", "trial_person_email")
_TOUCHED = "SELECT id FROM trial_person WHERE id = ANY($1::bigint[])"


class Trial:
    """Persons tried out so far, within one transaction; see `open_trial`."""

    def __init__(self) -> None:
        self._next_id = FIRST_ID

    @staticmethod
    def company_id(name: str) -> int:
        """Return the id of a company that would be created: of its name, so that a million names need no memory."""
        return FIRST_ID + int.from_bytes(blake2b(name.lower().encode("utf-8", "replace"), digest_size=7).digest())

    async def persons_meant(
        self, session: AsyncSession, *, external_ids: Sequence[str], email_keys: Sequence[str]
    ) -> list[Draft]:
        """Return the persons that have one of these external ids or addresses, as they would be by now."""
        async with matching_queries.by_index(session) as connection:
            real = matching_queries.drafts_of(await connection.fetch(_REAL, external_ids, email_keys))
            tried = matching_queries.drafts_of(await connection.fetch(_TRIED, external_ids, email_keys))
            touched = {row["id"] for row in await connection.fetch(_TOUCHED, [draft.id for draft in real])}
        return [draft for draft in real if draft.id not in touched] + tried

    async def write_persons(self, session: AsyncSession, drafts: Sequence[Draft]) -> None:
        """Note new and changed persons; new ones get ids that no person has."""
        for draft in drafts:
            if draft.id is None:
                draft.id, self._next_id = self._next_id, self._next_id + 1
        known = [draft.id for draft in drafts if draft.id is not None and draft.id < FIRST_ID]
        old = [*known, *(draft.id for draft in drafts if draft.id is not None and draft.id >= FIRST_ID)]
        async with matching_queries.by_index(session) as connection:
            for table, column in (("trial_person", "id"), ("trial_person_email", "person_id")):
                await connection.execute(f"DELETE FROM {table} WHERE {column} = ANY($1::bigint[])", old)
            await connection.copy_records_to_table(
                "trial_person", records=matching_queries.records_of(drafts, PERSON_COLUMNS),
                columns=["id", *PERSON_COLUMNS],
            )  # fmt: skip
            further = [(draft.id, key) for draft in drafts for key in sorted(draft.further)]
            await connection.copy_records_to_table(
                "trial_person_email", records=further, columns=["person_id", "email_key"]
            )


async def open_trial(session: AsyncSession) -> Trial:
    """Begin a trial in the session's transaction; it ends with that."""
    for statement in _OPEN:
        await run(session, text(statement))
    return Trial()
