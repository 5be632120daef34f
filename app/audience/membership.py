"""Who is in selections, as a statement that others put inside theirs: static and dynamic ones look alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import criteria_queries as queries
from app.audience.criteria import read_criteria
from app.audience.criteria_checks import read_surroundings
from app.audience.criteria_sql import compile_criteria
from app.audience.models import SelectionKind

_STATIC = """
    SELECT selection_id, person_id, cast(NULL AS bigint) AS company_id FROM selection_member
    WHERE selection_id = ANY(cast(:m_static AS bigint[]))
    UNION ALL
    SELECT selection_id, NULL, company_id FROM selection_company
    WHERE selection_id = ANY(cast(:m_static AS bigint[]))
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """A SELECT with the columns (selection_id, person_id, company_id), exactly one of the latter two not null.

    To be put in parentheses, or in a WITH. Its parameters are bound; their names begin with `m_`. It means whole sets:
    run it with nested loops off, as `app.platform.plans.whole_sets` does.
    """

    sql: str
    params: Mapping[str, Any]


async def membership(session: AsyncSession, *, selection_ids: Sequence[int]) -> Membership:
    """Return the statement that tells who is in these selections; each pair comes once.

    Selections that do not exist bring nobody. The session is asked for their kinds and criteria. Raises
    CriteriaOutOfDate and CyclicSelection for criteria that nobody can be found by: better no list than a wrong one.
    """
    wanted = sorted(set(selection_ids))
    dynamic = {
        row.id: read_criteria(row.criteria)
        for row in sorted(await queries.selections_of(session, ids=wanted))
        if row.kind is SelectionKind.DYNAMIC
    }
    around = await read_surroundings(session, dynamic.values())
    params: dict[str, Any] = {"m_static": [each for each in wanted if each not in dynamic]}
    parts = [_STATIC]
    for selection_id, criteria in dynamic.items():
        persons = compile_criteria(criteria, around, prefix=f"m_{selection_id}_", selection_id=selection_id)
        params |= {f"m_{selection_id}": selection_id, **persons.params}
        parts.append(
            f"SELECT cast(:m_{selection_id} AS bigint), p.id, cast(NULL AS bigint) "
            f"FROM {persons.source} WHERE {persons.condition}"
        )
    return Membership("\nUNION ALL\n".join(parts), params)
