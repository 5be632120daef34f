"""Criteria that are sets: a SELECT of person ids for interests, consent, subscription, membership and engagement."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from app.audience.criteria import (
    ConsentCriterion,
    ConsentIs,
    Engaged,
    EngagementCriterion,
    InterestCriterion,
    ProjectCriterion,
    Quantity,
    SubscriptionCriterion,
    SubscriptionIs,
)
from app.audience.criteria_values import DaysAgo, DaysFromNow, Node, read_moment

Bind = Callable[[Any, str], str]
"""Takes a value and its SQL type, returns the SQL of a parameter."""


@dataclass(frozen=True, slots=True)
class PersonSet:
    """A SELECT with the column person_id; it may hold NULL.

    `unique`: nobody comes twice. `others`: everybody is meant but those.
    """

    sql: str
    unique: bool = False
    others: bool = False


def persons_of(node: Node, bind: Bind) -> PersonSet:
    """Return the persons of a criterion that is a set."""
    match node:
        case InterestCriterion():
            return _interested(node, bind)
        case ConsentCriterion():
            return _consenting(node, bind)
        case SubscriptionCriterion():
            return _subscribing(node, bind)
        case ProjectCriterion():
            project = bind(node.project, "bigint")
            return PersonSet(f"SELECT person_id FROM project_member WHERE project_id = {project}", unique=True)
        case EngagementCriterion():
            return _engaged(node, bind)
    raise TypeError(f"{type(node).__name__} is no set")


def members(selection_id: int, bind: Bind) -> PersonSet:
    """Return the persons of a static selection."""
    selection = bind(selection_id, "bigint")
    return PersonSet(f"SELECT person_id FROM selection_member WHERE selection_id = {selection}", unique=True)


def _interested(node: InterestCriterion, bind: Bind) -> PersonSet:
    wanted = sorted(set(node.interest_ids))
    sql = f"SELECT person_id FROM person_interest WHERE interest_id = ANY({bind(wanted, 'bigint[]')})"
    if node.interests is Quantity.ALL:
        return PersonSet(f"{sql} GROUP BY person_id HAVING count(*) = {bind(len(wanted), 'bigint')}", unique=True)
    return PersonSet(sql, unique=len(wanted) == 1, others=node.interests is Quantity.NONE)


def _consenting(node: ConsentCriterion, bind: Bind) -> PersonSet:
    # A yes counts while it is given and not past valid_until, also before a job has appended the line `expired`.
    purpose = bind(node.consent, "text")
    sql = f"SELECT person_id FROM consent_state AS cs WHERE purpose = {purpose}"
    match node.is_:
        case ConsentIs.GIVEN:
            sql += " AND given AND (valid_until IS NULL OR valid_until > now())"
        case ConsentIs.EXPIRES:
            hours = bind(24 * (node.within_days or 0), "integer")
            sql += f" AND given AND valid_until > now() AND valid_until <= now() + make_interval(hours => {hours})"
        case ConsentIs.WITHDRAWN | ConsentIs.EXPIRED:
            sql = (
                "SELECT cs.person_id FROM consent_state AS cs JOIN consent AS line ON line.id = cs.consent_id "
                f"WHERE cs.purpose = {purpose} AND "
            )
            if node.is_ is ConsentIs.WITHDRAWN:
                sql += "NOT cs.given AND line.action <> 'expired'"
            else:
                sql += "(cs.given AND cs.valid_until <= now() OR NOT cs.given AND line.action = 'expired')"
    return PersonSet(sql, unique=True, others=node.is_ is ConsentIs.NEVER_ASKED)


def _subscribing(node: SubscriptionCriterion, bind: Bind) -> PersonSet:
    wants, never = node.subscription is SubscriptionIs.SUBSCRIBED, node.subscription is SubscriptionIs.NEVER_ASKED
    sql = "SELECT person_id FROM subscription"
    if node.subscription_type_id is not None:
        sql += f" WHERE subscription_type_id = {bind(node.subscription_type_id, 'bigint')}"
        if not never:
            sql += " AND subscribed" if wants else " AND NOT subscribed"
        return PersonSet(sql, unique=True, others=never)
    if wants:
        return PersonSet(f"{sql} WHERE subscribed")
    if never:
        return PersonSet(sql, others=True)
    return PersonSet(f"{sql} GROUP BY person_id HAVING NOT bool_or(subscribed)", unique=True)


_EVENTS = {Engaged.OPENED: ("open", "opened_at"), Engaged.CLICKED: ("click", "clicked_at")}


def _engaged(node: EngagementCriterion, bind: Bind) -> PersonSet:
    """Read the lines of lists, and events only where their times or links are asked about: a line has a mark for each.

    The lines are found by recipient_list_idx when the mailing or link is told, else read whole; events by
    engagement_occurred_idx (BRIN) when they are recent, else read whole, once.
    """
    joins, conditions = [], ["r.person_id IS NOT NULL"]
    if node.mailing_id is not None:
        conditions.append(f"r.mailing_id = {bind(node.mailing_id, 'bigint')}")
    if node.subscription_type_id is not None:
        wanted = bind(node.subscription_type_id, "bigint")
        conditions.append(f"r.mailing_id IN (SELECT id FROM mailing WHERE subscription_type_id = {wanted})")
    link, mailings = _links(node, bind)
    if mailings:
        conditions.append(mailings)
    match node.engagement:
        case Engaged.RECEIVED:
            conditions += ["r.bounced_at IS NULL", "r.sent_at IS NOT NULL", *_window(node, "r.sent_at", bind)]
        case Engaged.BOUNCED:
            conditions += ["r.bounced_at IS NOT NULL", *_window(node, "r.bounced_at", bind)]
        case Engaged.OPENED | Engaged.CLICKED:
            kind, mark = _EVENTS[node.engagement]
            within = _window(node, "e.occurred_at", bind)
            if not link and not within:
                machine = f" OR r.machine_{mark} IS NOT NULL" if node.machines_too else ""
                conditions.append(f"(r.{mark} IS NOT NULL{machine})")
            else:
                joins.append("JOIN engagement AS e ON e.recipient_id = r.id")
                conditions += [f"e.kind = '{kind}'", *within]
                if link:
                    conditions.append(link)
                if not node.machines_too:
                    conditions.append("e.verdict = 'human'")
    return PersonSet(" ".join(["SELECT r.person_id FROM recipient AS r", *joins, "WHERE", " AND ".join(conditions)]))


def _links(node: EngagementCriterion, bind: Bind) -> tuple[str, str]:
    """Return the conditions that an event is on a link that is meant, and a line of a mailing that has it."""
    if node.link_id is not None:
        link = bind(node.link_id, "bigint")
        return f"e.link_id = {link}", f"r.mailing_id = (SELECT mailing_id FROM link WHERE id = {link})"
    if node.target is not None:
        target = bind(node.target, "text")
        links = f"FROM link WHERE target = {target}"
        return f"e.link_id IN (SELECT id {links})", f"r.mailing_id IN (SELECT mailing_id {links})"
    return "", ""


def _window(node: EngagementCriterion, column: str, bind: Bind) -> list[str]:
    found = []
    if node.since is not None:
        found.append(f"{column} >= {start_of(read_moment(node.since), bind)}")
    if node.before is not None:
        found.append(f"{column} < {start_of(read_moment(node.before), bind)}")
    return found


def days_of(moment: DaysAgo | DaysFromNow) -> int:
    """Return how many days after today it is; negative before."""
    return -moment.days_ago if isinstance(moment, DaysAgo) else moment.days_from_now


def start_of(moment: date | datetime | DaysAgo | DaysFromNow, bind: Bind, *, days_later: int = 0) -> str:
    """Return the SQL of a time: the moment itself, or the beginning of its day in UTC or of a day after it."""
    if isinstance(moment, DaysAgo | DaysFromNow):
        # Hours, since a day of the session's time zone may have 23 of them.
        hours = bind(24 * (days_of(moment) + days_later), "integer")
        return f"(date_trunc('day', now(), 'UTC') + make_interval(hours => {hours}))"
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment + timedelta(days=days_later), time(), UTC)
    return bind(moment, "timestamptz")
