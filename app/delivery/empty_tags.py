"""Which merge tags are empty for whom, over a whole list (D14)."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy import TextClause, text

from app.content.tag_columns import needs_company
from app.delivery.merge_data import value_of_tag

# What counts as missing when a message is rendered (content.merge_tags.is_empty): nothing, or white space alone.
_IS_EMPTY = r"coalesce({value}, '') !~ '[^[:space:]\u00A0\u2007\u202F]'"

_READY = "mailing_id = :mailing_id AND status = 'ready'"
_PERSON = "LEFT JOIN person AS p ON p.id = r.person_id"
_COMPANY = "LEFT JOIN company AS c ON c.id = coalesce(r.company_id, p.company_id)"


def _from(tags: Collection[str], recipients: str) -> str:
    return f"FROM {recipients} AS r {_PERSON} {_COMPANY if needs_company(tags) else ''}"


def count_empty(tags: Collection[str], *, bounded: bool = False) -> TextClause:
    """Return the SELECT of how many ready recipients there are, and for how many each tag has no value (v0, v1, …).

    One pass over the list by recipient_list_idx, with hash joins of persons and companies when it is long. `bounded`
    looks at the first `most` of the list only.
    """
    counts, extras = [], []
    for position, tag in enumerate(tags):
        value, field = value_of_tag(tag, f"extra{position}")
        counts.append(f", count(*) FILTER (WHERE {_IS_EMPTY.format(value=value)}) AS v{position}")
        extras += _bound(position, field)
    first = f"(SELECT * FROM recipient WHERE {_READY} ORDER BY id LIMIT :most)"
    source = _from(tags, first) if bounded else f"{_from(tags, 'recipient')} WHERE {_READY}"
    return text(f"SELECT count(*) AS ready {''.join(counts)} {source}").bindparams(*extras)


def select_empty(tag: str) -> TextClause:
    """Return the SELECT of the first `most` ready recipients for whom a tag has no value: id, name, email."""
    value, field = value_of_tag(tag, "extra0")
    return text(
        f"SELECT r.id, r.name, r.email {_from([tag], 'recipient')} WHERE {_READY} AND {_IS_EMPTY.format(value=value)} "
        "ORDER BY r.id LIMIT :most"
    ).bindparams(*_bound(0, field))


def _bound(position: int, field: str | None) -> list[sa.BindParameter[Any]]:
    return [] if field is None else [sa.bindparam(f"extra{position}", value=field, type_=sa.Text)]
