"""Laying incoming lines over the persons and companies that exist: who is meant, what changes. Pure; SQL is elsewhere.

Lines are laid one after the other, so that the result does not depend on how a file is cut into batches.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Line = Mapping[str, Any]
"""Fields and values of one person or company; a field that is not in it was not told.

`email` goes with `email_key`, which is None for an address that is not valid. `cellphone_text` is a number that is not.
"""


class Existing(StrEnum):
    """What happens to a person or company that is found."""

    OVERWRITE = "overwrite"
    FILL_EMPTY = "fill_empty"
    SKIP = "skip"


class Outcome(StrEnum):
    """What a line did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(slots=True)
class Draft:
    """A row as it will be. New ones get their `id` before they are written."""

    id: int | None
    values: dict[str, Any]
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Laid:
    """Where a line went and what it did."""

    draft: Draft
    outcome: Outcome


def full_name(first: str | None, last: str | None) -> str:
    """Return the name a person is addressed by, where only its parts are known."""
    return " ".join(part for part in (first, last) if part)


def merged(old: Line, line: Line, *, only_empty: bool = False) -> dict[str, Any]:
    """Return `old` with the line's fields laid over it; with `only_empty`, only over fields that hold nothing.

    `extra` is merged by field, and null removes one (RFC 7396). A valid address or number never gives way to one that
    is not. The full name follows first and last name for as long as it was made of them.
    """
    new = dict(old)
    for field, value in line.items():
        if field == "email_key":
            continue
        if field == "extra":
            told = {name: extra for name, extra in value.items() if not only_empty or new["extra"].get(name) is None}
            new["extra"] = {name: extra for name, extra in (new["extra"] | told).items() if extra is not None}
        elif field == "email":
            replaces = value is None or line["email_key"] is not None or not old["email_key"]
            if replaces and not (only_empty and (old["email_key"] or value is None)):
                new["email"], new["email_key"] = value, line["email_key"]
        elif field == "cellphone_text":
            new["cellphone"] = new["cellphone"] or value
        elif not only_empty or new[field] in (None, ""):
            new[field] = value
    if "first_name" in new and (not new["name"] or ("name" not in line and _is_made_of_parts(old))):
        new["name"] = full_name(new["first_name"], new["last_name"])
    return new


def _is_made_of_parts(person: Line) -> bool:
    return bool(person["name"] == full_name(person["first_name"], person["last_name"]))


def lay(
    lines: Sequence[Line], found: Sequence[Draft], *, blank: Line, existing: Existing, by_address: bool
) -> list[Laid]:
    """Lay lines over what was found in the database, and say for each where it went.

    A line means the row with its external id. With `by_address`, one whose external id is not known (or not told) means
    the row with its address, unless both have an external id, and different ones: two persons may share an address. Of
    several, the oldest with an external id is taken, else the oldest. `blank` has the values of a new row.
    """
    register = _Register(found)
    laid = []
    for line in lines:
        draft = register.find(line, by_address=by_address)
        if draft is None:
            draft = Draft(None, merged(blank, line), changed=True)
            register.add(draft)
            laid.append(Laid(draft, Outcome.CREATED))
            continue
        outcome = Outcome.UNCHANGED
        if existing is not Existing.SKIP:
            values = merged(draft.values, line, only_empty=existing is Existing.FILL_EMPTY)
            if values != draft.values:
                register.replace(draft, values)
                outcome = Outcome.UPDATED
        laid.append(Laid(draft, outcome))
    return laid


class _Register:
    """Drafts by external id and by address, oldest first."""

    def __init__(self, found: Sequence[Draft]) -> None:
        self._by_external_id: dict[str, Draft] = {}
        self._by_key: defaultdict[str, list[Draft]] = defaultdict(list)
        self._ages: dict[int, int] = {}  # by identity: drafts are equal by value
        for draft in sorted(found, key=lambda draft: draft.id or 0):
            self.add(draft)

    def add(self, draft: Draft) -> None:
        self._ages.setdefault(id(draft), len(self._ages))
        if external_id := draft.values["external_id"]:
            self._by_external_id[external_id] = draft
        if key := draft.values.get("email_key"):
            # A draft that comes to an address later may be older than those that have it.
            insort(self._by_key[key], draft, key=self._age)

    def replace(self, draft: Draft, values: dict[str, Any]) -> None:
        if key := draft.values.get("email_key"):
            del self._by_key[key][bisect_left(self._by_key[key], self._age(draft), key=self._age)]
        draft.values, draft.changed = values, True
        self.add(draft)

    def _age(self, draft: Draft) -> int:
        return self._ages[id(draft)]

    def find(self, line: Line, *, by_address: bool) -> Draft | None:
        external_id = line.get("external_id")
        if external_id and (known := self._by_external_id.get(external_id)):
            return known
        key = line.get("email_key")
        if not (by_address and key):
            return None
        sharing = self._by_key.get(key, ())
        strangers = (draft for draft in sharing if not draft.values["external_id"])
        if external_id:
            return next(strangers, None)
        return next((draft for draft in sharing if draft.values["external_id"]), None) or next(strangers, None)
