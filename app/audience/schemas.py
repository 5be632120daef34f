"""What the API takes and shows of selections and imports."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from app.contacts.addresses import clean_text

MEMBERS_LIMIT = 10_000  # api.md rule 7
TEXT_LIMIT = 500


def _clean(text: str) -> str:
    return clean_text(text, TEXT_LIMIT)


Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT), AfterValidator(_clean)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_clean)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]
