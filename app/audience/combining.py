"""Who is in several selections put together."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audience import criteria_queries
from app.audience.errors import InvalidSelection
from app.audience.membership import membership
from app.audience.selection_queries import Whom
from app.audience.selection_schemas import Combination, CombinationOperation
from app.platform.errors import InvalidField

# `m` is the membership: each pair of a selection and a person or company once.
_HAVING = {
    CombinationOperation.UNION: "true",
    CombinationOperation.INTERSECTION: "count(*) = cast(:m_number AS bigint)",
    CombinationOperation.EXCEPT: "bool_and(selection_id = cast(:m_first AS bigint))",
}


async def combined(session: AsyncSession, combination: Combination) -> Whom:
    """Return the persons and companies of selections put together.

    Raises InvalidSelection, pointing at the ids, for selections that do not exist, and what `membership` raises.
    """
    wanted = combination.selection_ids
    await check_selections(session, wanted)
    found = await membership(session, selection_ids=wanted)
    having = _HAVING[combination.operation]
    params = {**found.params}
    if combination.operation is CombinationOperation.INTERSECTION:
        params["m_number"] = len(set(wanted))
    if combination.operation is CombinationOperation.EXCEPT:
        if wanted[0] in wanted[1:]:
            having = "false"
        else:
            params["m_first"] = wanted[0]
    sql = f"SELECT person_id, company_id FROM ({found.sql}) AS m GROUP BY person_id, company_id HAVING {having}"
    return Whom(sql, params)


async def check_selections(session: AsyncSession, selection_ids: Sequence[int]) -> None:
    """Raise InvalidSelection, pointing at each id of `combination` that is no selection's."""
    known = await criteria_queries.known_ids(session, table="selection", ids=set(selection_ids))
    faults = [
        InvalidField(pointer=f"#/combination/selection_ids/{place}", detail=f"There is no selection {selection_id}.")
        for place, selection_id in enumerate(selection_ids)
        if selection_id not in known
    ]
    if faults:
        raise InvalidSelection(f"{len(faults)} selection(s) do not exist.", errors=faults)
