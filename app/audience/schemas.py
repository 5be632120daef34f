"""What the API takes and shows of selections and imports."""

from typing import Annotated

from pydantic import Field

MEMBERS_LIMIT = 10_000  # api.md rule 7

Key = Annotated[int, Field(ge=1, le=2**63 - 1)]
