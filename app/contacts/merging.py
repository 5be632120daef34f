"""Laying incoming lines over the persons and companies that exist: who is meant, what changes. Pure; SQL is elsewhere.

Lines are laid one after the other, so that the result does not depend on how a file is cut into batches.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """A row as it will be. New ones get their `id` before they are written; `values` has every column.

    `further` are the keys of a person's other valid addresses, beside the preferred one in `values`. `swapped` are
    those that became the preferred one, with the address (and its key) that it took the place of. `stored` is what the
    database holds, of a known row that has changed.
    """

    id: int | None
    values: dict[str, Any]
    changed: bool = False
    stored: dict[str, Any] | None = None
    further: frozenset[str] = frozenset()
    swapped: tuple[tuple[str, str | None, str | None], ...] = ()


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


def fresh(blank: Line, line: Line) -> dict[str, Any]:
    """Return `merged(blank, line)` for a sixth of its time: most lines of a large file are new persons."""
    new = {**blank, **line}
    if "cellphone_text" in line:
        text = new.pop("cellphone_text")
        new["cellphone"] = new["cellphone"] or text
    if "extra" in line:
        new["extra"] = {name: extra for name, extra in line["extra"].items() if extra is not None}
    if not new["name"] and "first_name" in new:
        new["name"] = full_name(new["first_name"], new["last_name"])
    return new


def lay(
    lines: Sequence[Line], found: Sequence[Draft], *, blank: Line, existing: Existing, by_address: bool
) -> list[Laid]:
    """Lay lines over what was found in the database, and say for each where it went.

    A line means the row with its external id. With `by_address`, one whose external id is not known (or not told) means
    the row with its address, unless both have an external id, and different ones: two persons may share an address. Of
    several it is one whose preferred address it is before one that has it among others, former employees last, one with
    an external id before one without, then the oldest. `blank` has the values of a new row.

    An address that is one of a person's others stays there where it is what the person was found by; a file that names
    the person by external id makes it the preferred one, and the preferred one becomes one of the others.
    """
    register = _Register(found)
    stranger_to_all = _lonely(lines, register, by_address=by_address)
    laid = []
    for line in lines:
        if stranger_to_all(line):
            laid.append(Laid(Draft(None, fresh(blank, line), changed=True), Outcome.CREATED))
            continue
        draft = register.find(line, by_address=by_address)
        if draft is None:
            draft = Draft(None, fresh(blank, line), changed=True)
            register.add(draft)
            laid.append(Laid(draft, Outcome.CREATED))
            continue
        outcome = Outcome.UNCHANGED
        if existing is not Existing.SKIP:
            told = line
            if line.get("email_key") in draft.further and not _names(line, draft):
                told = {name: value for name, value in line.items() if name not in ("email", "email_key")}
            values = merged(draft.values, told, only_empty=existing is Existing.FILL_EMPTY)
            if values != draft.values:
                register.replace(draft, values)
                outcome = Outcome.UPDATED
        laid.append(Laid(draft, outcome))
    return laid


def _names(line: Line, draft: Draft) -> bool:
    return bool(line.get("external_id")) and line.get("external_id") == draft.values["external_id"]


def _lonely(lines: Sequence[Line], register: "_Register", *, by_address: bool) -> Callable[[Line], bool]:
    """Return a test for lines that mean nobody who is known, and whom no other line can mean.

    A line is looked for by its external id and its address only, so one that shares neither with a row or another line
    is a new row whatever the order, and need not be registered.
    """
    ids = Counter(line.get("external_id") for line in lines)
    keys = Counter(line.get("email_key") for line in lines)
    shared_ids = {name for name, often in ids.items() if name and (often > 1 or register.knows_id(name))}
    shared_keys = {key for key, often in keys.items() if key and (often > 1 or register.knows_key(key))}
    if not by_address:
        return lambda line: line.get("external_id") not in shared_ids
    return lambda line: line.get("external_id") not in shared_ids and line.get("email_key") not in shared_keys


class _Sharing:
    """Drafts with one address, by whether they have an external id: former employees last, else the oldest first."""

    __slots__ = ("identified", "strangers")

    def __init__(self) -> None:
        self.identified: list[tuple[bool, int, Draft]] = []
        self.strangers: list[tuple[bool, int, Draft]] = []

    def of(self, draft: Draft) -> list[tuple[bool, int, Draft]]:
        return self.identified if draft.values["external_id"] else self.strangers


class _Register:
    """Drafts by external id and by address, preferred and further ones apart."""

    def __init__(self, found: Sequence[Draft]) -> None:
        self._by_external_id: dict[str, Draft] = {}
        self._preferred: dict[str, _Sharing] = {}
        self._further: dict[str, _Sharing] = {}
        self._ages: dict[int, int] = {}  # by identity: drafts are equal by value
        for draft in sorted(found, key=lambda draft: draft.id or 0):
            self.add(draft)

    def knows_id(self, external_id: str) -> bool:
        return external_id in self._by_external_id

    def knows_key(self, key: str) -> bool:
        return key in self._preferred or key in self._further

    def add(self, draft: Draft) -> None:
        self._ages.setdefault(id(draft), len(self._ages))
        if external_id := draft.values["external_id"]:
            self._by_external_id[external_id] = draft
        for sharing in self._addresses(draft):
            # A draft that comes to an address later may be older than those that have it.
            insort(sharing.of(draft), self._place(draft), key=_order)

    def replace(self, draft: Draft, values: dict[str, Any]) -> None:
        for sharing in self._addresses(draft):
            drafts = sharing.of(draft)
            del drafts[bisect_left(drafts, _order(self._place(draft)), key=_order)]
        key = values.get("email_key")
        if key in draft.further:
            draft.swapped += ((key, draft.values["email"], draft.values["email_key"]),)
            old = {draft.values["email_key"]} - {None}
            draft.further = (draft.further - {key}) | old
        if draft.stored is None and not draft.changed:
            draft.stored = draft.values
        draft.values, draft.changed = values, True
        self.add(draft)

    def _addresses(self, draft: Draft) -> Iterable[_Sharing]:
        if key := draft.values.get("email_key"):
            yield _sharing(self._preferred, key)
        for other in draft.further:
            yield _sharing(self._further, other)

    def _place(self, draft: Draft) -> tuple[bool, int, Draft]:
        return bool(draft.values.get("former_employee")), self._ages[id(draft)], draft

    def find(self, line: Line, *, by_address: bool) -> Draft | None:
        external_id = line.get("external_id")
        if external_id and (known := self._by_external_id.get(external_id)):
            return known
        key = line.get("email_key")
        if not (by_address and key):
            return None
        for register in (self._preferred, self._further):
            sharing = register.get(key)
            if sharing is None:
                continue
            best = [drafts[0] for drafts in (sharing.identified, sharing.strangers) if drafts]
            if external_id:
                best = sharing.strangers[:1]
            if best:
                return min(best, key=lambda place: place[0])[2]  # of equals the first: the one with an external id
        return None


def _sharing(register: dict[str, _Sharing], key: str) -> _Sharing:
    found = register.get(key)
    if found is None:
        found = register[key] = _Sharing()
    return found


def _order(place: tuple[bool, int, Draft]) -> tuple[bool, int]:
    return place[:2]
