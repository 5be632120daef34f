"""Where the merge tags of a recipient are kept (D11): one table for messages and for the targets of links."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from app.content.headers import ADDRESS_LIMIT


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

# Addresses that no header can carry (content.headers) are valid ones whose local part is outside ASCII.
_ATOM = "[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+"


def is_usable(contact: str) -> str:
    """Return the SQL of whether a person `p` has a contact that mail may be from (D5).

    Its address can stand in a header, and its domain is an approved sending domain. Those are read once a statement.
    """
    return (
        f"(split_part(p.{contact}_email, '@', 2) = ANY (ARRAY(SELECT domain FROM sending_domain WHERE approved))"
        f" AND p.{contact}_email ~ '^{_ATOM}([.]{_ATOM})*@' AND length(p.{contact}_email) <= {ADDRESS_LIMIT})"
    )


def contact_value(tag: str) -> str:
    """Return the SQL of one of `CONTACT_TAGS`: null for name and address alike unless the contact can be used."""
    contact, field = tag.split(".")
    return f"CASE WHEN {is_usable(contact)} THEN p.{contact}_{field} END"


def needs_company(tags: Iterable[str]) -> bool:
    """Tell whether any of the tags is kept by the company: most content has none, and then it need not be read."""
    return any(
        COLUMNS[tag][0] is Keeper.COMPANY if tag in COLUMNS else tag.startswith("company.extra.") for tag in tags
    )
