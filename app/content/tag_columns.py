"""Where the merge tags of a recipient are kept (D11): one table for messages and for the targets of links."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Keeper(StrEnum):
    """The table that a tag's value is in.

    A recipient's line has its person, or none where an address matched nobody (D13) or the line is a company's own. The
    company is the person's, or the line's own. What nobody keeps is empty.
    """

    RECIPIENT = "recipient"
    PERSON = "person"
    COMPANY = "company"


_PERSON = {
    "firstname": "first_name", "lastname": "last_name", "salutation": "salutation", "title": "title",
    "cellphone": "cellphone", "direct": "direct", "category": "category", "business": "business", "number": "number",
    "position": "position",
}  # fmt: skip
_COMPANY = ("name", "department", "country", "phone", "url", "category", "business", "number", "city")

COLUMNS: Mapping[str, tuple[Keeper, str]] = {
    "customer.name": (Keeper.RECIPIENT, "name"),
    "customer.email": (Keeper.RECIPIENT, "email"),
    **{f"customer.{tag}": (Keeper.PERSON, column) for tag, column in _PERSON.items()},
    **{f"company.{column}": (Keeper.COMPANY, column) for column in _COMPANY},
}
"""Tag to keeper and column. These names become part of statements."""

EXTRAS: Mapping[str, Keeper] = {"customer.extra.": Keeper.PERSON, "company.extra.": Keeper.COMPANY}
"""What tags of extra fields begin with, to whose `extra` they are in."""


def needs_company(tags: Iterable[str]) -> bool:
    """Tell whether any of the tags is kept by the company: most content has none, and then it need not be read."""
    return any(
        COLUMNS[tag][0] is Keeper.COMPANY if tag in COLUMNS else tag.startswith("company.extra.") for tag in tags
    )
