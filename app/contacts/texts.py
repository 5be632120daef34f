"""Texts as the API takes them: cleaned of what is in nothing we keep. Quick: a bulk request has 100 000 of them."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from app.contacts.addresses import NAME_LIMIT, clean_text

TEXT_LIMIT = 500


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable() and "  " not in text:  # as nearly all are; the schema knows the limit
        return text.strip()
    return clean_text(text, TEXT_LIMIT)


def _visible(text: str) -> str:
    if not text:
        raise ValueError("It needs at least one visible character.")
    return text


Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT), AfterValidator(_clean)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LIMIT),
    AfterValidator(_clean),
    AfterValidator(_visible),
]
"""A name, or an id of somebody else's; a NUL or another mark that nobody sees is no name."""
