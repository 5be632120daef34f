"""The criteria language as plain Python over plain data: what the SQL has to agree with, person by person."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any


@dataclass
class World:
    """A small address book with everything that criteria ask about; ids count from 1 in each list."""

    companies: list[dict] = field(default_factory=list)
    persons: list[dict] = field(default_factory=list)
    interests: set[tuple[int, int]] = field(default_factory=set)  # (interest, person)
    consents: dict[tuple[int, str], tuple[str, datetime | None]] = field(default_factory=dict)
    subscriptions: dict[tuple[int, int], bool] = field(default_factory=dict)  # (person, type)
    members: set[tuple[int, int]] = field(default_factory=set)  # (static selection, person)
    projects: set[tuple[int, int]] = field(default_factory=set)
    dynamic: dict[int, dict] = field(default_factory=dict)  # selection: criteria
    mailings: dict[int, int | None] = field(default_factory=dict)  # mailing: subscription type
    links: dict[int, tuple[int, str]] = field(default_factory=dict)  # link: mailing, target
    lines: list[dict] = field(default_factory=list)


KINDS = {
    "note": "text", "size": "number", "vip": "boolean", "renewal": "date", "tier": "choice",
    "former_employee": "flag", "email_valid": "flag", "created_at": "time", "company_id": "key", "id": "key",
}  # fmt: skip


class Model:
    """Decides who fits; `now` is the moment that the database calls now()."""

    def __init__(self, world: World, now: datetime) -> None:
        self.world = world
        self.now = now

    def whom(self, criteria: dict) -> list[int]:
        return [person["id"] for person in self.world.persons if self.holds(criteria, person)]

    def holds(self, node: dict, person: dict) -> bool:
        if "and" in node:
            return all(self.holds(part, person) for part in node["and"])
        if "or" in node:
            return any(self.holds(part, person) for part in node["or"])
        if "not" in node:
            return not self.holds(node["not"], person)
        [way] = [name for name in dir(self) if name.startswith("_is_") and name.removeprefix("_is_") in node]
        return getattr(self, way)(node, person)

    # fields

    def _is_person(self, node, person) -> bool:
        values = {**person, "email_valid": person["email_key"] is not None}
        return self._compare(node, KINDS.get(node["person"], "text"), values[node["person"]])

    def _company(self, person) -> dict[str, Any]:
        found = person["company_id"]
        return self.world.companies[found - 1] if found else {"extra": {}}

    def _is_company(self, node, person) -> bool:
        return self._compare(node, KINDS.get(node["company"], "text"), self._company(person).get(node["company"]))

    def _is_person_extra(self, node, person) -> bool:
        return self._extra(node, node["person_extra"], person["extra"])

    def _is_company_extra(self, node, person) -> bool:
        return self._extra(node, node["company_extra"], self._company(person)["extra"])

    def _extra(self, node, name, extra) -> bool:
        kind, value = KINDS[name], extra.get(name)
        # A value of another JSON kind than the declared one counts as empty; True is no number.
        fits = type(value) in {"number": (int, float), "boolean": (bool,)}.get(kind, (str,))
        return self._compare(node, kind, value if fits else None)

    def _compare(self, node, kind, has) -> bool:  # noqa: PLR0911 - a case for each operator
        operator, value = node["operator"], node.get("value")
        empty = has is None or (kind in ("text", "choice") and has == "")
        if operator == "is_empty":
            return empty
        if operator == "is_not_empty":
            return not empty
        if operator == "ne":
            return not self._compare({"operator": "eq", "value": value}, kind, has)
        if operator == "not_in":
            return not self._compare({"operator": "in", "value": value}, kind, has)
        if empty:
            return False
        if operator == "in":
            return any(self._compare({"operator": "eq", "value": each}, kind, has) for each in value)
        if kind in ("text", "choice"):
            has, value = has.lower(), value.lower()
            return {
                "eq": has == value, "contains": value in has, "starts_with": has.startswith(value),
                "ends_with": has.endswith(value),
            }[operator]  # fmt: skip
        if kind == "date":
            return _ordered(operator, date.fromisoformat(has), self._day(value))
        if kind == "time":
            if isinstance(value, str) and len(value) > 10:
                return _ordered(operator, has, datetime.fromisoformat(value))
            # A day: before it, on it, after it.
            return _ordered(operator, has.astimezone(UTC).date(), self._day(value))
        return _ordered(operator, has, value)

    def _day(self, value) -> date:
        today = self.now.astimezone(UTC).date()
        if isinstance(value, dict):
            [(name, days)] = value.items()
            return today + timedelta(days=-days if name == "days_ago" else days)
        return date.fromisoformat(value)

    def _moment(self, value) -> datetime:
        if isinstance(value, str) and len(value) > 10:
            return datetime.fromisoformat(value)
        return datetime.combine(self._day(value), time(), UTC)

    # what others say of a person

    def _is_interests(self, node, person) -> bool:
        has = {interest for interest, who in self.world.interests if who == person["id"]}
        wanted = set(node["interest_ids"])
        return {"any": bool(has & wanted), "all": wanted <= has, "none": not has & wanted}[node["interests"]]

    def _is_consent(self, node, person) -> bool:
        action, until = self.world.consents.get((person["id"], node["consent"]), ("never_asked", None))
        valid = action == "given" and (until is None or until > self.now)
        if node["is"] == "expires":
            return valid and until is not None and until <= self.now + timedelta(days=node["within_days"])
        state = "expired" if action == "given" and not valid else action
        return state == node["is"]

    def _is_subscription(self, node, person) -> bool:
        answers = [
            yes
            for (who, kind), yes in self.world.subscriptions.items()
            if who == person["id"] and node.get("subscription_type_id") in (None, kind)
        ]
        state = "never_asked" if not answers else "subscribed" if any(answers) else "not_subscribed"
        return state == node["subscription"]

    def _is_selection(self, node, person) -> bool:
        if node["selection"] in self.world.dynamic:
            return self.holds(self.world.dynamic[node["selection"]], person)
        return (node["selection"], person["id"]) in self.world.members

    def _is_project(self, node, person) -> bool:
        return (node["project"], person["id"]) in self.world.projects

    # engagement

    def _is_engagement(self, node, person) -> bool:
        kind = node["engagement"]
        lines = [line for line in self.world.lines if line["person_id"] == person["id"] and self._in_scope(node, line)]
        if kind in ("not_opened", "not_clicked"):
            done = kind.removeprefix("not_")
            return any(self._happened(node, line, "received") for line in lines) and not any(
                self._happened(node, line, done) for line in lines
            )
        return any(self._happened(node, line, kind) for line in lines)

    def _in_scope(self, node, line) -> bool:
        if node.get("mailing_id") not in (None, line["mailing_id"]):
            return False
        if node.get("subscription_type_id") not in (None, self.world.mailings[line["mailing_id"]]):
            return False
        linked = {mailing for link, (mailing, _) in self.world.links.items() if self._is_link(node, link)}
        return not self._asks_for_link(node) or line["mailing_id"] in linked

    def _asks_for_link(self, node) -> bool:
        return "link_id" in node or "target" in node

    def _is_link(self, node, link) -> bool:
        return link is not None and (node.get("link_id") == link or node.get("target") == self.world.links[link][1])

    def _within(self, node, at) -> bool:
        return (
            at is not None
            and ("since" not in node or at >= self._moment(node["since"]))
            and ("before" not in node or at < self._moment(node["before"]))
        )

    def _happened(self, node, line, kind) -> bool:
        if kind == "received":
            return line["bounced_at"] is None and self._within(node, line["sent_at"])
        if kind == "bounced":
            return self._within(node, line["bounced_at"])
        return any(
            event["kind"] == {"opened": "open", "clicked": "click"}[kind]
            and (event["verdict"] == "human" or node.get("machines_too", False))
            and self._within(node, event["at"])
            and (not self._asks_for_link(node) or self._is_link(node, event["link_id"]))
            for event in line["events"]
        )


def _ordered(operator, has, value) -> bool:
    return {
        "eq": lambda: has == value, "gt": lambda: has > value, "gte": lambda: has >= value, "lt": lambda: has < value,
        "lte": lambda: has <= value,
    }[operator]()  # fmt: skip
