"""What recipients' merge tags stand for, read for many recipients with one SELECT."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import TextClause, text

from app.content.merge_tags import CONTACT_TAGS
from app.content.tag_columns import COLUMNS, EXTRAS, Keeper, contact_value, needs_company

_ROWS = {Keeper.RECIPIENT: "r", Keeper.PERSON: "p", Keeper.COMPANY: "c"}

_COMPANY = "LEFT JOIN company AS c ON c.id = coalesce(r.company_id, p.company_id)"

BY_RANGE = "r.mailing_id = :mailing_id AND r.seq BETWEEN :first_seq AND :last_seq AND r.status = 'ready'"
BY_ID = "r.mailing_id = :mailing_id AND r.id = :recipient_id"


# A {keeper} as it was when the line's message was sent: the present row, with what the audit log says its columns were
# before the first change since (D48, decision 5). A statement over more than 500 rows is only summed up there, and a
# value over 2 000 characters only told by length and checksum: those are the present ones. By audit_log_entity_idx.
_AS_SENT = """LEFT JOIN LATERAL (
    SELECT past.* FROM {keeper} AS present
    CROSS JOIN LATERAL jsonb_populate_record(present, coalesce((
        SELECT jsonb_object_agg(change.key, change.value ORDER BY a.id DESC)
        FROM audit_log AS a CROSS JOIN LATERAL jsonb_each(a.before) AS change
        WHERE a.entity = '{keeper}' AND a.entity_id = present.id::text AND a.action = 'changed'
            AND a.occurred_at > coalesce(r.sent_at, r.tried_at)
            AND NOT change.value ?& ARRAY['characters', 'md5']
    ), '{{}}')) AS past
    WHERE present.id = {id}
) AS {alias} ON true"""
_PERSON_AS_SENT = _AS_SENT.format(keeper="person", id="r.person_id", alias="p")
_COMPANY_AS_SENT = _AS_SENT.format(keeper="company", id="coalesce(r.company_id, p.company_id)", alias="c")


def select_recipients(tags: Sequence[str], *, where: str, as_sent: bool = False) -> TextClause:
    """Return the SELECT of recipients with their merge values, in the order of `seq`.

    Columns: id, seq, attempts, tried_for (seconds since the first temporary failure), code, name, email, language,
    track_opens and track_clicks (null: never asked, D43), and v0, v1, … for the tags in order; null for a tag without
    value. `where` is BY_RANGE (recipient_seq_idx) or BY_ID.
    With `as_sent`, for one recipient, values are those of the time the message was sent, as far as the audit log knows.
    Recipients who match no person have only name and email (D13); a company's own line has the company's tags, too.
    Only names of `tag_columns` and bound parameters become part of it.
    """
    values, extras = [], {}
    for position, tag in enumerate(tags):
        value, field = value_of_tag(tag, f"extra{position}")
        values.append(f", {value} AS v{position}")
        if field is not None:
            extras[f"extra{position}"] = field
    person = _PERSON_AS_SENT if as_sent else "LEFT JOIN person AS p ON p.id = r.person_id"
    company = (_COMPANY_AS_SENT if as_sent else _COMPANY) if needs_company(tags) else ""
    statement = f"""
        SELECT r.id, r.seq, r.attempts, extract(epoch FROM now() - r.first_tried_at)::float8 AS tried_for,
               r.code, r.name, r.email, p.language,
               opens.given AND (opens.valid_until IS NULL OR opens.valid_until > now()) AS track_opens,
               clicks.given AND (clicks.valid_until IS NULL OR clicks.valid_until > now()) AS track_clicks
               {"".join(values)}
        FROM recipient AS r
        {person}
        {company}
        LEFT JOIN consent_state AS opens ON opens.person_id = p.id AND opens.purpose = 'track_opens'
        LEFT JOIN consent_state AS clicks ON clicks.person_id = p.id AND clicks.purpose = 'track_clicks'
        WHERE {where}
        ORDER BY r.seq
    """
    bound = [sa.bindparam(name, value=field, type_=sa.Text) for name, field in extras.items()]
    return text(statement).bindparams(*bound)


def value_of_tag(tag: str, parameter: str) -> tuple[str, str | None]:
    """Return the SQL of a tag's value, and the extra field that its parameter stands for."""
    if tag in COLUMNS:
        keeper, column = COLUMNS[tag]
        return f"{_ROWS[keeper]}.{column}", None
    if tag in CONTACT_TAGS:
        return contact_value(tag), None
    for prefix, keeper in EXTRAS.items():
        if tag.startswith(prefix):
            return f"{_ROWS[keeper]}.extra ->> :{parameter}", tag.removeprefix(prefix)
    return "NULL", None  # a tag that is the mailing's to fill, such as project.name, and that it left empty


def values_of(row: Any, tags: Sequence[str]) -> dict[str, str]:
    """Return a row's merge values by tag; tags without a value are left out."""
    return {
        tag: value
        for tag, name in zip(tags, _columns(len(tags)), strict=True)
        if (value := getattr(row, name)) is not None
    }


@cache
def _columns(count: int) -> tuple[str, ...]:
    return tuple(f"v{position}" for position in range(count))
