"""Criteria as SQL: one statement, every value bound, identifiers from the tables below only.

Two kinds of criteria make two kinds of SQL. What is in the row of the person or its company is a condition on the row.
Everything else is a set: a SELECT of person ids. Where all around it is `and`, a set becomes a semijoin (EXISTS), or
an antijoin; inside `or` it is joined once, from the outside, and asked whether it had the person. No shape looks a
person up: PostgreSQL would do so for a subquery inside `or`, a million times.

`not` is moved inwards to the single criteria, where it becomes IS NOT TRUE, so that an empty field (NULL) is never
half true; so AND and OR never see a NULL that matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.audience import criteria_sets as sets
from app.audience.criteria import (
    And,
    CompanyCriterion,
    CompanyExtraCriterion,
    CompanyField,
    ConsentCriterion,
    Engaged,
    EngagementCriterion,
    InterestCriterion,
    Not,
    Or,
    PersonCriterion,
    PersonExtraCriterion,
    PersonField,
    ProjectCriterion,
    SelectionCriterion,
    SubscriptionCriterion,
)
from app.audience.criteria_fields import COMPANY_KINDS, PERSON_KINDS, FieldKind, misfit
from app.audience.criteria_values import Comparison, DaysAgo, DaysFromNow, Node, Operator, read_moment
from app.audience.errors import CriteriaOutOfDate, CyclicSelection
from app.contacts.models import ExtraOwner

MAX_EXPANDED = 1_000
"""Criteria of a selection with those of all selections that it refers to, each as often as it is referred to."""

MAX_CHAIN = 50
"""Selections that refer to selections that refer to selections …"""

_PERSON = {name: f"p.{name.value}" for name in PersonField} | {PersonField.EMAIL_VALID: "(p.email_key IS NOT NULL)"}
_COMPANY = {name: f"c.{name.value}" for name in CompanyField}
_COMPANY_JOIN = "LEFT JOIN company AS c ON c.id = p.company_id"
_OPPOSITES = {
    Operator.NE: Operator.EQ,
    Operator.NOT_IN: Operator.IN,
    Operator.IS_NOT_EMPTY: Operator.IS_EMPTY,
}
_ORDER = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


@dataclass(frozen=True, slots=True)
class Saved:
    """What a selection that criteria refer to is: its criteria, or None for a static one."""

    name: str
    criteria: Node | None


@dataclass(frozen=True, slots=True)
class Declared:
    """An extra field as it is declared."""

    kind: FieldKind
    choices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What criteria need to know to be read: the selections and the extra fields that they refer to."""

    selections: Mapping[int, Saved] = field(default_factory=dict)
    extras: Mapping[tuple[ExtraOwner, str], Declared] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Persons:
    """Whom criteria mean: what stands behind FROM, and behind WHERE, of a SELECT over `person AS p`."""

    source: str
    condition: str
    params: Mapping[str, Any]

    @property
    def sql(self) -> str:
        """The SELECT of their ids."""
        return f"SELECT p.id FROM {self.source} WHERE {self.condition}"


def compile_criteria(
    criteria: Node, around: Surroundings, *, prefix: str = "m_", selection_id: int | None = None
) -> Persons:
    """Return whom criteria mean; parameters are named `<prefix>0`, `<prefix>1` and so on.

    `selection_id` is the selection whose criteria they are. Raises CyclicSelection, and CriteriaOutOfDate when an extra
    field is not declared any more, or when it all grew too large.
    """
    compiler = _Compiler(around, prefix, [] if selection_id is None else [selection_id])
    condition = compiler.compile(criteria, negated=False, alone=True)
    return Persons("\n".join(["person AS p", *compiler.joins]), condition, compiler.params)


class _Compiler:
    def __init__(self, around: Surroundings, prefix: str, chain: list[int]) -> None:
        self.around = around
        self.prefix = prefix
        self.chain = chain
        self.params: dict[str, Any] = {}
        self.joins: list[str] = []
        self.expanded = 0

    def bind(self, value: Any, kind: str) -> str:
        """Return the SQL of a bound value."""
        name = f"{self.prefix}{len(self.params)}"
        self.params[name] = value
        return f"cast(:{name} AS {kind})"

    def compile(self, node: Node, *, negated: bool, alone: bool) -> str:
        """Return the condition of a criterion. `alone`: everything around it is AND, so that a set may be EXISTS."""
        self.expanded += 1
        if self.expanded > MAX_EXPANDED:
            raise CriteriaOutOfDate(
                f"With the selections that they refer to, these are over {MAX_EXPANDED} criteria; make them fewer."
            )
        match node:
            case Not():
                return self.compile(node.not_, negated=not negated, alone=alone)
            case And():
                return self._all(node.and_, negated=negated, alone=alone)
            case Or():
                return self._any(node.or_, negated=negated, alone=alone)
            case SelectionCriterion():
                return self._selection(node, negated=negated, alone=alone)
            case EngagementCriterion(engagement=Engaged.NOT_OPENED | Engaged.NOT_CLICKED):
                return self._missed(node, negated=negated, alone=alone)
            case Comparison():
                return self._field(node, negated=negated)
        return self._set(sets.persons_of(node, self.bind), negated=negated, alone=alone)

    def _field(self, node: Comparison, *, negated: bool) -> str:
        match node:
            case PersonCriterion():
                kind, column = PERSON_KINDS[node.person], _PERSON[node.person]
                return self._compare(node, kind, column, negated=negated)
            case CompanyCriterion():
                self._join_company()
                return self._compare(node, COMPANY_KINDS[node.company], _COMPANY[node.company], negated=negated)
            case PersonExtraCriterion():
                return self._extra(node, ExtraOwner.PERSON, node.person_extra, "p.extra", negated=negated)
            case CompanyExtraCriterion():
                self._join_company()
                return self._extra(node, ExtraOwner.COMPANY, node.company_extra, "c.extra", negated=negated)
        raise TypeError(f"{type(node).__name__} compares nothing")

    def _all(self, parts: Sequence[Node], *, negated: bool, alone: bool) -> str:
        if negated:
            return self._any([Not(not_=part) for part in parts], negated=False, alone=alone)
        return " AND ".join(self._bracketed(part, negated=False, alone=alone) for part in parts)

    def _any(self, parts: Sequence[Node], *, negated: bool, alone: bool) -> str:
        if negated:
            return self._all([Not(not_=part) for part in parts], negated=False, alone=alone)
        if len(parts) == 1:
            return self.compile(parts[0], negated=False, alone=alone)
        # Sets beside each other are one: their union. It is a semijoin, where apart they would be joins.
        united, apart = [], []
        for part in parts:
            found = self._plain_set(part)
            if found is None:
                apart.append(part)
            else:
                self.expanded += 1
                united.append(found.sql)
        alone = alone and not apart
        conditions = [self._bracketed(part, negated=False, alone=False) for part in apart]
        if united:
            both = sets.PersonSet(" UNION ALL ".join(united))
            conditions.append(self._set(both, negated=False, alone=alone))
        return " OR ".join(conditions)

    def _bracketed(self, node: Node, *, negated: bool, alone: bool) -> str:
        return f"({self.compile(node, negated=negated, alone=alone)})"

    def _plain_set(self, node: Node) -> sets.PersonSet | None:
        """Return the set that a criterion is, if it is one that is not negated."""
        match node:
            case SelectionCriterion():
                saved = self.around.selections.get(node.selection)
                if saved is not None and saved.criteria is not None:
                    return None
                return sets.members(node.selection, self.bind)
            case EngagementCriterion(engagement=Engaged.NOT_OPENED | Engaged.NOT_CLICKED):
                return None
            case (
                InterestCriterion() | ConsentCriterion() | SubscriptionCriterion() | ProjectCriterion()
                | EngagementCriterion()
            ):  # fmt: skip
                found = sets.persons_of(node, self.bind)
                return None if found.others else found
        return None

    def _set(self, found: sets.PersonSet, *, negated: bool, alone: bool) -> str:
        negated = negated != found.others
        if alone:
            start = "NOT EXISTS" if negated else "EXISTS"
            return f"{start} (SELECT FROM ({found.sql}) AS s WHERE s.person_id = p.id)"
        name = f"s{len(self.joins)}"
        distinct = found.sql if found.unique else f"SELECT DISTINCT person_id FROM ({found.sql}) AS a"
        self.joins.append(f"LEFT JOIN ({distinct}) AS {name} ON {name}.person_id = p.id")
        return f"{name}.person_id IS {'' if negated else 'NOT '}NULL"

    def _selection(self, node: SelectionCriterion, *, negated: bool, alone: bool) -> str:
        saved = self.around.selections.get(node.selection)
        if saved is None or saved.criteria is None:
            return self._set(sets.members(node.selection, self.bind), negated=negated, alone=alone)
        if node.selection in self.chain:
            circle = [*self.chain[self.chain.index(node.selection) :], node.selection]
            raise CyclicSelection.of([(each, self._name(each)) for each in circle])
        if len(self.chain) >= MAX_CHAIN:
            raise CriteriaOutOfDate(f"Over {MAX_CHAIN} selections refer to each other in a row; make the row shorter.")
        self.chain.append(node.selection)
        condition = self._bracketed(saved.criteria, negated=negated, alone=alone)
        self.chain.pop()
        return condition

    def _name(self, selection_id: int) -> str:
        saved = self.around.selections.get(selection_id)
        return "this one" if saved is None else saved.name

    def _missed(self, node: EngagementCriterion, *, negated: bool, alone: bool) -> str:
        done = Engaged.OPENED if node.engagement is Engaged.NOT_OPENED else Engaged.CLICKED
        parts = [
            node.model_copy(update={"engagement": Engaged.RECEIVED}),
            Not(not_=node.model_copy(update={"engagement": done})),
        ]
        return self._all(parts, negated=negated, alone=alone)

    def _join_company(self) -> None:
        if _COMPANY_JOIN not in self.joins:
            self.joins.append(_COMPANY_JOIN)

    def _extra(self, node: Comparison, owner: ExtraOwner, name: str, column: str, *, negated: bool) -> str:
        declared = self.around.extras.get((owner, name))
        if declared is None:
            raise CriteriaOutOfDate(f"The extra field {name} of the {owner.value} is not declared any more.")
        if wrong := misfit(declared.kind, node.operator, node.value, choices=declared.choices):
            raise CriteriaOutOfDate(f"The extra field {name} of the {owner.value} was declared anew: {wrong[1]}")
        key = self.bind(name, "text")
        return self._compare(node, declared.kind, _EXTRAS[declared.kind].format(extra=column, key=key), negated=negated)

    def _compare(self, node: Comparison, kind: FieldKind, column: str, *, negated: bool) -> str:
        operator = node.operator
        if operator in _OPPOSITES:
            operator, negated = _OPPOSITES[operator], not negated
        condition = self._condition(kind, column, operator, node.value)
        return f"({condition}) IS NOT TRUE" if negated else condition

    def _condition(self, kind: FieldKind, column: str, operator: Operator, value: Any) -> str:
        if kind in (FieldKind.TEXT, FieldKind.CHOICE):
            return self._text(column, operator, value)
        if operator is Operator.IS_EMPTY:
            return f"{column} IS NULL"
        if kind in (FieldKind.DATE, FieldKind.TIME):
            return self._moment(kind, column, operator, value)
        name, convert = _TYPES[kind]
        if operator is Operator.IN:
            listed = self.bind([convert(item) for item in value], f"{name}[]")
            return f"{column} IN (SELECT unnest({listed}))"
        return f"{column} {_ORDER.get(operator, '=')} {self.bind(convert(value), name)}"

    def _text(self, column: str, operator: Operator, value: Any) -> str:
        if operator is Operator.IS_EMPTY:
            return f"coalesce({column}, '') = ''"
        if operator is Operator.IN:
            # A set and not an array: PostgreSQL compares an array that is a parameter value by value.
            return f"lower({column}) IN (SELECT lower(v) FROM unnest({self.bind(value, 'text[]')}) AS v)"
        wanted = f"lower({self.bind(value, 'text')})"
        match operator:
            case Operator.CONTAINS:
                return f"strpos(lower({column}), {wanted}) > 0"
            case Operator.STARTS_WITH:
                return f"starts_with(lower({column}), {wanted})"
            case Operator.ENDS_WITH:
                return f"right(lower({column}), char_length({wanted})) = {wanted}"
        return f"lower({column}) = {wanted}"

    def _moment(self, kind: FieldKind, column: str, operator: Operator, value: Any) -> str:
        moment = read_moment(value)
        if kind is FieldKind.DATE:
            return f'{column} COLLATE "C" {_ORDER.get(operator, "=")} {self._day_text(moment)}'
        if isinstance(moment, datetime):
            return f"{column} {_ORDER.get(operator, '=')} {self.bind(moment, 'timestamptz')}"
        match operator:
            case Operator.GT:
                return f"{column} >= {sets.start_of(moment, self.bind, days_later=1)}"
            case Operator.LTE:
                return f"{column} < {sets.start_of(moment, self.bind, days_later=1)}"
            case Operator.GTE | Operator.LT:
                return f"{column} {_ORDER[operator]} {sets.start_of(moment, self.bind)}"
        start, end = sets.start_of(moment, self.bind), sets.start_of(moment, self.bind, days_later=1)
        return f"{column} >= {start} AND {column} < {end}"

    def _day_text(self, moment: date | datetime | DaysAgo | DaysFromNow) -> str:
        if isinstance(moment, DaysAgo | DaysFromNow):
            days = self.bind(sets.days_of(moment), "integer")
            return f"to_char((now() AT TIME ZONE 'UTC') + make_interval(days => {days}), 'YYYY-MM-DD')"
        return self.bind(moment.isoformat(), "text")


# An extra value of another JSON kind than the declared one counts as empty; a cast must never fail on it.
_TYPED = "CASE WHEN jsonb_typeof({{extra}} -> {{key}}) = '{kind}' THEN {value} END"
_AS_TEXT = _TYPED.format(kind="string", value="{extra} ->> {key}")
_EXTRAS = {
    FieldKind.TEXT: f"({_AS_TEXT})",
    FieldKind.CHOICE: f"({_AS_TEXT})",
    FieldKind.DATE: f"({_AS_TEXT})",
    FieldKind.NUMBER: "(" + _TYPED.format(kind="number", value="cast({extra} ->> {key} AS numeric)") + ")",
    FieldKind.BOOLEAN: "(" + _TYPED.format(kind="boolean", value="cast({extra} ->> {key} AS boolean)") + ")",
}
_TYPES: dict[FieldKind, tuple[str, Any]] = {
    FieldKind.NUMBER: ("numeric", lambda value: Decimal(str(value))),
    FieldKind.BOOLEAN: ("boolean", bool),
    FieldKind.FLAG: ("boolean", bool),
    FieldKind.KEY: ("bigint", int),
}
